"""What a device's windows should be, computed from the log of its distinct messages: plainly, all at once, in order."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from functions.drift.decide import decide
from functions.drift.ledger import MessageKey
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from functions.drift.window import micro
from sketch.profile import Profile
from sketch.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Logged:
    """One message of the log."""

    at_us: int
    sketch: Sketch


@dataclass(frozen=True, slots=True)
class Cut:
    """The log dealt out: full windows in order, and what is left."""

    windows: Sequence[Sketch]
    opened: Sketch
    waiting: Sketch


def cut_by_time(log: Iterable[Logged], profile: Profile, settings: DriftSettings) -> Cut:
    """Slots as long as the lateness; those that ended a whole lateness before the newest message fill windows."""
    lateness, longest = micro(settings.lateness), micro(settings.window_at_most)
    slots: dict[int, Sketch] = defaultdict(lambda: Sketch(profile))
    newest = 0
    for one in log:
        start = one.at_us - one.at_us % lateness if lateness else one.at_us
        slots[start] += one.sketch
        newest = max(newest, one.at_us)
    windows, opened, since = list[Sketch](), Sketch(profile), 0
    waiting = Sketch(profile)
    for start in sorted(slots):
        if lateness and start + 2 * lateness > newest:
            waiting += slots[start]
            continue
        if opened.rows and start >= since + longest:
            windows.append(opened)
            opened = Sketch(profile)
        since = since if opened.rows else start
        opened += slots[start]
        if opened.rows >= settings.window_rows:
            windows.append(opened)
            opened = Sketch(profile)
    return Cut(windows, opened, waiting)


def judged(windows: Sequence[Sketch], profile: Profile, settings: DriftSettings) -> DeviceState | None:
    """The state after these windows, each counted as one message that is a window by itself."""
    each = replace(settings, window_rows=1, lateness=settings.lateness * 0)
    state = None
    for number, window in enumerate(windows):
        key = MessageKey("lga", "delays", "1", profile.hash, "windows", number, number)
        state, _ = decide(state, window, key, profile=profile, settings=each)
    return state


def agrees(state: DeviceState, log: Iterable[Logged], profile: Profile, settings: DriftSettings) -> str:
    """What of a state is not as the log says; empty if all is."""
    cut = cut_by_time(log, profile, settings)
    expected = judged(cut.windows, profile, settings)
    waiting = sum((slot.counts for slot in state.waiting), np.zeros_like(state.pending))
    if not _equal(state.pending, profile.by_stretch(cut.opened.counts)) or state.pending_rows != cut.opened.rows:
        return f"the open window has {state.pending_rows} rows, the log says {cut.opened.rows}"
    if not _equal(waiting, profile.by_stretch(cut.waiting.counts)):
        return f"{sum(slot.rows for slot in state.waiting)} rows wait, the log says {cut.waiting.rows}"
    if expected is None:
        return "" if state.evidence.windows == 0 else f"{state.evidence.windows} windows were judged, the log has none"
    if state.evidence.windows != expected.evidence.windows:
        return f"{state.evidence.windows} windows were judged, the log has {expected.evidence.windows}"
    same = state.evidence.to_bytes() == expected.evidence.to_bytes()
    same &= (state.episode, state.last_alarm) == (expected.episode, expected.last_alarm)
    return "" if same else "the evidence is not that of the windows in the log"


def _equal(left: NDArray[np.int64], right: NDArray[np.int64]) -> bool:
    return bool(np.array_equal(left, right))
