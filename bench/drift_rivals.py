"""What others would say of the same windows: PSI above 0.2, and a Kolmogorov-Smirnov or chi-square test per window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov  # type: ignore[import-untyped] # ships no types

from bench.drift_worlds import NAMES, NUMBERS, WINDOW_ROWS
from sketch.distance import psi

type Floats = NDArray[np.float64]
type Alarms = dict[str, NDArray[np.bool_]]

BINS, PSI_ABOVE, LEVEL = 10, 0.2, 0.05
CATEGORIES = np.append(NAMES, "yew")


def matrix(columns: Mapping[str, Sequence[object] | NDArray[np.generic]], scores: Floats) -> Floats:
    """All channels as numbers, the category by its place, shape (rows, 11)."""
    names = np.asarray(columns["kind"], dtype=str)
    place = np.searchsorted(CATEGORIES, names).astype(np.float64)
    return np.stack([*(np.asarray(columns[name], np.float64) for name in NUMBERS), scores, place], axis=1)


@dataclass(frozen=True)
class Rivals:
    """One reference, prepared once.

    Attributes:
        columns: Its values sorted, per number and the scores, those that are missing left out.
        edges: Inner edges of ten bins of equal share, per number and the scores.
        binned: Its rows per bin, missing in one of their own, per channel, the category last.
    """

    columns: tuple[Floats, ...]
    edges: tuple[Floats, ...]
    binned: tuple[NDArray[np.int64], ...]

    @staticmethod
    def of(reference: Floats) -> "Rivals":
        columns = tuple(np.sort(column[~np.isnan(column)]) for column in reference.T[:-1])
        edges = tuple(np.unique(np.quantile(column, np.arange(1, BINS) / BINS)) for column in columns)
        numbers = (_binned(column, inner) for column, inner in zip(reference.T[:-1], edges, strict=True))
        return Rivals(columns, edges, (*numbers, _named(reference[:, -1])))

    def alarms(self, rows: Floats) -> Alarms:
        """Which devices alarm, by each rule; rows of all devices, device after device, shape (devices * rows, 11)."""
        windows = rows.reshape(-1, WINDOW_ROWS, rows.shape[1])
        found = [self._one(window) for window in windows]
        index, chance = np.array([one for one, _ in found]), np.array([other for _, other in found])
        ordered = np.sort(chance.ravel())
        passed = np.flatnonzero(ordered <= LEVEL * np.arange(1, chance.size + 1) / chance.size)
        limit = ordered[passed[-1]] if len(passed) else -1.0
        return {
            "PSI > 0.2": (index > PSI_ABOVE).any(axis=1),
            "KS p < .05": (chance < LEVEL).any(axis=1),
            "Bonferroni": (chance < LEVEL / chance.shape[1]).any(axis=1),
            "BH": (chance <= limit).any(axis=1),
        }

    def _one(self, window: Floats) -> tuple[Floats, Floats]:
        """PSI and p-value per channel."""
        index, chance = [], []
        for column, sorted_ones, inner, usual in zip(
            window.T[:-1], self.columns, self.edges, self.binned[:-1], strict=True
        ):
            index.append(float(psi(usual, _binned(column, inner))))
            chance.append(_kolmogorov_smirnov(sorted_ones, column[~np.isnan(column)]))
        names = _named(window[:, -1])
        index.append(float(psi(self.binned[-1], names)))
        chance.append(_chi_square(self.binned[-1], names))
        return np.array(index), np.array(chance)


def _binned(column: Floats, edges: Floats) -> NDArray[np.int64]:
    places = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column))
    return np.bincount(places, minlength=len(edges) + 2).astype(np.int64)


def _named(column: Floats) -> NDArray[np.int64]:
    return np.bincount(column.astype(np.int64), minlength=len(CATEGORIES)).astype(np.int64)


def _kolmogorov_smirnov(reference: Floats, values: Floats) -> float:
    """The two-sample test's p-value, by its limit law."""
    ordered = np.sort(values)
    places = np.searchsorted(reference, ordered, "right") / len(reference)
    before = np.searchsorted(reference, ordered, "left") / len(reference)
    ranks = np.searchsorted(ordered, ordered, "right") / len(ordered)
    ranks_before = np.searchsorted(ordered, ordered, "left") / len(ordered)
    apart = max(np.abs(ranks - places).max(), np.abs(ranks_before - before).max())
    size = len(reference) * len(ordered) / (len(reference) + len(ordered))
    return float(kolmogorov(np.sqrt(size) * apart))


def _chi_square(reference: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    used = reference + counts > 0
    table = np.stack([reference[used], counts[used]]).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return float(chdtrc(used.sum() - 1, ((table - expected) ** 2 / expected).sum()))
