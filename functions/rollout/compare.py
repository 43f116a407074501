"""Bounds on means and their differences that hold however often one looks. Numbers in, numbers out.

For values in 0..1 with mean p, of which n were seen with sum k,

    M(p) = B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p^k * (1 - p)^(n - k))

is what a gambler has who started with 1 and bet against p on each value, averaged over all ways to bet (the density is
Jeffreys'). If p is the mean, no bet pays on average, so M(p) ever reaches 1/risk with probability `risk` at most:
whenever one looks, the mean lies among the p with M(p) < 1/risk. Only n and k are needed, so counts can be added first.

The gamblers of several groups may pool what they have: the product of their M is worth 1 on average too. So the means
of all groups lie together, at every look but for `risk`, where that product is below 1/risk, and any sum or difference
of them lies between its least and its greatest value there.

Source: Ville 1939; Robbins 1970, the method of mixtures; Waudby-Smith and Ramdas 2024 for bounded values by betting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt

_CERTAIN = 1e-12
_HALVINGS = 40
_PRICES = 30.0  # logarithm of the highest price of a nat; the lowest is its inverse


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one mean.

    Args:
        total: Sum of the values, each in 0..1.
        number: How many values.
    """

    total: float
    number: float

    @property
    def mean(self) -> float:
        """In 0..1; a half before the first value."""
        return self.total / self.number if self.number > 0 else 0.5

    def tempered(self, by: float) -> "Seen":
        """As if there were `by` times fewer values: rows of one moment are alike, and tell less than others."""
        return Seen(self.total / by, self.number / by)


@dataclass(frozen=True, slots=True)
class Between:
    """Where a number lies for sure, but for the risk that was taken."""

    low: float
    high: float

    def minus(self, number: float) -> "Between":
        """The distance from a known number, with its sign."""
        return Between(self.low - number, self.high - number)

    @property
    def at_least(self) -> float:
        """How far from 0 it surely is, >= 0."""
        return max(self.low, -self.high, 0.0)

    @property
    def at_most(self) -> float:
        """How far from 0 it may be, >= 0."""
        return max(abs(self.low), abs(self.high))


def bounds(seen: Seen, *, risk: float) -> Between:
    """Where a mean lies, at every look at once but for `risk`, 0..1."""
    return _range([(1, seen)], risk)


def difference(treated: Seen, control: Seen, *, risk: float) -> Between:
    """How much larger one mean is than another."""
    return _range([(1, treated), (-1, control)], risk)


def difference_in_differences(
    treated: Seen, treated_before: Seen, control: Seen, control_before: Seen, *, risk: float
) -> Between:
    """How much more a mean changed where something was changed than where nothing was, in the same time.

    What makes the two groups differ for good, and what changes for both alike, cancels out.
    """
    return _range([(1, treated), (-1, treated_before), (-1, control), (1, control_before)], risk)


def log_wealth(seen: Seen, p: float) -> float:
    """Logarithm of M(p)."""
    return _beta(seen) - seen.total * log(p) - (seen.number - seen.total) * log(1 - p)


def _range(groups: Sequence[tuple[int, Seen]], risk: float) -> Between:
    low = _least(groups, risk)
    high = -_least([(-sign, seen) for sign, seen in groups], risk)
    return Between(low, high)


def _least(groups: Sequence[tuple[int, Seen]], risk: float) -> float:
    """The least sum of signed means whose product of M is below 1/risk.

    For a price t of a nat of that product, each group's best mean is the root of a quadratic; the price is found by
    halving, and the cheaper side of the last interval is taken, where the product is still too large: never too narrow.
    """
    betas, needed = sum(_beta(seen) for _, seen in groups), -log(risk)
    cheap, dear = -_PRICES, _PRICES
    for _ in range(_HALVINGS):
        middle = (cheap + dear) / 2
        means = [_best(sign, seen, exp(middle)) for sign, seen in groups]
        spent = betas - sum(
            seen.total * log(p) + (seen.number - seen.total) * log(1 - p)
            for p, (_, seen) in zip(means, groups, strict=True)
        )
        cheap, dear = (middle, dear) if spent > needed else (cheap, middle)
    return sum(sign * _best(sign, seen, exp(cheap)) for sign, seen in groups)


def _best(sign: int, seen: Seen, price: float) -> float:
    """Where sign * p + price * log M(p) is least: the root in 0..1 of the quadratic that its derivative makes."""
    n, k = price * seen.number, price * seen.total
    if sign > 0:
        p = 2 * k / (1 + n + sqrt(max((1 + n) ** 2 - 4 * k, 0.0)))
    else:
        p = 1 - 2 * (n - k) / (1 + n + sqrt(max((1 + n) ** 2 - 4 * (n - k), 0.0)))
    return min(max(p, _CERTAIN), 1 - _CERTAIN)


def _beta(seen: Seen) -> float:
    k, rest = seen.total, seen.number - seen.total
    return lgamma(k + 0.5) + lgamma(rest + 0.5) - lgamma(seen.number + 1) - 2 * lgamma(0.5)
