"""Does a device still see what its model was trained on? No clock, no network, no SDK."""

from dataclasses import dataclass, replace
from math import exp, log

import numpy as np

from functions.drift.channels import Channels, channels_of
from functions.drift.detector import Evidence, Finding, score
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from functions.drift.window import Ledger, MessageKey
from sketch.profile import Profile
from sketch.sketch import Sketch

CALM_WINDOWS = 24  # Without an alarm for as long, a drift is over.
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


def decide(
    state: DeviceState | None, sketch: Sketch, message: MessageKey, *, profile: Profile, settings: DriftSettings
) -> tuple[DeviceState, Decision]:
    """Count one message of a device, once, and judge the window that it fills.

    A message delivered again, or late and about a replaced model, gives back the same state. Messages of one model may
    come in any order; a message of another model version or profile, sent after all that were counted, starts afresh.

    Args:
        state: What is known of the device; None before its first message.
        sketch: What the message counted.
        message: What names the message.
        profile: The profile of the model that the message is about.
        settings: What the loop watches.

    Raises:
        ValueError: The sketch, the message and the profile, or the state and the message, do not belong together.
    """
    if not sketch.profile.hash == message.profile == profile.hash or (state and state.device != message.device):
        raise ValueError(f"a sketch of profile {sketch.profile.hash} or another device's state, for message {message}")
    channels = channels_of(profile, settings)
    state = state or _fresh(message, channels)
    if state.ledger.has(message):
        return state, Duplicate(f"message {message.sequence} of epoch {message.epoch} was counted before")
    if (state.model, state.version, state.profile) != (message.model, message.version, message.profile):
        if not state.ledger.is_newer(message):
            return state, Superseded(f"{message.model}:{message.version} was replaced by {state.model}:{state.version}")
        state = _fresh(message, channels, after=state)
    if state.channels != channels.id:
        state = _fresh(message, channels, after=state)
    state = replace(
        state,
        ledger=state.ledger.plus(message),
        pending_rows=state.pending_rows + sketch.rows,
        pending=state.pending + sketch.counts,
    )
    if state.pending_rows < settings.window_rows:
        return state, TooFew(f"{state.pending_rows} of {settings.window_rows} rows of window {_number(state)}")
    return _judge(state, channels, settings)


def _fresh(message: MessageKey, channels: Channels, *, after: DeviceState | None = None) -> DeviceState:
    """Nothing known of this model yet; which messages were counted, and the numbers of windows, go on."""
    return DeviceState(
        device=message.device,
        model=message.model,
        version=message.version,
        profile=message.profile,
        channels=channels.id,
        ledger=after.ledger if after else Ledger(),
        pending_rows=0,
        pending=np.zeros(channels.cells, np.int64),
        evidence=Evidence.none(len(channels.shares), windows=after.evidence.windows if after else 0),
    )


def _number(state: DeviceState) -> int:
    """The open window's number, from 1."""
    return state.evidence.windows + 1


def _judge(state: DeviceState, channels: Channels, settings: DriftSettings) -> tuple[DeviceState, Decision]:
    """Score the full window and open the next."""
    window = _number(state)
    evidence, finding = score(state.evidence, state.pending, channels)
    state = replace(state, evidence=evidence, pending_rows=0, pending=np.zeros_like(state.pending))
    if finding is None:
        nothing = f"the reference of profile {state.profile} has nothing that is watched and can be compared"
        return state, TooFew(f"{nothing}{_left_out(channels)}")
    decision: Steady | Drifted
    if finding.log_evidence >= log(settings.false_alarm_every):
        state, decision = _alarm(state, finding, window=window)
    else:
        state, decision = _calm(state, finding, window=window, settings=settings)
    return state, replace(decision, reason=f"{decision.reason}{_left_out(channels)}")


def _left_out(channels: Channels) -> str:
    """What the loop watches and this model's profile does not have: an older model, or a typing error."""
    return f"; not in this model's profile: {', '.join(channels.unknown)}" if channels.unknown else ""


def _calm(state: DeviceState, finding: Finding, *, window: int, settings: DriftSettings) -> tuple[DeviceState, Steady]:
    strength = f"evidence {exp(finding.log_evidence):.3g} of {settings.false_alarm_every:.3g}"
    notable = f"most notable {explain(finding)} ({strength})"
    if state.last_alarm is None:
        return state, Steady(f"window {window}: within tolerance; {notable}", finding.log_evidence)
    if window - state.last_alarm < CALM_WINDOWS:
        goes_on = f"window {window}: no new alarm in the drift of window {state.episode}; {notable}"
        return state, Steady(goes_on, finding.log_evidence)
    over = f"window {window}: the drift of window {state.episode} is over, {CALM_WINDOWS} windows without an alarm"
    return replace(state, episode=None, last_alarm=None), Steady(over, finding.log_evidence)


def _alarm(state: DeviceState, finding: Finding, *, window: int) -> tuple[DeviceState, Drifted]:
    episode = state.episode or window
    explanation = explain(finding)
    told = "" if episode == window else f"; the drift of window {episode} goes on"
    drifted = Drifted(
        reason=f"{explanation}{told}",
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
