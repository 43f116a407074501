"""Bounds on a mean that hold however often one looks. Numbers in, numbers out.

Of n numbers x with mean m and (biased) variance s^2, drawn from a normal distribution of any mean p and any variance,

    M(p) = sqrt(c / (n + c)) * (1 - n / (n + c) * (m - p)^2 / ((m - p)^2 + s^2)) ^ (-n / 2)

is what a gambler has who started with 1 and bet against p, averaged over all effect sizes (normal with variance 1/c)
and without knowing the variance. If p is the mean, no bet pays on average, so M(p) ever reaches 1/risk with probability
`risk` at most: whenever one looks, the mean lies among the p with M(p) < 1/risk, which is an interval about m.

Of two such samples with one variance, whose means differ by m, the same gambler bets against a difference of d, with
k = 1 / (1 / before + 1 / now) instead of n, n - 1 for the exponent's n, and the variance about each sample's own mean
times n / k. What one sample lacks in numbers to show its variance, the other has.

Source: Lai 1976; Wang and Ramdas 2024, "Anytime-valid t-tests and confidence sequences for Gaussian means"; for two
samples Lindon, Ham, Tingley and Bojinov 2022, "Anytime-valid linear models and regression adjusted causal inference".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from statistics import fmean

C = 0.1  # effects of a few standard deviations are what a rollout is afraid of: those are found first
BEFORE, NOW = 3, 5  # values at the least: what is odd about one site for some periods is no change of its mean


@dataclass(frozen=True, slots=True)
class Between:
    """Where a number lies for sure, but for the risk that was taken."""

    low: float
    high: float

    def __sub__(self, other: "Between") -> "Between":
        """The difference of two numbers: it lies here if each lies where it is said to."""
        return Between(self.low - other.high, self.high - other.low)

    @property
    def at_least(self) -> float:
        """How far from 0 it surely is, >= 0."""
        return max(self.low, -self.high, 0.0)


def bounds(values: Sequence[float], *, risk: float, noise: float = 0.0) -> Between:
    """Where the mean of normal values lies, at every look at once but for `risk`.

    Args:
        values: One a period, in order of time or not.
        risk: Probability, 0..1, that the mean is ever outside.
        noise: Variance that the values have at the least, because each is itself a share of some rows.
    """
    n = len(values)
    if n < 2:  # noqa: PLR2004  # one value has no variance
        return Between(-inf, inf)
    return _about(fmean(values), max(_variance(values), noise), _far(n, n, risk))


def change(before: Sequence[float], now: Sequence[float], *, risk: float, noise: float = 0.0) -> Between:
    """Where the mean of values now less that of values before lies, at every look at once but for `risk`.

    Args:
        before: Normal values, one a period.
        now: The same after something happened. It may have changed how much they vary: the larger variance counts.
        risk: Probability, 0..1, that the difference of the means is ever outside.
        noise: Variance that the values have at the least.
    """
    if len(before) < BEFORE or len(now) < NOW:
        return Between(-inf, inf)
    n = len(before) + len(now)
    k = len(before) * len(now) / n
    variance = max(_variance(before), _variance(now), noise)
    return _about(fmean(now) - fmean(before), variance * n / k, _far(k, n - 1, risk))


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return fmean((value - mean) ** 2 for value in values)


def _about(mean: float, variance: float, far: float) -> Between:
    reach = sqrt(variance) * far if far < inf else inf
    return Between(mean - reach, mean + reach)


def log_wealth(values: Sequence[float], p: float) -> float:
    """Logarithm of M(p); the values are not all p."""
    n = len(values)
    off = fmean(values) - p
    square = fmean((value - p) ** 2 for value in values)
    return log(C / (n + C)) / 2 - n / 2 * log(1 - n / (n + C) * off * off / square)


def _far(k: float, freedom: int, risk: float) -> float:
    """How many standard deviations off M is at 1 / risk; infinite for too few values, whatever they are."""
    rest = 1 - float((risk * sqrt(C / (k + C))) ** (2 / freedom))
    share = rest * (k + C) / k
    return sqrt(share / (1 - share)) if share < 1 else inf
