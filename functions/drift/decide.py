"""Does a device still see what its model was trained on? No clock, no network, no SDK."""

from bisect import bisect_left
from collections.abc import Sequence
from copy import replace
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from functions.drift.channels import Channels, channels_of
from functions.drift.detector import Evidence, Finding, score
from functions.drift.ledger import Gap, Ledger, MessageKey
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from functions.drift.window import Opened, Run, Sketches, Slots, cut, frontier, micro, slots_of
from sketch.profile import Profile
from sketch.sketch import Sketch

_MANY = 0.5  # Of a window's rows: compared with the whole reference, they may be drift only because of that.
_WHOLE = 0.1  # From this share on, whole per cents say enough.


@dataclass(frozen=True, slots=True)
class TooFew:
    """Counted; the window is still open, or the reference is too small to say anything."""

    reason: str


@dataclass(frozen=True, slots=True)
class Steady:
    """Counted; the window is full and calls for nothing.

    Attributes:
        reason: For a person.
        log_evidence: Logarithm of all evidence after this window.
    """

    reason: str
    log_evidence: float


@dataclass(frozen=True, slots=True)
class Drifted:
    """Counted; the device no longer sees what its model was trained on.

    Attributes:
        reason: For a person: the explanation, and whether it is news.
        explanation: Such as "temp, share above 50: 12 % → 61 %, since window 3".
        feature: The feature that moved most clearly, or "score" for the model's answers.
        words: What the share in the explanation is, such as "share above 50".
        rising: Whether the share in the explanation grew.
        before: That share in the reference, 0..1.
        after: That share now, 0..1.
        since: Window, from 1 with the device's first, since which the evidence has been gathering.
        window: Window of this alarm.
        episode: Window of the first alarm of this drift: with the device it names the episode.
        log_evidence: Logarithm of all evidence that made this alarm.
    """

    reason: str
    explanation: str
    feature: str
    words: str
    rising: bool
    before: float
    after: float
    since: int
    window: int
    episode: int
    log_evidence: float

    @property
    def is_news(self) -> bool:
        """Whether this is the episode's first alarm."""
        return self.window == self.episode


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Not counted: it was counted before."""

    reason: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """Not counted: it is about a model that the device has replaced since."""

    reason: str


type Decision = TooFew | Steady | Drifted | Duplicate | Superseded


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a run of messages.

    Attributes:
        state: The device's state after them.
        verdicts: On each window that they filled, in order; if none, one that says what became of the last message.
        counted: Which messages were counted, shape (messages,).
        superseded: How many were about a model that was replaced before.
        late: How many came when their own time was over, and were counted in the oldest open slot.
        gaps: Messages before them that are missed by now; each is told once.
    """

    state: DeviceState
    verdicts: Sequence[Decision]
    counted: NDArray[np.bool_]
    superseded: int = 0
    late: int = 0
    gaps: Sequence[Gap] = ()


def decide(
    state: DeviceState | None, sketch: Sketch, message: MessageKey, *, profile: Profile, settings: DriftSettings
) -> tuple[DeviceState, Decision]:
    """Count one message of a device, once, and judge the windows that it fills: `count` for a single sketch.

    Raises:
        ValueError: The sketch, the message and the profile, or the state and the message, do not belong together.
    """
    if sketch.profile.hash != profile.hash:
        raise ValueError(f"a sketch of profile {sketch.profile.hash} for message {message}")
    counted = count(state, run_of([message], [sketch]), profile=profile, settings=settings)
    return counted.state, counted.verdicts[-1]


def run_of(keys: Sequence[MessageKey], sketches: Sequence[Sketch]) -> Run:
    """Messages of one epoch of a device and one model version, with their sketches, as a run."""
    one = keys[0]
    return Run(
        device=one.device,
        model=one.model,
        version=one.version,
        profile=one.profile,
        epoch=one.epoch,
        sequences=np.array([key.sequence for key in keys], np.int64),
        at_us=np.array([key.at_us for key in keys], np.int64),
        rows=np.array([sketch.rows for sketch in sketches], np.int64),
        content=Sketches(sketches),
    )


def count(state: DeviceState | None, run: Run, *, profile: Profile, settings: DriftSettings) -> Counted:
    """Count messages of a device, each once, and judge the windows that they fill.

    Messages that were counted before change nothing, nor do those about a model that was replaced. Messages of one
    model may come in any order, as late as the loop allows: the windows are the same. Messages of another model
    version or profile, sent after all that were counted, start afresh; what was open of the old one is let go.

    Args:
        state: What is known of the device; None before its first message.
        run: The messages.
        profile: The profile of the model that they are about.
        settings: What the loop watches.

    Raises:
        ValueError: The run and the profile, or the state and the run, do not belong together.
    """
    if run.profile != profile.hash or (state and state.device != run.device):
        raise ValueError(f"a run of {run.device} and profile {run.profile} for another device's state or profile")
    channels = channels_of(profile, settings)
    state = state or _fresh(run, channels)
    epoch = state.ledger.epoch(run.epoch)
    new = epoch.new(run.sequences)
    if not new.any():
        told = f"message {run.sequences[-1]} of epoch {run.epoch} was counted before"
        return Counted(state, [Duplicate(told)], new)
    ledger = state.ledger.plus(epoch.plus(run.sequences[new], run.at_us[new]))
    if (state.model, state.version, state.profile) != (run.model, run.version, run.profile):
        if not state.ledger.is_newer(run.epoch, int(run.sequences[new].max())):
            told = f"{run.model}:{run.version} was replaced by {state.model}:{state.version}"
            return Counted(replace(state, ledger=ledger), [Superseded(told)], ~new & new, superseded=int(new.sum()))
        state = _fresh(run, channels, after=state)
    if state.channels != channels.id:
        evidence = _none(channels, state)
        state = replace(state, channels=channels.id, evidence=evidence, episode=None, last_alarm=None)
    return _fill(replace(state, ledger=ledger), run, new, channels=channels, settings=settings)


def _fresh(run: Run, channels: Channels, *, after: DeviceState | None = None) -> DeviceState:
    """Nothing known of this model yet; which messages were counted, and the numbers of windows, go on."""
    return DeviceState(
        device=run.device,
        model=run.model,
        version=run.version,
        profile=run.profile,
        channels=channels.id,
        ledger=after.ledger if after else Ledger(),
        pending_rows=0,
        pending=np.zeros(channels.places, np.int64),
        evidence=_none(channels, after),
    )


def _none(channels: Channels, after: DeviceState | None) -> Evidence:
    return Evidence.none(len(channels.shares), windows=after.evidence.windows if after else 0)


def _fill(
    state: DeviceState, run: Run, new: NDArray[np.bool_], *, channels: Channels, settings: DriftSettings
) -> Counted:
    """Add the new messages to the slots they belong to, close the slots whose time is over, judge what they fill."""
    places, lateness = np.flatnonzero(new), micro(settings.lateness)
    at_us = run.at_us[places]
    newest, border = max(state.newest_us, int(at_us.max())), frontier(state.newest_us, lateness)
    starts = slots_of(at_us, lateness)
    late = int(np.count_nonzero(starts < border))
    starts = np.maximum(starts, border)  # what is late goes ahead of every slot that is open
    slots = Slots(run, places, starts, {slot.start_us: slot for slot in state.waiting})
    closes = frontier(newest, lateness)
    open_from = bisect_left(slots.starts_us, closes) if lateness else len(slots.starts_us)
    ledger, gaps = state.ledger.gaps(closes)
    state = replace(state, ledger=ledger, newest_us=newest, waiting=slots.kept(open_from))
    state, verdicts = _close(state, slots, open_from, channels=channels, settings=settings)
    return Counted(state, verdicts or [TooFew(_open(state, settings))], new, late=late, gaps=gaps)


def _close(
    state: DeviceState, slots: Slots, end: int, *, channels: Channels, settings: DriftSettings
) -> tuple[DeviceState, list[Decision]]:
    """Add the slots before a place to windows; judge those that are full."""
    verdicts: list[Decision] = []
    opened, long_us = Opened(state.pending_rows, state.opened_us), micro(settings.window_at_most)
    for part in cut(slots.starts_us[:end], slots.rows[:end], opened, full=settings.window_rows, long_us=long_us):
        if part.end > part.first:
            state = replace(
                state,
                opened_us=state.opened_us if state.pending_rows else slots.starts_us[part.first],
                pending_rows=state.pending_rows + sum(slots.rows[part.first : part.end]),
                pending=state.pending + slots.counts(part.first, part.end),
            )
        if part.fills:
            state, verdict = _judge(state, channels, settings)
            verdicts.append(verdict)
    return state, verdicts


def _open(state: DeviceState, settings: DriftSettings) -> str:
    waiting = sum(slot.rows for slot in state.waiting)
    also = f", and {waiting} that others may still precede" if waiting else ""
    return f"{state.pending_rows} of {settings.window_rows} rows of window {_number(state)}{also}"


def _number(state: DeviceState) -> int:
    """The open window's number, from 1."""
    return state.evidence.windows + 1


def _judge(state: DeviceState, channels: Channels, settings: DriftSettings) -> tuple[DeviceState, Decision]:
    """Score the full window and open the next."""
    window, left_out = _number(state), _left_out(channels, state.pending)
    evidence, finding = score(state.evidence, state.pending, channels)
    state = replace(state, evidence=evidence, pending_rows=0, pending=np.zeros_like(state.pending))
    if finding is None:
        nothing = f"the reference of profile {state.profile} has nothing that is watched and can be compared"
        return state, TooFew(f"{nothing}{left_out}")
    if finding.log_evidence >= log(settings.false_alarm_every):
        return _alarm(state, finding, window=window, left_out=left_out)
    return _calm(state, finding, window=window, left_out=left_out, settings=settings)


def _left_out(channels: Channels, counts: NDArray[np.int64]) -> str:
    """What the loop watches and this model's profile does not have, and rows of contexts that it does not know."""
    absent = f"; not in this model's profile: {', '.join(channels.unknown)}" if channels.unknown else ""
    elsewhere = channels.elsewhere(counts)
    if elsewhere < _MANY:
        return absent
    return f"{absent}; {_percent(elsewhere)} of the rows are of no context that training knew"


def _calm(
    state: DeviceState, finding: Finding, *, window: int, left_out: str, settings: DriftSettings
) -> tuple[DeviceState, Steady]:
    strength = f"evidence {exp(finding.log_evidence):.3g} of {settings.false_alarm_every:.3g}"
    notable = f"most notable {explain(finding)} ({strength}){left_out}"
    if state.last_alarm is None:
        return state, Steady(f"window {window}: within tolerance; {notable}", finding.log_evidence)
    if window - state.last_alarm < settings.calm_windows:
        goes_on = f"window {window}: no new alarm in the drift of window {state.episode}; {notable}"
        return state, Steady(goes_on, finding.log_evidence)
    calm = f"{settings.calm_windows} windows without an alarm"
    over = f"window {window}: the drift of window {state.episode} is over, {calm}{left_out}"
    return replace(state, episode=None, last_alarm=None), Steady(over, finding.log_evidence)


def _alarm(state: DeviceState, finding: Finding, *, window: int, left_out: str) -> tuple[DeviceState, Drifted]:
    episode = state.episode or window
    explanation = explain(finding)
    told = "" if episode == window else f"; the drift of window {episode} goes on"
    drifted = Drifted(
        reason=f"{explanation}{told}{left_out}",
        explanation=explanation,
        feature=finding.feature,
        words=finding.words,
        rising=finding.rising,
        before=finding.before,
        after=finding.after,
        since=finding.since,
        window=window,
        episode=episode,
        log_evidence=finding.log_evidence,
    )
    return replace(state, evidence=state.evidence.forgiven(), episode=episode, last_alarm=window), drifted


def explain(finding: Finding, *, since: str = "") -> str:
    """A finding in words.

    Args:
        finding: What the detector found.
        since: What its first window is called; its number unless given.
    """
    before, after = _percent(finding.before), _percent(finding.after)
    since = since or f"window {finding.since}"
    return f"{finding.feature}, {finding.words}: {before} → {after}, since {since}"


def _percent(share: float) -> str:
    """A share as people say it: whole from 10 % on, with a decimal below."""
    decimals = 0 if share >= _WHOLE or round(share, 3) == 0 else 1
    return f"{100 * share:.{decimals}f} %"
