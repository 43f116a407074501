"""Does a version keep what its training promised? Late labels of its own devices say so; nobody else has to be there.

What answers cost depends on how often the thing happens where they are given: where it is rare, any answer is cheap.
So it is taken as a share of what the best single answer to the same rows would have cost, which is known afterwards.
Of held-out rows that share is the promise. A version keeps it where its answers surely cost no more than the loop
allows on top of it, and less than that single answer: one that knows nothing but how often it happens keeps nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist, fmean

from functions.field import Use, together
from functions.loops import METRICS, Metric
from functions.rollout.compare import bounds
from functions.rollout.losses import FEWEST, mean_loss, noise_of

FEWEST_HELD_OUT = 100  # rows that promise anything
FEWEST_PERIODS = 10  # with outcomes: some easy hours are no promise kept


@dataclass(frozen=True, slots=True)
class Promise:
    """What a version's answers cost on rows that its training held out.

    Args:
        rows: How many.
        positives: Those whose label is true.
        loss: What they cost, summed, in the loop's metric.
        squares: The squares of that, summed.
    """

    rows: int
    positives: int
    loss: float
    squares: float

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]], metric: Metric) -> "Promise":
        """From the groups of a profile's calibration, as they are written (sketch/calibration.py)."""
        first = 3 if metric == "log_loss" else 5
        told = [(int(group[1]), int(group[2]), group[first], group[first + 1]) for group in groups]
        rows, positives, loss, squares = (sum(column) for column in zip(*told, strict=True))
        return cls(int(rows), int(positives), loss, squares)

    def share(self, metric: Metric, *, risk: float) -> float | None:
        """What is surely not less than promised, but for `risk`: a share of the cost of the best single answer."""
        if self.rows < FEWEST_HELD_OUT or not 0 < self.positives < self.rows:
            return None
        mean = self.loss / self.rows
        error = sqrt(max(self.squares / self.rows - mean * mean, 0.0) / self.rows)
        rate = self.positives / self.rows
        return (mean - NormalDist().inv_cdf(1 - risk) * error) / _single(rate, rate, metric)


def kept(uses: Sequence[Use], promise: Promise, *, metric: Metric, risk: float, may_grow: float) -> str:
    """What shows that a version surely keeps its promise, for a person; "" if nothing does.

    Args:
        uses: What the devices that have it do with it.
        promise: What its training promised.
        metric: The loss that counts.
        risk: Probability that this is ever said of a version that does not; the promise's own error has half of it.
        may_grow: How many times the promise is allowed.
    """
    told = [one for one in together(judged for use in uses for judged in use.judged) if one.rows >= FEWEST]
    share, rows = promise.share(metric, risk=risk / 2), sum(one.rows for one in told)
    rate = sum(one.positives for one in told) / max(rows, 1)
    if share is None or len(told) < FEWEST_PERIODS or not 0 < rate < 1:
        return ""
    allowed = min(may_grow * share, 1.0)
    excess = [mean_loss([one], metric) - allowed * _single(one.positives / one.rows, rate, metric) for one in told]
    if bounds(excess, risk=risk, noise=fmean(noise_of(one, metric) for one in told)).high >= 0:  # one side is looked at
        return ""
    cost, single = mean_loss(told, metric), _single(rate, rate, metric)
    of_single = f"surely less than {allowed:.0%} of the {single:.3f} that the best single answer costs"
    return f"{METRICS[metric]} of its {rows} rows with outcomes: {cost:.3f}, {of_single}, as its training promised"


def _single(rate: float, answer: float, metric: Metric) -> float:
    """What a row costs if every answer is the same, and so large a share of the rows is true."""
    if metric == "log_loss":
        return -(rate * log(answer) + (1 - rate) * log(1 - answer))
    return rate * (1 - answer) ** 2 + (1 - rate) * answer**2
