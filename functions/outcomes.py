"""What devices tell of outcomes: sums over answers that one version gave in one stretch of time."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from functions.field import Judged, Use, Uses, judged, period_of

MOST_STRETCHES = 1_000  # of one message
MOST_LOG_LOSS, MOST_BRIER = 7.0, 1.0  # a row; the first is 6.9 and a bit, see sketch/losses.py
_ROUNDING = 1e-6

_Sum = Annotated[float, msgspec.Meta(ge=0)]


class Outcomes(msgspec.Struct, frozen=True):
    """One stretch, as edge/answers.py writes it.

    Args:
        version: Of the model that answered.
        at: Its beginning.
        rows: Answers whose outcome is known now.
        positives: Those whose outcome was true.
        log_loss_sum: What they cost, summed, nats.
        log_loss_squares: The squares of that, summed.
        brier_sum: Their squared errors, summed.
        brier_squares: The squares of these, summed.
    """

    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}\Z")]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
    positives: Annotated[int, msgspec.Meta(ge=0)]
    log_loss_sum: _Sum
    log_loss_squares: _Sum
    brier_sum: _Sum
    brier_squares: _Sum

    def __post_init__(self) -> None:
        """Refuse what no rows can have cost: the bounds on a loss rest on what a row can cost at the most."""
        told = (self.positives, self.log_loss_sum, self.log_loss_squares, self.brier_sum, self.brier_squares)
        most = (1, MOST_LOG_LOSS, MOST_LOG_LOSS**2, MOST_BRIER, MOST_BRIER)
        if any(one > self.rows * limit + _ROUNDING for one, limit in zip(told, most, strict=True)):
            raise ValueError(f"{self.rows} rows cannot have these sums")


def learnt(uses: Uses, told: Iterable[Outcomes], every: timedelta) -> Uses:
    """What versions did on a device, with the outcomes that one more message tells.

    Args:
        uses: As they were known before.
        told: The message's outcomes.
        every: Length of a period.
    """
    found: dict[str, list[Judged]] = {}
    for one in told:
        found.setdefault(one.version, []).append(_judged(one, every))
    fresh: dict[str, Use] = {version: judged(uses.get(version), some) for version, some in found.items()}
    return {**uses, **fresh}


def _judged(told: Outcomes, every: timedelta) -> Judged:
    return Judged(
        at=period_of(told.at, every),
        rows=told.rows,
        positives=told.positives,
        log_loss=told.log_loss_sum,
        log_loss_squares=told.log_loss_squares,
        brier=told.brier_sum,
        brier_squares=told.brier_squares,
    )
