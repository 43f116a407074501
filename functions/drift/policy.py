"""What a loop watches for drift, and how seldom it cries wolf."""

from dataclasses import dataclass
from datetime import timedelta

from functions.loops import Loop


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """The `[drift]` section of a loop file.

    Attributes:
        features: Names of the features to watch; empty watches all of the model's.
        pairs: Features, two numbers each, that the loop declares as pairs; those that a profile has are watched.
        contexts: Columns that the loop declares as contexts; those that a profile has are used.
        scores: Whether the model's scores are watched too.
        window_rows: Rows that make one window, >= 1; more rows see smaller changes, later.
        window_at_most: What happened so long after a window's beginning begins another, however few rows it has.
        lateness: Messages of a device may come in any order within it, and be as late; nothing is judged before.
        false_alarm_every: Windows of one device, on average, until a false alarm; > 1.
        tolerance: Change of a share that is nobody's concern, in 0..1, on top of the reference's own error.
        calm_windows: After so many without an alarm a drift is over; >= 1.
    """

    features: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    contexts: tuple[str, ...] = ()
    scores: bool = True
    window_rows: int = 200
    window_at_most: timedelta = timedelta.max
    lateness: timedelta = timedelta(0)
    false_alarm_every: float = 100_000
    tolerance: float = 0.0
    calm_windows: int = 24

    def __post_init__(self) -> None:
        soon = min(self.window_at_most - timedelta(microseconds=1), self.lateness) < timedelta(0)
        if (
            soon
            or min(self.window_rows, self.calm_windows) < 1
            or not self.false_alarm_every > 1
            or not 0 <= self.tolerance < 1
        ):
            raise ValueError(f"no detector has these settings: {self}")


def watched(loop: Loop) -> DriftSettings:
    """What a loop watches."""
    return DriftSettings(
        features=tuple(loop.drift.features),
        pairs=tuple((left, right) for left, right in loop.drift.pairs),
        contexts=tuple(loop.drift.contexts),
        window_rows=loop.drift.window_rows,
        window_at_most=loop.drift.window_at_most,
        lateness=loop.drift.lateness,
        false_alarm_every=loop.drift.false_alarm_every,
        tolerance=loop.drift.tolerance,
        scores=loop.drift.scores,
        calm_windows=loop.drift.calm_windows,
    )
