"""How far each feature of one file lies from the other's, the farthest first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sketch.distance import jensen_shannon, kolmogorov_smirnov, psi, total_variation, wasserstein
from sketch.features import CELLS, CategoryFeature, Feature, NumberFeature, PairFeature
from sketch.profile import Profile


@dataclass(frozen=True, slots=True)
class Distances:
    """One feature of two files.

    Attributes:
        name: The feature's.
        kind: "number", "pair" or "category".
        jensen_shannon: Distance, 0..1, over about 18 stretches of a number's values or the names, missing included.
        by_chance: What that distance would be about, were both files drawn from one source.
        psi: Population stability index, over the same.
        kolmogorov_smirnov: Of the known numbers on the grid, 0..1; None for a category.
        wasserstein: Of the known numbers on the grid, in the feature's unit; None for a category or a constant.
        deviations: The same in standard deviations of the reference.
        total_variation: Over the same as `jensen_shannon`, 0..1.
        missing: Share of missing values, before and now.
        unseen: Share of values outside the grid, or of names that were not kept, before and now.
        autocorrelation: Of neighbouring rows of the reference.
        is_score: Whether these are a model's answers; a column may be called "score" too.
    """

    name: str
    kind: str
    jensen_shannon: float
    by_chance: float
    psi: float
    kolmogorov_smirnov: float | None
    wasserstein: float | None
    deviations: float | None
    total_variation: float
    missing: tuple[float, float]
    unseen: tuple[float, float]
    autocorrelation: float
    is_score: bool


def ranked(profile: Profile, counts: NDArray[np.int64], *, scores: bool) -> Sequence[Distances]:
    """Every feature and pair, and the scores if asked for, the farthest beyond chance first.

    Args:
        profile: Of the reference.
        counts: Rows of the current file per cell of the profile, shape (cells,), at least one row.
        scores: Whether there are scores.
    """
    found = [
        _distances(feature, counts[cells], is_score=feature is profile.scores)
        for feature, cells in profile.watched
        if scores or feature is not profile.scores
    ]
    return sorted(found, key=lambda one: one.by_chance - one.jensen_shannon)


def _distances(feature: Feature, now: NDArray[np.int64], *, is_score: bool) -> Distances:
    before = np.array(feature.counts, np.int64)
    rows, rows_now = int(before.sum()), int(now.sum())
    coarse = [np.add.reduceat(counts, feature.stretches) for counts in (before, now)]
    if isinstance(feature, PairFeature) and all(counts[:-1].any() for counts in coarse):
        coarse = [counts[:-1] for counts in coarse]  # what is missing is missing in one of the two, which says so
    worth = (1 - feature.autocorrelation) / (1 + feature.autocorrelation)
    used = int(np.count_nonzero(coarse[0] + coarse[1]))
    chance = np.sqrt(max(used - 1, 0) / (8 * np.log(2)) * (1 / rows + 1 / rows_now) / worth)
    kolmogorov, moved, deviations = (
        _of_numbers(feature, before, now) if isinstance(feature, NumberFeature) else (None,) * 3
    )
    outside = [-2] if isinstance(feature, CategoryFeature) else [0, CELLS + 1]
    return Distances(
        name=feature.name,
        kind="category"
        if isinstance(feature, CategoryFeature)
        else "pair"
        if isinstance(feature, PairFeature)
        else "number",
        jensen_shannon=float(jensen_shannon(*coarse)),
        by_chance=float(min(chance, 1.0)),
        psi=float(psi(*coarse)),
        kolmogorov_smirnov=kolmogorov,
        wasserstein=moved,
        deviations=deviations,
        total_variation=float(total_variation(*coarse)),
        missing=(before[-1] / rows, now[-1] / rows_now),
        unseen=(before[outside].sum() / rows, now[outside].sum() / rows_now),
        autocorrelation=feature.autocorrelation,
        is_score=is_score,
    )


def _of_numbers(
    feature: NumberFeature, before: NDArray[np.int64], now: NDArray[np.int64]
) -> tuple[float | None, float | None, float | None]:
    """Kolmogorov-Smirnov and Wasserstein-1, in the unit and in deviations; None where one file knows no number."""
    known = before[:-1], now[:-1]
    if not (known[0].any() and known[1].any()):
        return None, None, None
    cells = np.arange(len(known[0]))
    mean = np.average(cells, weights=known[0])
    deviation = float(np.sqrt(np.average((cells - mean) ** 2, weights=known[0])))
    moved = float(wasserstein(*known))
    if not deviation:  # a constant: its grid is as narrow as can be, and says nothing of what is beyond
        return float(kolmogorov_smirnov(*known)), None, None
    return float(kolmogorov_smirnov(*known)), moved * feature.width, moved / deviation
