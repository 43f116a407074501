"""Which shares of a window are compared with the reference, and how far each may lie from it.

One channel asks one question of one feature: where its values lie, whether they leave the range of training, whether
they are missing, which categories they are, whether those are known. A channel has one or more tests; each test is one
share: rows of some neighbouring cells among the rows of all cells that could have been meant. A declared pair is one
more number, the product of the two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from functions.drift.policy import DriftSettings
from sketch.features import CELLS, TOLD_APART, CategoryFeature, NumberFeature, PairFeature
from sketch.profile import Profile
from sketch.shares import References

_DETECTOR = 4  # Evidence gathered by another detector is none for this one.
_CERTAIN = 1e-6  # A share this close to 0 or 1 has nowhere further to go.
_MOST_ALIKE = 0.995  # A window of 200 rows is then worth half a row.
_RAREST = 1e-4  # Rarer than this counts as this: a row in 10,000 is no news.

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Share:
    """One test.

    Attributes:
        feature: Name of the feature, or "score".
        words: What the share is, to follow the feature's name.
        channel: The question it belongs to; shares of one channel carry one channel's weight together.
        counted: Cells whose rows are counted.
        among: Cells whose rows could have been.
        meaning: What a rising and a falling share mean, where the share alone says little to people.
        sides: The two features of a pair; none of another share.
    """

    feature: str
    words: str
    channel: str
    counted: tuple[int, int]
    among: tuple[int, int]
    meaning: tuple[str, str] = ("", "")
    sides: tuple[str, ...] = ()

    def told(self, *, rising: bool) -> str:
        """The words, after what its rise or fall means."""
        meaning = self.meaning[0 if rising else 1]
        return f"{meaning}; {self.words}" if meaning else self.words


@dataclass(frozen=True, eq=False)
class Limits:
    """What a window's shares may be; T tests.

    Attributes:
        expected: Share in the reference, for the window's own mixture of contexts, 0..1, shape (T,).
        edges: Largest and smallest share within tolerance, 0 < edge < 1, shape (2, T).
        open: Whether a share could lie beyond its edge at all, shape (2, T).
    """

    expected: Floats
    edges: Floats
    open: NDArray[np.bool_]

    @cached_property
    def room(self) -> Floats:
        """From the logarithm of the expected share's odds to that of the edges', shape (2, T)."""
        return odds(self.edges) - odds(self.expected)


@dataclass(frozen=True, eq=False)
class Channels:
    """All tests of one profile under one loop's settings; arrays have shape (tests,) unless they say otherwise.

    Attributes:
        shares: What each test counts.
        id: Names profile, settings and detector: evidence gathered with another id cannot be used.
        unknown: What the loop watches and the profile does not know, for a person.
        references: Each share in the reference, per context.
        tolerance: What the loop allows on top of the reference's error, 0..1.
        worth: Independent rows that one of a window's rows is worth, > 0, at most 1.
        weights: Prior weight of each test for a rising and for a falling share, shape (2, tests); the sum is 1, or 0
            when the reference is too small to test anything.
        places: Length of a vector of counts by stretch (`Blocks.by_stretch`).
        contexts: Where the rows per context begin in it; `places` when there are no contexts.
        bounds: First and last stretch counted, first and last one among; the last ones excluded, shape (4, tests).
    """

    shares: tuple[Share, ...]
    id: str
    unknown: tuple[str, ...]
    references: References
    tolerance: float
    worth: Floats
    weights: Floats
    places: int
    contexts: int
    bounds: NDArray[np.intp]

    def count(self, counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Rows counted and rows that could have been, of a vector of counts by stretch."""
        before = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=before[1:])
        ends = before[self.bounds]
        counted, among = (ends[1::2] - ends[::2]).astype(np.float64)
        return counted, among

    def limits(self, counts: NDArray[np.int64]) -> Limits:
        """What the shares of a window may be, given which contexts its rows are of."""
        mixture = counts[self.contexts :]
        return _limits(self.references, mixture, tolerance=self.tolerance) if mixture.any() else self.usual

    def elsewhere(self, counts: NDArray[np.int64]) -> float:
        """Share of a window's rows that are of no context the reference kept, 0..1; 0 when there are no contexts."""
        mixture = counts[self.contexts :]
        return float(mixture[-1] / mixture.sum()) if mixture.any() else 0.0

    @cached_property
    def asked(self) -> NDArray[np.bool_]:
        """Which tests have a weight, shape (2, tests)."""
        return self.weights > 0

    @cached_property
    def of_sides(self) -> Mapping[tuple[str, ...], NDArray[np.intp]]:
        """The tests of each pair's own two features, ascending."""
        pairs = {share.sides for share in self.shares if share.sides}
        return {
            pair: np.array([n for n, one in enumerate(self.shares) if one.feature in pair and not one.sides], np.intp)
            for pair in pairs
        }

    @cached_property
    def usual(self) -> Limits:
        """What the shares may be of a window that is mixed like the reference."""
        return _limits(self.references, None, tolerance=self.tolerance)


@lru_cache(maxsize=256)
def channels_of(profile: Profile, settings: DriftSettings) -> Channels:
    """The tests of a profile; what the loop watches and an older model does not have is left out, and named."""
    shares = tuple(_watched(profile, settings))
    bounds = np.array([(*share.counted, *share.among) for share in shares], np.intp).reshape(-1, 4).T
    references = _at_worst(References.of(profile, bounds), profile.rows)
    settled = f"{_DETECTOR} {profile.hash} {settings.features} {settings.scores} {settings.tolerance}"
    return Channels(
        shares=shares,
        id=sha256(settled.encode()).hexdigest()[:16],
        unknown=tuple(_unknown(profile, settings)),
        references=references.discounted(),
        tolerance=settings.tolerance,
        worth=(1 - references.autocorrelation) / (1 + references.autocorrelation),
        weights=_weights(shares, _limits(references.discounted(), None, tolerance=settings.tolerance).open),
        places=profile.places,
        contexts=len(profile.stretches),
        bounds=np.searchsorted(profile.stretches, bounds),
    )


def odds[F: np.floating](share: NDArray[F]) -> NDArray[F]:
    """Logarithm of the odds; of shares nearer to 0 or 1 than a millionth, of that."""
    inner = np.minimum(np.maximum(share, 1e-6), 1 - 1e-6)
    found: NDArray[F] = np.log(inner / (1 - inner))
    return found


def _at_worst(references: References, rows: int) -> References:
    """The references with rows as alike as they may be: how much that is worth was estimated too.

    Two standard errors of v = (1 + r) / (1 - r), which are about 4 v sqrt(v / rows).
    """
    found = (1 + references.autocorrelation) / (1 - references.autocorrelation)
    worst = found * (1 + 4 * np.sqrt(found / rows))
    return replace(references, autocorrelation=np.minimum((worst - 1) / (worst + 1), _MOST_ALIKE))


def _limits(references: References, mixture: NDArray[np.int64] | None, *, tolerance: float) -> Limits:
    known = references.expect(mixture)
    far = known.error + tolerance
    upper, lower = known.share + far, known.share - far
    return Limits(
        expected=known.share,
        edges=np.stack([np.clip(upper, _RAREST, 1 - _CERTAIN), np.clip(lower, _CERTAIN, 1 - _RAREST)]),
        open=np.stack([upper < 1 - _CERTAIN, lower > _CERTAIN]),
    )


def _watched(profile: Profile, settings: DriftSettings) -> Iterator[Share]:
    for feature, block in profile.watched:
        if feature is profile.scores:
            asked = settings.scores
        else:
            asked = not settings.features or isinstance(feature, PairFeature) or feature.name in settings.features
        if not asked:
            continue
        if isinstance(feature, CategoryFeature):
            yield from _category_shares(feature, block.start)
        else:
            yield from _number_shares(feature, block.start)


def _unknown(profile: Profile, settings: DriftSettings) -> Iterator[str]:
    names = {feature.name for feature in profile.features}
    yield from (name for name in settings.features if name not in names)
    pairs = {frozenset((pair.left.name, pair.right.name)) for pair in profile.pairs}
    yield from (
        f"the pair {left} and {right}" for left, right in settings.pairs if frozenset((left, right)) not in pairs
    )
    contexts = profile.contexts.columns if profile.contexts else ()
    yield from (f"the context {name}" for name in settings.contexts if name not in contexts)


def _number_shares(feature: NumberFeature, start: int) -> Iterator[Share]:
    above, missing = start + CELLS + 1, start + CELLS + 2
    among = (start, missing)
    meaning, sides = ("", ""), tuple[str, ...]()
    if isinstance(feature, PairFeature):
        meaning, sides = _meaning(feature), (feature.left.name, feature.right.name)
    for edge in feature.edges:
        words = f"share above {feature.edge(edge):.4g}"
        yield Share(feature.name, words, "values", (start + edge + 1, missing), among, meaning, sides)
    yield Share(feature.name, f"share below {feature.edge(0):.4g}", "range", (start, start + 1), among, sides=sides)
    yield Share(feature.name, f"share above {feature.edge(CELLS):.4g}", "range", (above, missing), among, sides=sides)
    if not sides:  # a pair misses what one of its two does, and that one says so
        yield Share(feature.name, "share missing", "missing", (missing, missing + 1), (start, missing + 1))


def _meaning(pair: PairFeature) -> tuple[str, str]:
    """What a larger and a smaller product of the two standard values mean: their mean is the correlation."""
    middles = [pair.edge(cell) - pair.width / 2 for cell in range(CELLS + 2)]
    together = np.dot(pair.counts[: CELLS + 2], middles) >= 0
    if together:
        return "move together more", "move together less"
    return "move against each other less", "move against each other more"


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


def _weights(shares: tuple[Share, ...], active: NDArray[np.bool_]) -> Floats:
    """Channels weigh the same, whatever the number of their tests; a share that cannot leave its tolerance, nothing."""
    names = np.array([f"{share.among[0]} {share.channel}" for share in shares])
    weights = np.zeros(active.shape)
    for name in np.unique(names):
        own = active & (names == name)
        weights[own] = 1 / max(own.sum(), 1)
    return weights / max(weights.sum(), 1)
