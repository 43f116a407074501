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
from functions.rollout.compare import change

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
        before: Periods with outcomes in which both sides had the same version.
    """

    now: float
    control: float
    rows: int
    seen: float
    sure: float
    limit: float
    before: int


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
    noise = fmean(noise_of(one, metric) + noise_of(other, metric) for one, other in [*now, *usual])
    then, after = _differences(usual, metric), _differences(now, metric)
    changed = change(then, after, risk=risk, noise=noise)
    mine, theirs = ([pair[side] for pair in now] for side in (0, 1))
    control_loss = mean_loss(theirs, metric)
    return Costs(
        now=mean_loss(mine, metric),
        control=control_loss,
        rows=sum(one.rows for one in mine),
        seen=fmean(after) - fmean(then) if usual else 0.0,
        sure=changed.low if isfinite(changed.low) else 0.0,
        limit=(may_grow - 1) * control_loss,
        before=len(usual),
    )


def _pairs(treated: Sequence[Use], control: Sequence[Use]) -> Iterator[Pair]:
    """Periods of whose answers both sides know enough outcomes."""
    sides = [
        {one.at: one for one in together(judged for use in uses for judged in use.judged) if one.rows >= FEWEST}
        for uses in (treated, control)
    ]
    for at in sorted(sides[0].keys() & sides[1].keys()):
        yield sides[0][at], sides[1][at]


def _differences(pairs: Sequence[Pair], metric: Metric) -> list[float]:
    return [mean_loss([one], metric) - mean_loss([other], metric) for one, other in pairs]


def mean_loss(judged: Sequence[Judged], metric: Metric) -> float:
    """What a row cost."""
    return sum(_sums(one, metric)[0] for one in judged) / sum(one.rows for one in judged)


def noise_of(judged: Judged, metric: Metric) -> float:
    """Variance of a period's mean because it is one of so many rows."""
    total, squares = _sums(judged, metric)
    return max(squares / judged.rows - (total / judged.rows) ** 2, 0.0) / judged.rows


def _sums(judged: Judged, metric: Metric) -> tuple[float, float]:
    if metric == "log_loss":
        return judged.log_loss, judged.log_loss_squares
    return judged.brier, judged.brier_squares
