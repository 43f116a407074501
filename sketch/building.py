"""Making a profile: choose grids from a sample, count every row on them, add the parts up.

The grids, edges, categories and contexts are chosen once, from a sample of rows or from all; after that a partition is
counted like any other, and partitions add up exactly, in any order and grouping. A partition's neighbours are its own:
what the autocorrelation is estimated from does not reach from one partition into the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sketch.blocks import Blocks
from sketch.contexts import choose_contexts
from sketch.counting import cells_of
from sketch.features import (
    Column,
    Feature,
    NumberFeature,
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


def draft(
    columns: Mapping[str, Column],
    *,
    kinds: Mapping[str, Kind],
    scores: Column,
    pairs: Sequence[Pair] = (),
    contexts: Sequence[str] = (),
) -> Blocks:
    """Choose the grids, edges, categories and contexts from a sample of rows.

    Args:
        columns: As in `Profile.build`.
        kinds: As in `Profile.build`.
        scores: As in `Profile.build`.
        pairs: As in `Profile.build`.
        contexts: As in `Profile.build`.

    Returns:
        A profile of the sample, whose autocorrelations are not estimated.

    Raises:
        ValueError: As `Profile.build`.
    """
    answers = numbers(scores)
    _check(columns, kinds, rows=len(answers))
    features = tuple(
        count_categories(name, columns[name]) if kind == "category" else count_numbers(name, columns[name])
        for name, kind in kinds.items()
    )
    named = {feature.name: feature for feature in features if isinstance(feature, NumberFeature)}
    for pair in pairs:
        if pair[0] == pair[1] or not set(pair) <= named.keys():
            raise ValueError(f"a pair is two different features that are numbers; got {' and '.join(pair)}")
    bare = Blocks(
        rows=len(answers),
        features=features,
        scores=count_numbers(SCORE, answers),
        pairs=tuple(count_pair(named[left], named[right], columns) for left, right in pairs),
        contexts=choose_contexts(contexts, columns) if contexts else None,
    )
    parts = _placed(bare, columns, answers)
    return finished(bare, Tally(len(answers), parts.counts, parts.coarse, _no_order(bare)))


def _check(columns: Mapping[str, Column], kinds: Mapping[str, Kind], *, rows: int) -> None:
    if not rows or not kinds:
        raise ValueError(f"a profile needs rows and features; got {rows} rows and {len(kinds)} features")
    for name in kinds:
        if name not in columns:
            raise ValueError(f"column {name!r} is absent; the reference has {', '.join(sorted(columns)) or 'none'}")
        if len(columns[name]) != rows:
            raise ValueError(f"column {name!r} and the scores differ in length: {len(columns[name])} and {rows}")


def tally(profile: Blocks, columns: Mapping[str, Column], scores: Column, *, sequences: Column | None = None) -> Tally:
    """Count a partition on the grids of a profile.

    Args:
        profile: What `draft` chose.
        columns: Values per feature and context column, each of shape (rows,).
        scores: What the model answered, shape (rows,).
        sequences: Which site or device each row is of, shape (rows,); the rows of one are in order. None when all are
            of one.

    Raises:
        ValueError: A column is absent, of another length, or not of its kind.
    """
    answers = numbers(scores)
    parts = _placed(profile, columns, answers)
    order = _no_order(profile)
    if len(answers):
        rows, starts = stretches_of(sequences, len(answers))
        begin = 0
        for sums, (feature, _), stretches in zip(order, profile.watched, parts.stretches, strict=True):
            usual = profile.coarse[:, begin : begin + len(feature.stretches)]
            sums[:] = _order(feature, stretches[rows], parts.context[rows], usual, starts)
            begin += len(feature.stretches)
    return Tally(len(answers), parts.counts, parts.coarse, order)


def finished(profile: Blocks, counted: Tally) -> Blocks:
    """The profile of all rows counted on a draft's grids.

    Raises:
        ValueError: Not one row was counted.
    """
    if not counted.rows:
        raise ValueError("a profile needs rows; got none")
    pairs, scores = len(profile.features), len(profile.watched) - 1
    contexts = profile.contexts and replace(
        profile.contexts,
        counts=tuple(counted.counts[profile.context_block].tolist()),
        coarse=tuple(tuple(line) for line in counted.coarse.tolist()),
    )
    return Blocks(
        rows=counted.rows,
        features=tuple(_renewed(one, profile, counted, place) for place, one in enumerate(profile.features)),
        scores=_renewed(profile.scores, profile, counted, scores),
        pairs=tuple(_renewed(one, profile, counted, place) for place, one in enumerate(profile.pairs, pairs)),
        contexts=contexts,
    )


def _renewed[F: Feature](feature: F, profile: Blocks, counted: Tally, place: int) -> F:
    """The block of that place with the counts of all rows, and what their order says."""
    counts = counted.counts[profile.watched[place][1]]
    return replace(feature, counts=tuple(counts.tolist()), autocorrelation=autocorrelation(counted.order[place]))


@dataclass(frozen=True, eq=False)
class _Placed:
    """Rows on a profile's grids: their sums, and of each row its context and its stretch of cells in every block."""

    counts: NDArray[np.int64]
    coarse: NDArray[np.int64]
    context: NDArray[np.int64]
    stretches: list[NDArray[np.int64]]


def _placed(profile: Blocks, columns: Mapping[str, Column], answers: NDArray[np.float64]) -> _Placed:
    contexts, rows = profile.contexts, len(answers)
    context = contexts.of(columns, rows) if contexts else np.zeros(rows, np.int64)
    lines = contexts.cells if contexts else 1
    counts, coarse, stretches = [], [], []
    cells = cells_of([*profile.features, *profile.pairs], profile.scores, columns=columns, answers=answers)
    for (feature, _), places in zip(profile.watched, cells, strict=True):
        width = len(feature.stretches)
        stretch = (np.searchsorted(feature.stretches, np.arange(feature.cells), "right") - 1)[places]
        counts.append(np.bincount(places, minlength=feature.cells))
        coarse.append(np.bincount(context * width + stretch, minlength=lines * width).reshape(lines, width))
        stretches.append(stretch)
    if contexts:
        counts.append(np.bincount(context, minlength=lines))
    return _Placed(np.concatenate(counts), np.concatenate(coarse, axis=1)[: lines - 1], context, stretches)


def _no_order(blocks: Blocks) -> NDArray[np.int64]:
    return np.zeros((len(blocks.watched), SERIES, len(LAGS), 3), np.int64)


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
