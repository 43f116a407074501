"""How much one row tells of the next: what a window's rows are worth is less than their number.

Within a window, rows that follow each other resemble each other: n of them say as much as n (1 - r) / (1 + r)
independent ones. r is estimated from the reference's rows in their order, sequence by sequence (a site, a device), in
stretches of 200 rows, after the mean of each row's context and the mean of the stretch are taken away: what a context
or a slow season explains is no dependence within a window.

What is multiplied is where a value stands in the reference (its mid-rank, 0..1), or whether it is one of the most
frequent categories: no outlier decides. All sums are of whole numbers, so that partitions add up exactly.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sketch.features import CategoryFeature, Column, Feature

STRETCH_ROWS = 200
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
    """Products of neighbours, and half of both their squares, over all neighbours of one stretch; and how many.

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
    both = known[1:] & known[:-1]
    both[starts[1:] - 1] = False
    before, after = apart[:-1][both], apart[1:][both]
    return np.array([(before * after).sum(), (before**2 + after**2).sum() // 2, len(before)], np.int64)


def autocorrelation(sums: Sequence[int]) -> float:
    """The correlation that the sums show, 0..0.99, with four digits; 0 when it may as well be chance."""
    products, squares, neighbours = sums
    found = products / squares if squares else 0.0
    if found * np.sqrt(max(neighbours, 1)) < _CERTAIN:
        return 0.0
    return round(min(found, LARGEST), 4)
