"""Which shares of a window are compared with the reference, and how far each may lie from it.

One channel asks one question of one feature: where its values lie, whether they leave the range of training, whether
they are missing, which categories they are, whether those are known. A channel has one or more tests; each test is one
share: rows of some neighbouring cells among the rows of all cells that could have been meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from functions.drift.policy import DriftSettings
from sketch.features import CELLS, TOLD_APART, CategoryFeature, NumberFeature, PairFeature
from sketch.profile import Profile
from sketch.shares import References

_CERTAIN = 1e-6  # A share this close to 0 or 1 has nowhere further to go.


@dataclass(frozen=True, slots=True)
class Share:
    """One test.

    Attributes:
        feature: Name of the feature, or "score".
        words: What the share is, to follow the feature's name.
        channel: The question it belongs to; shares of one channel carry one channel's weight together.
        counted: Cells whose rows are counted.
        among: Cells whose rows could have been.
    """

    feature: str
    words: str
    channel: str
    counted: tuple[int, int]
    among: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Channels:
    """All tests of one profile under one loop's settings; arrays have shape (tests,) unless they say otherwise.

    Attributes:
        shares: What each test counts.
        id: Names profile and settings: evidence gathered with another id cannot be used.
        base: Each share in the reference, 0..1.
        upper: The largest share within tolerance; a rising share is drift above it.
        lower: The smallest share within tolerance.
        weights: Prior weight of each test for a rising and for a falling share, shape (2, tests); the sum is 1, or 0
            when the reference is too small to test anything.
        cells: Length of the vector of counts.
        bounds: First and last cell counted, first and last cell among; the last ones excluded, shape (4, tests).
    """

    shares: tuple[Share, ...]
    id: str
    base: NDArray[np.float64]
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    weights: NDArray[np.float64]
    bounds: NDArray[np.intp]
    cells: int

    def count(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows counted and rows that could have been, of a vector of counts of the profile's cells."""
        before = np.concatenate([[0], np.cumsum(counts)])
        first, last, start, end = before[self.bounds]
        return (last - first).astype(np.float64), (end - start).astype(np.float64)


@lru_cache(maxsize=256)
def channels_of(profile: Profile, settings: DriftSettings) -> Channels:
    """The tests of a profile; a watched feature that an older model does not have yet is left out."""
    shares = tuple(_watched(profile, settings))
    bounds = np.array([(*share.counted, *share.among) for share in shares], np.intp).reshape(-1, 4).T
    expected = References.of(profile, bounds).expect()
    base, tolerance = expected.share, expected.error + settings.tolerance
    rising, falling = base + tolerance < 1 - _CERTAIN, base - tolerance > _CERTAIN
    return Channels(
        shares=shares,
        id=sha256(f"{profile.hash} {settings.features} {settings.scores} {settings.tolerance}".encode()).hexdigest()[
            :16
        ],
        base=base,
        upper=np.clip(base + tolerance, 1e-4, 1 - _CERTAIN),
        lower=np.clip(base - tolerance, _CERTAIN, 1 - 1e-4),
        weights=_weights([f"{share.among[0]} {share.channel}" for share in shares], np.stack([rising, falling])),
        bounds=bounds,
        cells=len(profile.counts),
    )


def _watched(profile: Profile, settings: DriftSettings) -> Iterator[Share]:
    all_features = not settings.features
    for feature, block in profile.watched:
        is_score = feature is profile.scores
        if is_score and not settings.scores:
            continue
        if not (is_score or isinstance(feature, PairFeature) or feature.name in settings.features or all_features):
            continue
        if isinstance(feature, CategoryFeature):
            yield from _category_shares(feature, block.start)
        else:
            yield from _number_shares(feature, block.start)


def _number_shares(feature: NumberFeature, start: int) -> Iterator[Share]:
    above, missing = start + CELLS + 1, start + CELLS + 2
    among = (start, missing)
    for edge in feature.edges:
        words = f"share above {feature.edge(edge):.4g}"
        yield Share(feature.name, words, "values", (start + edge + 1, missing), among)
    yield Share(feature.name, f"share below {feature.edge(0):.4g}", "range", (start, start + 1), among)
    yield Share(feature.name, f"share above {feature.edge(CELLS):.4g}", "range", (above, missing), among)
    yield Share(feature.name, "share missing", "missing", (missing, missing + 1), (start, missing + 1))


def _category_shares(feature: CategoryFeature, start: int) -> Iterator[Share]:
    unseen = start + len(feature.categories)
    among = (start, unseen + 1)
    kept = feature.categories[:TOLD_APART]
    for cell, name in enumerate(kept, start):
        yield Share(feature.name, f"share of {name!r}", "values", (cell, cell + 1), among)
    if len(kept) < len(feature.categories):
        yield Share(feature.name, "share of rarer categories", "values", (start + len(kept), unseen), among)
    yield Share(feature.name, "share of unseen categories", "unseen", (unseen, unseen + 1), among)
    yield Share(feature.name, "share missing", "missing", (unseen + 1, unseen + 2), (start, unseen + 2))


def _weights(channels: list[str], active: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Channels weigh the same, whatever the number of their tests; a share that cannot leave its tolerance, nothing."""
    names = np.array(channels)
    weights = np.zeros(active.shape)
    for name in np.unique(names):
        own = active & (names == name)
        weights[own] = 1 / max(own.sum(), 1)
    return weights / max(weights.sum(), 1)
