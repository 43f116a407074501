"""Do answers of a new version cost more than those of the last one? Period by period, once their outcomes are known.

As with scores, the difference between devices that have the new version and devices that have the last one is compared
with the one they had before, while both had the same version: a site may be harder than another, and a day than a day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

from functions.field import Judged, Use, together
from functions.loops import Metric
from functions.rollout.compare import Between, bounds

type Pair = tuple[Judged, Judged]

FEWEST = 20  # rows with outcomes, of a period and a side, that say anything


@dataclass(frozen=True, slots=True)
class Costs:
    """What answers cost where the new version is and where it is not.

    Args:
        now: Mean loss a row with the new version.
        control: Mean loss a row with the last one, in the same periods.
        rows: Rows with the new version whose outcomes are known.
        seen: So much more looks like the new version's own; 0 if both sides never had the same version.
        sure: So much more at least is the new version's own.
        limit: So much more is allowed.
    """

    now: float
    control: float
    rows: int
    seen: float
    sure: float
    limit: float


def compare(
    treated: Sequence[Use],
    control: Sequence[Use],
    *,
    before: Sequence[tuple[Sequence[Use], Sequence[Use]]],
    metric: Metric,
    risk: float,
    may_grow: float,
) -> Costs | None:
    """Compare losses; None where no period has outcomes of both sides.

    Args:
        treated: What devices do with the new version.
        control: What the others do with the last one.
        before: What both did with one and the same version, for each that they had.
        metric: The loss that counts.
        risk: Probability that more is ever claimed than is the version's own.
        may_grow: How many times the control's loss is allowed.
    """
    now = list(_pairs(treated, control))
    if not now:
        return None
    usual = [pair for one, other in before for pair in _pairs(one, other)]
    changed = _difference(now, metric, risk / 2) - _difference(usual, metric, risk / 2)
    mine, theirs = ([pair[side] for pair in now] for side in (0, 1))
    control_loss = _mean(theirs, metric)
    return Costs(
        now=_mean(mine, metric),
        control=control_loss,
        rows=sum(one.rows for one in mine),
        seen=_mean_difference(now, metric) - _mean_difference(usual, metric) if usual else 0.0,
        sure=changed.low if isfinite(changed.low) else 0.0,
        limit=(may_grow - 1) * control_loss,
    )


def _pairs(treated: Sequence[Use], control: Sequence[Use]) -> Iterator[Pair]:
    """Periods of whose answers both sides know enough outcomes."""
    sides = [
        {one.at: one for one in together(judged for use in uses for judged in use.judged) if one.rows >= FEWEST}
        for uses in (treated, control)
    ]
    for at in sorted(sides[0].keys() & sides[1].keys()):
        yield sides[0][at], sides[1][at]


def _mean_difference(pairs: Sequence[Pair], metric: Metric) -> float:
    return fmean(_differences(pairs, metric))


def _differences(pairs: Sequence[Pair], metric: Metric) -> list[float]:
    return [_mean([one], metric) - _mean([other], metric) for one, other in pairs]


def _difference(pairs: Sequence[Pair], metric: Metric, risk: float) -> Between:
    noise = fmean(_noise(one, metric) + _noise(other, metric) for one, other in pairs) if pairs else 0.0
    return bounds(_differences(pairs, metric), risk=risk, noise=noise)


def _mean(judged: Sequence[Judged], metric: Metric) -> float:
    return sum(_sums(one, metric)[0] for one in judged) / sum(one.rows for one in judged)


def _noise(judged: Judged, metric: Metric) -> float:
    """Variance of a period's mean because it is one of so many rows."""
    total, squares = _sums(judged, metric)
    return max(squares / judged.rows - (total / judged.rows) ** 2, 0.0) / judged.rows


def _sums(judged: Judged, metric: Metric) -> tuple[float, float]:
    if metric == "log_loss":
        return judged.log_loss, judged.log_loss_squares
    return judged.brier, judged.brier_squares
