"""How sure is a gain? A confidence bound by resampling blocks of days, the same for the same report."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import batched
from math import fsum, inf, sqrt

LEAST_DAYS = 3  # fewer days say nothing about the next one
BLOCK_DAYS = 2  # weather lasts: two days in a row are drawn together, once there are days enough
MANY_DAYS = 12
RESAMPLES = 2_000
NOTHING = 1e-9  # a resample's error, as a share of the sample's, below which one day was drawn over and over


@dataclass(frozen=True, slots=True)
class Day:
    """One held-out day, both models on the same rows.

    Args:
        name: Such as 2013-02-18.
        rows: At least 1.
        gain: Mean loss of the champion less that of the challenger.
    """

    name: str
    rows: int
    gain: float


@dataclass(frozen=True, slots=True)
class Gain:
    """How much lower the challenger's loss is on the same rows.

    Args:
        mean: Per row; positive is better.
        lower: One-sided lower confidence bound of the mean; minus infinity if so few days bear none.
        days: Number of held-out days.
    """

    mean: float
    lower: float
    days: int

    @property
    def upper(self) -> float:
        """One-sided upper confidence bound of the mean; infinity if so few days bear none.

        The interval is symmetric, so this is what the champion's lower bound would be if it were the challenger.
        """
        return 2 * self.mean - self.lower


def gain(days: Sequence[Day], confidence: float) -> Gain:
    """The mean gain per row and its bound, by a studentised bootstrap of blocks of days.

    Rows of one day go wrong together, and so, a little, do two days in a row: blocks are drawn, never rows. Each
    resample's error is divided by its own standard error (the ratio estimator's, for clusters of unequal size), which
    keeps the bound honest when days are few. The interval is symmetric: one lucky day must not make the bound bolder.
    The draws depend on the days' names and rows only, so that swapping the models mirrors the interval.

    Args:
        days: In any order, without repeats; at least 12 are joined in twos, in the order of their names.
        confidence: One-sided, between 0.5 and 1.

    Source: Hall 1988, "On symmetric bootstrap confidence intervals"; Davison and Hinkley 1997, section 8.2.3 (blocks);
    Cochran 1977, section 6.3 (the standard error).
    """
    days = sorted(days, key=lambda day: day.name)
    if len(days) < LEAST_DAYS:
        return Gain(0.0, -inf, len(days))
    blocks = [_joined(block) for block in batched(days, BLOCK_DAYS if len(days) >= MANY_DAYS else 1, strict=False)]
    rows, gains = [block.rows for block in blocks], [block.gain for block in blocks]
    mean = fsum(n * g for n, g in zip(rows, gains, strict=True)) / sum(rows)
    squares = fsum((n * (g - mean)) ** 2 for n, g in zip(rows, gains, strict=True))
    error = sqrt(squares * len(blocks) / (len(blocks) - 1)) / sum(rows)
    if error == 0:
        return Gain(mean, mean, len(days))
    seed = sha256("\n".join(f"{block.name} {block.rows}" for block in blocks).encode()).digest()
    misses = _misses(rows, gains, mean=mean, error=error, seed=seed)
    within = 2 * confidence - 1  # of a two-sided interval, whose lower end is one-sided at `confidence`
    return Gain(mean, mean - misses[int(within * RESAMPLES)] * error, len(days))


def _joined(days: Sequence[Day]) -> Day:
    rows = sum(day.rows for day in days)
    return Day(days[0].name, rows, fsum(day.rows * day.gain for day in days) / rows)


def _misses(rows: Sequence[int], gains: Sequence[float], *, mean: float, error: float, seed: bytes) -> list[float]:
    """By how many of its own standard errors each resample's mean misses the sample's, up or down, in order."""
    import numpy as np  # noqa: PLC0415 - a tenth of the start, and few runs end in a comparison

    bits = np.random.PCG64(int.from_bytes(seed[:16]))  # the bits, whose stream no version of numpy changes
    drawn = (bits.random_raw(RESAMPLES * len(rows)) >> np.uint64(32)) % np.uint64(len(rows))
    drawn = drawn.reshape(RESAMPLES, len(rows)).astype(np.intp)
    n, g = np.asarray(rows, np.float64)[drawn], np.asarray(gains, np.float64)[drawn]
    total = n.sum(axis=1)
    means = (n * g).sum(axis=1) / total
    squares = ((n * (g - means[:, np.newaxis])) ** 2).sum(axis=1)
    errors = np.sqrt(squares * len(rows) / (len(rows) - 1)) / total
    known = errors > NOTHING * error
    missed = np.where(known, np.abs(means - mean) / np.where(known, errors, 1), np.inf)
    return sorted(float(one) for one in missed)
