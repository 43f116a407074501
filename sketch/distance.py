"""How far apart are two histograms over the same cells? Numbers in, one number per histogram out.

Every function takes counts of shape (..., cells), so that one call compares all features of equal cells, and gives back
shape (...). Counts are whole numbers >= 0 whose sum along the last axis is positive and finite. All results are finite.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOOR = 1e-6  # An empty cell would make the logarithm infinite.

type Distance = NDArray[np.float64]


def psi(reference: ArrayLike, current: ArrayLike) -> Distance:
    """Population stability index.

    Returns:
        Dimensionless, >= 0; 0 means identical shares. Shares below 1e-6 count as 1e-6.

    Raises:
        ValueError: The histograms have different cells, or one is empty.

    Source: the Jeffreys divergence (Kullback and Leibler 1951), natural logarithm.
    """
    p, q = (np.maximum(shares, FLOOR) for shares in _shares(reference, current))
    return _sum((q - p) * np.log(q / p))


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> Distance:
    """Jensen-Shannon distance: the square root of the divergence with base-2 logarithms.

    Returns:
        Dimensionless, 0 (identical) to 1 (no cell in common).

    Raises:
        ValueError: The histograms have different cells, or one is empty.

    Source: Endres and Schindelin 2003.
    """
    p, q = _shares(reference, current)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / (2 * np.log(2))
    distance: Distance = np.sqrt(np.clip(divergence, 0.0, 1.0))
    return distance


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> Distance:
    """Largest difference of the cumulative shares, over the cells' edges.

    Returns:
        Dimensionless, 0..1. Never larger than the statistic of the raw values, and smaller by at most the larger share
        of one cell.

    Raises:
        ValueError: The histograms have different cells, or one is empty.
    """
    p, q = _shares(reference, current)
    largest: Distance = np.abs(np.cumsum(q - p, axis=-1)).max(axis=-1)
    return largest


def wasserstein(reference: ArrayLike, current: ArrayLike, *, width: ArrayLike = 1.0) -> Distance:
    """Wasserstein-1 distance: how far, on average, a row has to move, with every row in the middle of its cell.

    Args:
        reference: Counts, shape (..., cells).
        current: Counts, shape (..., cells).
        width: Width of a cell in the feature's own unit, > 0, shape (...).

    Returns:
        In the unit of `width`, >= 0. Within one `width` of the distance of the raw values, for rows within the grid.

    Raises:
        ValueError: The histograms have different cells, or one is empty.
    """
    p, q = _shares(reference, current)
    return _sum(np.abs(np.cumsum(q - p, axis=-1))[..., :-1]) * np.asarray(width, np.float64)


def total_variation(reference: ArrayLike, current: ArrayLike) -> Distance:
    """Share of rows that sit in another cell.

    Returns:
        Dimensionless, 0..1.

    Raises:
        ValueError: The histograms have different cells, or one is empty.
    """
    p, q = _shares(reference, current)
    return _sum(np.abs(q - p)) / 2


def chi_square(reference: ArrayLike, current: ArrayLike) -> Distance:
    """Pearson's statistic of homogeneity of the two histograms; cells that are empty in both do not count.

    Returns:
        Dimensionless, >= 0; about (used cells - 1) when both come from one distribution. It grows with the rows.

    Raises:
        ValueError: The histograms have different cells, or one is empty.
    """
    p, q = _shares(reference, current)
    n, m = (np.sum(np.asarray(counts, np.float64), axis=-1, keepdims=True) for counts in (reference, current))
    pooled = (n * p + m * q) / (n + m)
    used = np.where(pooled > 0, pooled, 1.0)
    # Both rows of the two-row table deviate from the pooled shares by the same (p - q), each weighed by its rows.
    return _sum((p - q) ** 2 / used * (n * m / (n + m)))


def _shares(reference: ArrayLike, current: ArrayLike) -> tuple[Distance, Distance]:
    p, q = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    if p.shape != q.shape or not p.ndim or not p.shape[-1]:
        raise ValueError(f"histograms over the same cells are needed; got shapes {p.shape} and {q.shape}")
    n, m = p.sum(axis=-1, keepdims=True), q.sum(axis=-1, keepdims=True)
    if not (np.isfinite(n).all() and np.isfinite(m).all() and min(p.min(), q.min()) >= 0 and min(n.min(), m.min()) > 0):
        raise ValueError("a histogram is empty, or its counts are not whole numbers from 0")
    return p / n, q / m


def _relative_entropy(p: Distance, q: Distance) -> Distance:
    """Sum of p * ln(p / q); a cell with p = 0 adds nothing."""
    ratio = np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0)
    return _sum(p * np.log(ratio))


def _sum(terms: Distance) -> Distance:
    total: Distance = np.asarray(terms.sum(axis=-1))
    return total
