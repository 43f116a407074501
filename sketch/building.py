"""Making a profile: choose grids from a sample, count every row on them, add the parts up.

The grids, edges, categories and contexts are chosen once, from a sample of rows or from all; after that a partition is
counted like any other, and partitions add up exactly, in any order and grouping. A partition's neighbours are its own:
what the autocorrelation is estimated from does not reach from one partition into the next.

Which categories are kept is chosen by the same rows that are then counted: the kept ones were lucky, and of new rows
fewer will be theirs. So as many rows of the sample as would not have a kept category if it were not for themselves
count as unseen; likewise at the border between those told apart and the rarer ones. The shares of both sides are then
right on average, as leaving one out is; where all names are kept, what moves is the rows of names that came once (Good
1953). Which rows move is spread evenly over them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sketch.blocks import Blocks
from sketch.contexts import choose_contexts
from sketch.counting import Places, cells_of
from sketch.features import (
    Column,
    Feature,
    Luck,
    NumberFeature,
    PairFeature,
    count_categories,
    count_numbers,
    count_pair,
    numbers,
)
from sketch.order import LAGS, SERIES, autocorrelation, series_of, stretches_of, sums_of

Kind = Literal["number", "category"]
type Pair = tuple[str, str]

SCORE = "score"


@dataclass(frozen=True, eq=False)
class Tally:
    """What one partition adds to a profile.

    Attributes:
        rows: Its rows.
        counts: Rows per cell of the profile, shape (cells,).
        coarse: Rows per context and stretch, shape (contexts, stretches).
        order: The sums of `sketch.order` per block, shape (blocks, series, lags, 3).
    """

    rows: int
    counts: NDArray[np.int64]
    coarse: NDArray[np.int64]
    order: NDArray[np.int64]

    def __add__(self, other: "Tally") -> "Tally":
        """Both partitions' rows: exact, in any order, in any grouping."""
        return Tally(
            self.rows + other.rows, self.counts + other.counts, self.coarse + other.coarse, self.order + other.order
        )


@dataclass(frozen=True, eq=False)
class Draft:
    """Grids, edges, categories and contexts, before all rows of the reference are counted on them.

    Attributes:
        blocks: What the sample looks like on them.
        moved: What the sample counts too much: its rows of borderline categories, as unseen instead.
    """

    blocks: Blocks
    moved: Tally

    def tally(self, columns: Mapping[str, Column], scores: Column, *, sequences: Column | None = None) -> Tally:
        """Count one partition of the reference; tallies add up exactly, in any order.

        Args:
            columns: Values per feature and context column, each of shape (rows,).
            scores: What the model answered, shape (rows,).
            sequences: Which site or device each row is of, shape (rows,); the rows of one are in order. None when all
                are of one. Neighbours in two partitions are no neighbours.

        Raises:
            ValueError: A column is absent, of another length, or not of its kind.
        """
        answers, blocks = numbers(scores), self.blocks
        parts = _placed(blocks, columns, answers)
        order = _no_order(blocks)
        if len(answers):
            rows, starts = stretches_of(sequences, len(answers))
            begin = 0
            for sums, (feature, _), stretches in zip(order, blocks.watched, parts.stretches, strict=True):
                usual = blocks.coarse[:, begin : begin + len(feature.stretches)]
                sums[:] = _order(feature, stretches[rows], parts.context[rows], usual, starts)
                begin += len(feature.stretches)
        return Tally(len(answers), parts.counts, parts.coarse, order)

    def finished(self, counted: Tally) -> Blocks:
        """All rows of the reference, the sample's among them, counted on this draft.

        Raises:
            ValueError: Not one row was counted, or not those of the sample.
        """
        if not counted.rows:
            raise ValueError("a profile needs rows; got none")
        whole = counted + self.moved
        if whole.counts.min() < 0:
            raise ValueError("the rows that the grids were chosen from were not counted")
        return _renewed(self.blocks, whole)


def draft(
    columns: Mapping[str, Column],
    *,
    kinds: Mapping[str, Kind],
    scores: Column,
    pairs: Sequence[Pair] = (),
    contexts: Sequence[str] = (),
) -> Draft:
    """Choose the grids, edges, categories and contexts from a sample of rows, which is a part of the reference.

    Args:
        columns: As in `Profile.build`.
        kinds: As in `Profile.build`.
        scores: As in `Profile.build`.
        pairs: As in `Profile.build`.
        contexts: As in `Profile.build`.

    Raises:
        ValueError: As `Profile.build`.
    """
    answers = numbers(scores)
    _check(columns, kinds, rows=len(answers))
    features, lucky = list[Feature](), list[Sequence[Luck]]()
    for name, kind in kinds.items():
        feature, luck = (
            count_categories(name, columns[name]) if kind == "category" else (count_numbers(name, columns[name]), ())
        )
        features.append(feature)
        lucky.append(luck)
    bare = Blocks(
        rows=len(answers),
        features=tuple(features),
        scores=count_numbers(SCORE, answers),
        pairs=_pairs(features, pairs, columns),
        contexts=choose_contexts(contexts, columns) if contexts else None,
    )
    plain = _placed(bare, columns, answers)
    fair = _placed(bare, columns, answers, lucky)
    sample = Tally(len(answers), plain.counts, plain.coarse, _no_order(bare))
    return Draft(
        _renewed(bare, sample), Tally(0, fair.counts - plain.counts, fair.coarse - plain.coarse, _no_order(bare))
    )


def _pairs(
    features: Sequence[Feature], pairs: Sequence[Pair], columns: Mapping[str, Column]
) -> tuple[PairFeature, ...]:
    named = {feature.name: feature for feature in features if isinstance(feature, NumberFeature)}
    for pair in pairs:
        if pair[0] == pair[1] or not set(pair) <= named.keys():
            raise ValueError(f"a pair is two different features that are numbers; got {' and '.join(pair)}")
    return tuple(count_pair(named[left], named[right], columns) for left, right in pairs)


def _check(columns: Mapping[str, Column], kinds: Mapping[str, Kind], *, rows: int) -> None:
    if not rows or not kinds:
        raise ValueError(f"a profile needs rows and features; got {rows} rows and {len(kinds)} features")
    for name in kinds:
        if name not in columns:
            raise ValueError(f"column {name!r} is absent; the reference has {', '.join(sorted(columns)) or 'none'}")
        if len(columns[name]) != rows:
            raise ValueError(f"column {name!r} and the scores differ in length: {len(columns[name])} and {rows}")


def _renewed(blocks: Blocks, counted: Tally) -> Blocks:
    """The same blocks with the counts of other rows."""
    pairs, scores = len(blocks.features), len(blocks.watched) - 1
    contexts = blocks.contexts and replace(
        blocks.contexts,
        counts=tuple(counted.counts[blocks.context_block].tolist()),
        coarse=tuple(tuple(line) for line in counted.coarse.tolist()),
    )
    return Blocks(
        rows=counted.rows,
        features=tuple(_block(one, blocks, counted, place) for place, one in enumerate(blocks.features)),
        scores=_block(blocks.scores, blocks, counted, scores),
        pairs=tuple(_block(one, blocks, counted, place) for place, one in enumerate(blocks.pairs, pairs)),
        contexts=contexts,
    )


def _block[F: Feature](feature: F, blocks: Blocks, counted: Tally, place: int) -> F:
    """The block of that place with the counts of all rows, and what their order says."""
    counts = counted.counts[blocks.watched[place][1]]
    return replace(feature, counts=tuple(counts.tolist()), autocorrelation=autocorrelation(counted.order[place]))


@dataclass(frozen=True, eq=False)
class _Placed:
    """Rows on a profile's grids: their sums, and of each row its context and its stretch of cells in every block."""

    counts: NDArray[np.int64]
    coarse: NDArray[np.int64]
    context: NDArray[np.int64]
    stretches: list[NDArray[np.int64]]


def _placed(
    blocks: Blocks, columns: Mapping[str, Column], answers: NDArray[np.float64], lucky: Sequence[Sequence[Luck]] = ()
) -> _Placed:
    """Place rows; of the lucky ones of each feature, if told, as many among the rarer and the unseen."""
    contexts, rows = blocks.contexts, len(answers)
    context = contexts.of(columns, rows) if contexts else np.zeros(rows, np.int64)
    lines = contexts.cells if contexts else 1
    counts, coarse, stretches = [], [], []
    cells = cells_of([*blocks.features, *blocks.pairs], blocks.scores, columns=columns, answers=answers)
    for (feature, _), found, few in zip(blocks.watched, cells, chain(lucky, repeat(())), strict=False):
        width, places = len(feature.stretches), _without_luck(found, few)
        stretch = (np.searchsorted(feature.stretches, np.arange(feature.cells), "right") - 1)[places]
        counts.append(np.bincount(places, minlength=feature.cells))
        coarse.append(np.bincount(context * width + stretch, minlength=lines * width).reshape(lines, width))
        stretches.append(stretch)
    if contexts:
        counts.append(np.bincount(context, minlength=lines))
    return _Placed(np.concatenate(counts), np.concatenate(coarse, axis=1)[: lines - 1], context, stretches)


def _no_order(blocks: Blocks) -> NDArray[np.int64]:
    return np.zeros((len(blocks.watched), SERIES, len(LAGS), 3), np.int64)


def _without_luck(places: Places, lucky: Sequence[Luck]) -> Places:
    """The cells of a category's rows with as many moved beyond each border as are beside it by luck alone."""
    fair, first = places.copy(), 0
    for luck in lucky:
        inside = np.flatnonzero((fair >= max(luck.first, first)) & (fair < luck.border))
        fair[inside[np.linspace(0, len(inside) - 1, min(luck.rows, len(inside))).astype(np.intp)]] = luck.border
        first = luck.border  # what has moved beyond the first border may move beyond the second
    return fair


def _order(
    feature: Feature,
    stretches: NDArray[np.int64],
    context: NDArray[np.int64],
    coarse: NDArray[np.int64],
    starts: NDArray[np.intp],
) -> NDArray[np.int64]:
    """The sums of `sketch.order` of all series of a feature; rows in their order, coarse counts of each context."""
    total = np.zeros((SERIES, len(LAGS), 3), np.int64)
    for sums, series in zip(total, series_of(feature, coarse[-1]), strict=False):
        known = np.maximum(coarse @ (series >= 0), 1)
        usual = np.round(coarse @ np.maximum(series, 0) / known).astype(np.int64)
        sums[:] = sums_of(series, stretches, usual[context], starts)
    return total
