"""Bounds on a mean that hold however often one looks, whatever the rows have to do with each other. Numbers in and out.

For rows x in 0..1, one after another, with guesses g made before each was seen, for every 0 < l < 1

    exp(l * sum(x - m) - (-log(1 - l) - l) * sum((x - g)^2))

is, with m what each row was to be expected to cost given all before it, never more than 1 on average, at whatever
moment one looks; the same holds for a mean of such terms over several l. So the average of what the rows were to be
expected to cost lies, at every look at once but for the risk taken, where that mean stays below 1 / risk. Rows need
not be independent, nor alike: a bad day's rows may all be expected to cost more. Then that is what they cost.

Source: Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
theorem 4 (empirical Bernstein), after Fan, Grama and Liu 2015; Waudby-Smith and Ramdas 2024, theorem 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p

BETS = tuple(0.8 * 0.45**number for number in range(8))  # from what suits 20 rows to what suits ten million
PRIOR_ROWS = 30  # so many rows the first guess is worth


@dataclass(frozen=True, slots=True)
class Losses:
    """What the rows of one window cost.

    Args:
        rows: How many.
        total: What they cost, summed.
        squares: The squares of that, summed.
    """

    rows: int
    total: float
    squares: float


@dataclass(frozen=True, slots=True)
class Between:
    """Where a mean lies for sure, but for the risk that was taken."""

    low: float
    high: float


def mean_of(windows: Sequence[Losses]) -> float:
    """What a row cost on average; at least one window has rows."""
    return sum(window.total for window in windows) / sum(window.rows for window in windows)


def bounds(windows: Sequence[Losses], *, expected: float, most: float, risk: float) -> Between:
    """Where the average lies of what rows were to be expected to cost, at every look at once but for `risk`.

    Args:
        windows: In order of time, each with what its rows cost; at least one has rows.
        expected: What a row was expected to cost before the first window: a better guess makes narrower bounds.
        most: What a row can cost at the most, > 0; at the least it is 0.
        risk: Probability, 0..1, that the average is ever outside.
    """
    rows, total, variation = 0, 0.0, 0.0
    for window in windows:
        guess = (PRIOR_ROWS * expected + total) / (PRIOR_ROWS + rows)
        variation += window.squares - 2 * guess * window.total + window.rows * guess * guess
        rows, total = rows + window.rows, total + window.total
    reach = most * _reach(variation / most**2, risk / 2) / rows
    return Between(max(total / rows - reach, 0.0), min(total / rows + reach, most))


def _reach(variation: float, risk: float) -> float:
    """How far a sum may lie from what was to be expected, on one side, before the gambler has 1 / risk."""
    enough = -log(risk)
    low, high = 0.0, min((enough + log(len(BETS)) + _price(bet) * variation) / bet for bet in BETS)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_wealth(middle, variation) < enough else (low, middle)
    return high


def log_wealth(excess: float, variation: float) -> float:
    """Logarithm of what a gambler has who started with 1, once a sum lies so far above what was to be expected."""
    terms = [bet * excess - _price(bet) * variation for bet in BETS]
    largest = max(terms)
    return largest + log(sum(exp(term - largest) for term in terms) / len(BETS))


def _price(bet: float) -> float:
    return -log1p(-bet) - bet
