"""Count devices' windows once each; say what they mean. Every step may happen twice."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from functions import field
from functions.drift.decide import Decision, Drifted, Steady, decide
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from functions.drift.view import columns
from functions.drift.window import MessageKey
from functions.envelope import Telemetry, TelemetryReceived
from functions.errors import Ignored, Poison, Transient
from functions.journal import Entry, record
from functions.loops import Loop
from functions.model_folder import CONTAINER
from functions.outcomes import learnt
from functions.ports import Row, Stored
from functions.tracing import evidence
from functions.wiring import Cloud
from sketch.profile import Profile
from sketch.sketch import Sketch

DEVICES = "devices"
log = logging.getLogger("refluent.drift")
TRIES = 5  # of a compare-and-swap; two owners of one partition at once are rare, and each try re-reads
PROFILES_KEPT = 64
_profiles: dict[tuple[str, str, str], Profile] = {}  # by model, version and their own hash: never stale


@dataclass(frozen=True, slots=True)
class Window:
    """A device's message, ready to be counted."""

    loop: Loop
    key: MessageKey
    sketch: Sketch
    told: Telemetry


def look(here: Cloud, received: TelemetryReceived) -> Window:
    """Find the profile a message was counted against.

    Raises:
        Ignored: A loop this app does not have.
        Poison: A model this app does not know, or a sketch that does not fit its profile.
    """
    told = received.telemetry
    loop = here.settings.loops.get(told.loop)
    if loop is None or told.model != loop.name:
        raise Ignored(f"telemetry of loop {told.loop}", why="this app has no such loop", fix="nothing to do")
    key = MessageKey(
        f"{received.device}/{received.module}", told.model, told.version, told.profile, told.epoch, told.sequence
    )
    return Window(loop, key, _sketch(received.sketch, _profile(here, key), key), told)


def count(here: Cloud, windows: Iterable[Window], now: datetime) -> set[str]:
    """Fold windows into their devices' states: one compare-and-swap a device.

    Returns:
        Loops in which a drift of some device has begun.

    Raises:
        Transient: Another owner kept changing the same device.
    """
    by_device: Mapping[tuple[str, str], list[Window]] = defaultdict(list)
    for window in windows:
        by_device[window.loop.name, window.key.device].append(window)
    alarmed = set[str]()
    for (_, device), theirs in by_device.items():
        if not any(_fold(here, device, theirs, now, alarmed) for _ in range(TRIES)):
            why, fix = f"its row changed {TRIES} times meanwhile", "wait for the redelivery"
            raise Transient(f"device {device} could not be counted", why=why, fix=fix)
    return alarmed


def _fold(here: Cloud, device: str, windows: list[Window], now: datetime, alarmed: set[str]) -> bool:
    loop = windows[0].loop
    stored = here.rows.get(DEVICES, loop.name, device)
    state = _state(stored) if stored else None
    uses = field.from_bytes(stored.row.get(field.COLUMN)) if stored else {}
    seen, decision = stored.row if stored else {}, None
    for window in windows:
        profile = window.sketch.profile
        after, verdict = decide(state, window.sketch, window.key, profile=profile, settings=_watched(loop))
        if isinstance(verdict, Drifted) and verdict.is_news:
            _note(here, loop, window.key, verdict, now=now)  # before the state is kept: noted twice beats never noted
            alarmed.add(loop.name)
        if after is not state:
            state, decision, seen = after, verdict, columns(seen, verdict, after)
            uses = {**uses, window.key.version: _used(uses.get(window.key.version), window, verdict, after)}
            if (shadow := window.told.shadow) and shadow.version != window.key.version:
                silent = uses.get(shadow.version)
                silent = field.shadowed(silent, rows=shadow.rows, moved=shadow.moved, flipped=shadow.flipped)
                uses = {**uses, shadow.version: silent}
            uses = learnt(uses, window.told.outcomes, loop.rollout.compare_every)
    if state is None or decision is None:  # nothing new: what the row says of the newest window stays
        return True
    row: Row = {"state": state.to_bytes(), "at": now, "decision": type(decision).__name__}
    row = {**row, **seen, "reason": decision.reason[:1000], field.COLUMN: field.to_bytes(field.newest(uses))}
    if not _keep(here, loop, device, stored=stored, row=row):
        return False
    if isinstance(decision, Drifted | Steady):
        evidence(loop.name, decision.log_evidence)
    return True


def _keep(here: Cloud, loop: Loop, device: str, *, stored: Stored | None, row: Row) -> bool:
    """Write a device's row, unless somebody changed it meanwhile."""
    if stored is None:
        return here.rows.insert(DEVICES, loop.name, device, row=row)
    return here.rows.replace(DEVICES, loop.name, stored=stored, row=row)


def _used(use: field.Use | None, window: Window, verdict: Decision, state: DeviceState) -> field.Use:
    """What the version did in this window too, for who compares versions; in the same row, so counted once like it."""
    told, block = window.told, window.sketch.profile.score_block
    period = field.Period(
        at=field.period_of(told.closed_at, window.loop.rollout.compare_every),
        rows=told.rows,
        requests=told.requests,
        failed=told.failed,
        latencies=tuple(told.latency_counts or ()),
        scores=field.grouped(window.sketch.counts[block].tolist()),
    )
    after = field.counted(use, told.profile, period)
    drift = verdict.explanation if isinstance(verdict, Drifted) else after.drift
    return msgspec.structs.replace(after, drift=drift if state.episode else "")


def _note(here: Cloud, loop: Loop, key: MessageKey, drift: Drifted, *, now: datetime) -> None:
    """One device's first alarm; whether it is told to the world is for the episode, see judge.py."""
    device = key.device.split("/", maxsplit=1)[0]
    reason = f"{drift.explanation} (running {loop.name}:{key.version})"
    record(here.rows, Entry(now, loop.name, "drift", device, "Drifted", reason, (f"{loop.name}:{key.version}",)))


def _profile(here: Cloud, key: MessageKey) -> Profile:
    name = (key.model, key.version, key.profile)
    if name not in _profiles:
        data = here.blobs.read(CONTAINER, f"{key.model}/{key.version}/profile.json")
        try:
            profile = Profile.from_json(data.decode()) if data else None
        except ValueError as problem:
            raise _unknown(key, why=f"the profile of {key.model}:{key.version} is damaged: {problem}") from problem
        if profile is None or profile.hash != key.profile:
            told = profile.hash if profile else "none"
            raise _unknown(key, why=f"{key.model}:{key.version} has profile {told}, not {key.profile}")
        if len(_profiles) >= PROFILES_KEPT:
            _profiles.clear()
        _profiles[name] = profile
    return _profiles[name]


def _unknown(key: MessageKey, *, why: str) -> Poison:
    fix = "see which model the device runs: refluent why " + key.device.split("/", maxsplit=1)[0]
    return Poison(f"telemetry of {key.device} names an unknown model", why=why, fix=fix, code="TEL_MODEL")


def _sketch(data: bytes, profile: Profile, key: MessageKey) -> Sketch:
    try:
        return Sketch.from_bytes(data, profile)
    except ValueError as problem:
        fix = "compare the versions of sketch/ on the device and in the cloud"
        raise Poison(
            f"a sketch of {key.device} is not usable", why=str(problem), fix=fix, code="TEL_SKETCH"
        ) from problem


def _watched(loop: Loop) -> DriftSettings:
    return DriftSettings(
        features=tuple(loop.drift.features),
        pairs=tuple((left, right) for left, right in loop.drift.pairs),
        contexts=tuple(loop.drift.contexts),
        window_rows=loop.drift.window_rows,
        false_alarm_every=loop.drift.false_alarm_every,
        tolerance=loop.drift.tolerance,
        scores=loop.drift.scores,
    )


def _state(stored: Stored) -> DeviceState | None:
    state = stored.row["state"]
    try:
        return DeviceState.from_bytes(state) if isinstance(state, bytes) else None
    except ValueError as problem:  # written by a newer version, or damaged: a fresh start beats a blocked partition
        log.warning("the state of %s is not usable and starts afresh: %s", stored.key, problem)
        return None
