"""Count devices' messages once each; say what they mean. Every step may happen twice."""

import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from functions import field
from functions.drift.decide import Counted, Drifted, Steady, count
from functions.drift.keep import Books, Folded, kept_alone, kept_together
from functions.drift.policy import watched
from functions.drift.profiles import Profiles
from functions.drift.room import fitting
from functions.drift.runs import Batch, Stint
from functions.drift.state import DeviceState
from functions.drift.usage import used
from functions.drift.view import columns
from functions.errors import LoopError, Poison, Transient
from functions.journal import Entry, record
from functions.ports import Row, Stored, Write
from functions.telemetry import Arrived, Telemetry, Told, read
from functions.tracing import evidence
from functions.unusable import unusable
from functions.wiring import Cloud

log = logging.getLogger("refluent.drift")
TRIES = 5  # of a compare-and-swap; two owners of one partition at once are rare, and each try re-reads
WRONG_CLOCK = timedelta(days=1)  # a device's clock that is further off is worth a line in the log


def take(came: Arrived, profiles: Profiles, batch: Batch) -> None:
    """Find out what a message is about, and add what it brings to its batch: after `Batch.again` did not.

    Raises:
        Ignored: A loop this app does not have.
        Poison: No telemetry, a model this app does not know, or rows or a sketch that do not fit its profile.
    """
    told = read(came)
    source, at = profiles.source(told, came.sender), came.happened(told)
    if abs(told.closed_at - at) > WRONG_CLOCK:
        log.warning("the clock of %s is off by %s: the hub's is used", came.sender, told.closed_at - at)
    try:
        batch.add(came, told, source)
    except ValueError as problem:
        raise _unfit(told, came.sender, str(problem)) from problem


def count_all(here: Cloud, batch: Batch, now: datetime) -> Books:
    """Fold a batch into its devices' states: some at the same time, and written together where nobody interferes.

    Raises:
        ExceptionGroup: What failed, once every device had its turn.
    """
    devices = batch.stints()
    with _side_by_side(here, len(devices)) as act:
        folded = list(act(partial(_fold, here, now=now), devices))
        kept = kept_together(here, [one for one in folded if isinstance(one, Folded)])
        ends = list(act(partial(_settle, here, kept=kept, now=now), devices, folded))
    failed = [end for end in ends if isinstance(end, LoopError)]
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(devices)} devices could not be counted", failed)
    books = [end for end in ends if isinstance(end, Books)]
    tally = sum((Counter(one.tally) for one in books), Counter[str]())
    return Books(tally, frozenset[str]().union(*(one.alarmed for one in books)))


@contextmanager
def _side_by_side(here: Cloud, devices: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A map over devices, some at the same time."""
    at_once = min(here.settings.requests_at_once, devices)
    if at_once <= 1:
        yield map
    else:
        with ThreadPoolExecutor(at_once) as pool:
            yield pool.map


def _fold(here: Cloud, theirs: Sequence[Stint], *, now: datetime) -> Folded | LoopError:
    """Count a device's messages; what fails is handed back, so that its neighbours have their turn."""
    loop, device = theirs[0].loop, theirs[0].run.device
    try:
        stored = here.rows.get(field.DEVICES, loop.name, device)
        before = state = _state(stored) if stored else None
        row: Row = stored.row if stored else {}
        tally, has_news, strengths = Counter[str](), False, list[float]()
        for stint in theirs:
            counted = count(state, stint.run, profile=stint.profile, settings=watched(loop))
            has_news |= _note(here, stint, counted, now=now)  # before the state is kept: noted twice beats never noted
            row, state = _written(row, stint, counted), counted.state
            tally += _tally(counted)
            strengths += [one.log_evidence for one in counted.verdicts if isinstance(one, Drifted | Steady)]
    except LoopError as problem:
        return problem
    books = Books(tally, frozenset({loop.name} if has_news else ()))
    if state is None or state is before:
        return Folded(loop, None, books, ())
    return Folded(loop, Write(device, fitting(row, state, now), stored), books, strengths)


def _settle(
    here: Cloud, theirs: Sequence[Stint], folded: Folded | LoopError, *, kept: Container[Folded], now: datetime
) -> Books | LoopError:
    """Keep what a device's messages came to, counted anew as long as somebody changes its row meanwhile."""
    device = theirs[0].run.device
    try:
        for _ in range(TRIES):
            if isinstance(folded, LoopError):
                return folded
            if folded in kept or kept_alone(here, folded):
                for strength in folded.strengths:
                    evidence(folded.loop.name, strength)
                return folded.books
            folded = _fold(here, theirs, now=now)
    except LoopError as problem:
        return problem
    why, fix = f"its row changed {TRIES} times meanwhile", "wait for the redelivery"
    return Transient(f"device {device} could not be counted", why=why, fix=fix)


def _written(row: Row, stint: Stint, counted: Counted) -> Row:
    """A device's row, but for its state, after a run; what it says of the newest window stays if none was counted."""
    if not counted.counted.any():
        return row
    for verdict in counted.verdicts:
        told: Row = {"decision": type(verdict).__name__, "reason": verdict.reason[:1000]}
        row = {**row, **columns(row, verdict, counted.state, calm_windows=stint.loop.drift.calm_windows), **told}
    uses = used(field.from_bytes(row.get(field.COLUMN)), stint, counted)
    return {**row, field.COLUMN: field.to_bytes(field.newest(uses)), "missing": counted.state.ledger.missing}


def _tally(counted: Counted) -> Counter[str]:
    several, applied = len(counted.counted), int(counted.counted.sum())
    duplicates = several - applied - counted.superseded
    return Counter(counted=applied, duplicate=duplicates, superseded=counted.superseded, late=counted.late)


def _note(here: Cloud, stint: Stint, counted: Counted, *, now: datetime) -> bool:
    """Write down what is missed, and one device's first alarm; whether that is told to the world is for judge.py.

    Returns:
        Whether a drift has begun.
    """
    run, name = stint.run, stint.run.device.split("/", maxsplit=1)[0]
    version = f"{stint.loop.name}:{run.version}"
    for gap in counted.gaps:
        reason = f"{gap} did not come: lost on the way, or set aside"
        log.warning("%s: %s", run.device, reason)
        record(here.rows, Entry(now, stint.loop.name, "drift", name, "Gap", reason, (version,)))
    news = [verdict for verdict in counted.verdicts if isinstance(verdict, Drifted) and verdict.is_news]
    for drift in news:
        reason = f"{drift.explanation} (running {version})"
        record(here.rows, Entry(now, stint.loop.name, "drift", name, "Drifted", reason, (version,)))
    return bool(news)


def _unfit(told: Told, device: str, why: str) -> Poison:
    """Why rows or a sketch do not fit the profile of their model."""
    if isinstance(told, Telemetry):
        fix = "compare the versions of sketch/ on the device and in the cloud"
        return Poison(f"a sketch of {device} is not usable", why=why, fix=fix, code="TEL_SKETCH")
    code = "TEL_NUMBER" if "out of range" in why else "TEL_TYPE"
    return unusable("telemetry", device, why=f"its rows: {why}", code=code)


def _state(stored: Stored) -> DeviceState | None:
    state = stored.row["state"]
    try:
        return DeviceState.from_bytes(state) if isinstance(state, bytes) else None
    except ValueError as problem:  # written by a newer version, or damaged: a fresh start beats a blocked partition
        log.warning("the state of %s is not usable and starts afresh: %s", stored.key, problem)
        return None
