"""How much one row tells of the next: what a window's rows are worth is less than their number.

Within a window, rows that follow each other resemble each other: a mean of n of them varies as much as one of n / v
independent ones, with v = 1 + 2 (r(1) + r(2) + ...), where r(h) is the correlation of rows that are h apart. They are
estimated from the reference's rows in their order, sequence by sequence (a site, a device), in stretches of 200 rows,
after the mean of each row's context and the mean of the stretch are taken away: what a context or a slow season
explains is no dependence within a window. The sum takes six lags and straight lines between them, up to the first that
may as well be chance. What is kept is the r of the simplest process that varies as much, where r(h) is the power r^h
and v = (1 + r) / (1 - r). The first lag alone is not enough: whether a slow value is above a limit, or which category
it makes, is forgotten at first fast and then slowly.

What is multiplied is where a value stands in the reference (its mid-rank, 0..1), or whether it is one of the most
frequent categories: no outlier decides. All sums are of whole numbers, so that partitions add up exactly.
"""

import numpy as np
from numpy.typing import NDArray

from sketch.features import CategoryFeature, Column, Feature

STRETCH_ROWS = 200
LAGS = (1, 2, 4, 8, 16, 32)
LARGEST = 0.99
_LEVELS = 2**15  # Steps between the lowest and the highest rank.
_CATEGORIES = 8
_CERTAIN = 3.0  # Standard errors of a correlation of nothing: less is chance.

type Sums = NDArray[np.int64]


def stretches_of(sequences: Column | None, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows sequence by sequence, and where each stretch of at most 200 begins in that order.

    Args:
        sequences: What each row belongs to, such as its site, shape (rows,); None when all are of one sequence.
        rows: How many there are, at least one.
    """
    if sequences is None:
        return np.arange(rows), np.arange(0, rows, STRETCH_ROWS)
    _, label = np.unique(np.asarray(sequences, dtype=str), return_inverse=True)
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    since = np.arange(rows) - np.repeat(starts, np.diff(starts, append=rows))
    return order, np.flatnonzero(since % STRETCH_ROWS == 0)


def levels_of(feature: Feature, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """What stands for a row of each stretch of cells, in 0..32768; one line per series, shape (series, stretches).

    Args:
        feature: A number: one series, its rank. A category: a series for each of its most frequent names.
        counts: Reference rows per stretch, shape (stretches,).
    """
    known = counts[:-1]
    if isinstance(feature, CategoryFeature):
        series = min(len(feature.categories), _CATEGORIES)
        return np.eye(series, len(counts), dtype=np.int64) * _LEVELS
    ranks = (np.cumsum(known) - known / 2) / max(int(known.sum()), 1)
    return np.append(np.round(ranks * _LEVELS), 0).astype(np.int64)[np.newaxis]


def sums_of(
    levels: NDArray[np.int64], places: NDArray[np.int64], usual: NDArray[np.int64], starts: NDArray[np.intp]
) -> Sums:
    """Products of rows of one stretch that are a lag apart, half of both their squares, and how many; shape (lags, 3).

    Args:
        levels: Of one series, shape (stretches,); the last one is missing.
        places: Stretch of cells of each row, in the order of the rows, shape (rows,).
        usual: Mean level of each row's context, shape (rows,).
        starts: Where stretches of rows begin.
    """
    known = places < len(levels) - 1
    apart = np.where(known, levels[places] - usual, 0)
    sizes = np.diff(starts, append=len(places))
    means = np.add.reduceat(apart, starts) // np.maximum(np.add.reduceat(known.astype(np.int64), starts), 1)
    apart = np.where(known, apart - np.repeat(means, sizes), 0)
    stretch, squares = np.repeat(np.arange(len(starts)), sizes), apart**2
    sums = np.zeros((len(LAGS), 3), np.int64)
    for line, lag in zip(sums, LAGS, strict=True):
        both = known[lag:] & known[:-lag] & (stretch[lag:] == stretch[:-lag])
        products, halves = apart[lag:] * apart[:-lag], squares[lag:] + squares[:-lag]
        line[:] = products[both].sum(), halves[both].sum() // 2, both.sum()
    return sums


def autocorrelation(sums: Sums) -> float:
    """What is kept of the sums, 0..0.99, with four digits; 0 when a row and the next show nothing but chance.

    Args:
        sums: Shape (lags, 3).
    """
    products, squares, neighbours = sums.astype(np.float64).T
    found = products / np.maximum(squares, 1)
    chance = found * np.sqrt(neighbours) < _CERTAIN
    end = int(chance.argmax()) if chance.any() else len(LAGS) - 1
    if end == 0 and chance[0]:
        return 0.0
    last = LAGS[end]
    found[end:] = np.where(chance[end:], 0.0, found[end:])
    inflation = 1 + 2 * float(np.interp(np.arange(1, last + 1), LAGS, found).sum())
    # A mean that is taken away takes v / 200 from every correlation, which is put back.
    inflation /= 1 - 2 * last / STRETCH_ROWS
    return round(min((inflation - 1) / (inflation + 1), LARGEST), 4)
