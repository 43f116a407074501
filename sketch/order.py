"""How much one row tells of the next: what a window's rows are worth is less than their number.

Within a window, rows that follow each other resemble each other: a mean of n of them varies as much as one of n / v
independent ones, with v = 1 + 2 (r(1) + r(2) + ...), where r(h) is the correlation of rows that are h apart. They are
estimated from the reference's rows in their order, sequence by sequence (a site, a device), in stretches of 200 rows,
after the mean of each row's context and the mean of the stretch are taken away: what a context or a slow season
explains is no dependence within a window. The sum takes six lags and straight lines between them, up to the first that
may as well be chance. What is kept is the r of the simplest process that varies as much, where r(h) is the power r^h
and v = (1 + r) / (1 - r). The first lag alone is not enough: whether a slow value is above a limit, or which category
it makes, is forgotten at first fast and then slowly.

What is multiplied is whether a row is counted: whether a number is above one of five of its edges, which of the most
frequent categories it is, whether it is missing. The most alike of these decide for the feature. All sums are of whole
numbers, so that partitions add up exactly; of a large partition some stretches are enough.
"""

import numpy as np
from numpy.typing import NDArray

from sketch.features import CategoryFeature, Column, Feature

STRETCH_ROWS = 200
LAGS = (1, 2, 4, 8, 16, 32)
LARGEST = 0.99
SERIES = 9
_MOST_ROWS = 100_000  # Of one partition.
_EDGES, _CATEGORIES = 5, SERIES - 1
_UNIT = 2**15  # What stands for a row that is counted.
_CERTAIN = 3.0  # Standard errors of a correlation of nothing: less is chance.
_NOT_AMONG = -1

type Sums = NDArray[np.int64]


def stretches_of(sequences: Column | None, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows sequence by sequence, and where each stretch of at most 200 begins in that order.

    Args:
        sequences: What each row belongs to, such as its site, shape (rows,); None when all are of one sequence.
        rows: How many there are, at least one.
    """
    label = np.zeros(rows, np.int64)
    if sequences is not None:
        _, label = np.unique(np.asarray(sequences, dtype=str), return_inverse=True)
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    since = np.arange(rows) - np.repeat(starts, np.diff(starts, append=rows))
    begins = since % STRETCH_ROWS == 0
    some = (np.cumsum(begins) - 1) % -(-rows // _MOST_ROWS) == 0
    return order[some], np.flatnonzero(begins[some])


def series_of(feature: Feature, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """What stands for a row of each stretch of cells, shape (series, stretches), at most 9 series.

    Args:
        feature: A number: whether it is above an edge. A category: whether it is one of the most frequent.
        counts: Reference rows per stretch, shape (stretches,); the last one is missing.

    Returns:
        32768 for rows that are counted, 0 for those that could have been, -1 for others.
    """
    stretches = len(counts)
    if isinstance(feature, CategoryFeature):
        lines = np.eye(min(len(feature.categories), _CATEGORIES), stretches, dtype=np.int64)
    else:
        edges = np.arange(len(feature.edges))[:: -(-len(feature.edges) // _EDGES) or 1]
        lines = (np.arange(stretches) > edges[:, np.newaxis] + 1).astype(np.int64)
    lines *= _UNIT
    lines[:, -1] = _NOT_AMONG
    missing = np.eye(1, stretches, stretches - 1, dtype=np.int64) * _UNIT
    return np.concatenate([lines, missing]) if counts[-1] else lines


def sums_of(
    series: NDArray[np.int64], places: NDArray[np.int64], usual: NDArray[np.int64], starts: NDArray[np.intp]
) -> Sums:
    """Products of rows of one stretch that are a lag apart, half of both their squares, and how many; shape (lags, 3).

    Args:
        series: What stands for a row of each stretch of cells, shape (stretches,).
        places: Stretch of cells of each row, in the order of the rows, shape (rows,).
        usual: Mean of the series in each row's context, shape (rows,).
        starts: Where stretches of rows begin.
    """
    values = series[places]
    known = values != _NOT_AMONG
    apart = np.where(known, values - usual, 0)
    sizes = np.diff(starts, append=len(places))
    means = np.add.reduceat(apart, starts) // np.maximum(np.add.reduceat(known.astype(np.int64), starts), 1)
    apart = np.where(known, apart - np.repeat(means, sizes), 0)
    # One stretch a column, so that rows a lag apart are rows of a matrix; what a short stretch lacks adds nothing.
    matrices = np.zeros((3, STRETCH_ROWS, len(starts)))
    inside = np.arange(STRETCH_ROWS) < sizes[:, np.newaxis]
    for matrix, column in zip(matrices, (apart, apart**2, known), strict=True):
        matrix.T[inside] = column
    return np.array([_products(matrices, lag) for lag in LAGS], np.int64)


def _products(matrices: NDArray[np.float64], lag: int) -> tuple[float, float, float]:
    """One line of `sums_of`. Sums of whole numbers below 2**53 are exact in floating point too."""
    apart, squares, known = matrices
    halves = _dot(squares[lag:], known[:-lag]) + _dot(squares[:-lag], known[lag:])
    return _dot(apart[lag:], apart[:-lag]), halves // 2, _dot(known[lag:], known[:-lag])


def _dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The sum of products, on this thread: a pool of others costs more than it saves."""
    return float(np.einsum("ij,ij->", one, other))


def autocorrelation(sums: Sums) -> float:
    """What is kept of the sums, 0..0.99, with four digits; 0 when a row and the next show nothing but chance.

    Args:
        sums: Shape (series, lags, 3).
    """
    return max(_autocorrelation(series) for series in sums)


def _autocorrelation(sums: Sums) -> float:
    products, squares, neighbours = sums.astype(np.float64).T
    found = products / np.maximum(squares, 1)
    # Two rare rows side by side are still chance: their number varies by more than 1.
    error = np.sqrt(squares**2 / np.maximum(neighbours, 1) + 2 * float(_UNIT) ** 4)
    chance = products < _CERTAIN * error
    end = int(chance.argmax()) if chance.any() else len(LAGS) - 1
    if end == 0 and chance[0]:
        return 0.0
    last = LAGS[end]
    found[end:] = np.where(chance[end:], 0.0, found[end:])
    inflation = 1 + 2 * float(np.interp(np.arange(1, last + 1), LAGS, found).sum())
    # A mean that is taken away takes v / 200 from every correlation, which is put back.
    inflation /= 1 - 2 * last / STRETCH_ROWS
    return round(min((inflation - 1) / (inflation + 1), LARGEST), 4)
