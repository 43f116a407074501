"""Rows as cells of a profile: every feature, pair and the scores, row by row and in sum."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sketch.blocks import Blocks
from sketch.features import (
    CategoryFeature,
    Column,
    Feature,
    NumberFeature,
    PairFeature,
    cells_of_categories,
    cells_of_numbers,
    numbers,
)

type Row = Mapping[str, object]
type Places = NDArray[np.int16]


def columns_of(blocks: Blocks, rows: Sequence[Row]) -> dict[str, Column]:
    """Rows as columns: of every feature, and of every context's column, which a row need not have.

    Raises:
        ValueError: A row does not name a feature.
    """
    contexts = blocks.contexts.columns if blocks.contexts else ()
    columns: dict[str, Column] = {name: [row.get(name) for row in rows] for name in contexts}
    for feature in blocks.features:
        try:
            columns[feature.name] = [row[feature.name] for row in rows]
        except KeyError:
            place = next(place for place, row in enumerate(rows, 1) if feature.name not in row)
            raise ValueError(f"row {place} of {len(rows)} does not name {feature.name!r}; null is missing") from None
    return columns


def column_of(feature: Feature, columns: Mapping[str, Column], rows: int) -> Column:
    """What a feature or pair is counted from, of shape (rows,).

    Raises:
        ValueError: A column is absent, is of another length than the scores, or is not of its kind.
    """
    if isinstance(feature, PairFeature):
        left, right = (numbers(_column(side.name, columns, rows)) for side in (feature.left, feature.right))
        return feature.of(left, right)
    values = _column(feature.name, columns, rows)
    return values if isinstance(feature, CategoryFeature) else numbers(values)


def _column(name: str, columns: Mapping[str, Column], rows: int) -> Column:
    if name not in columns:
        raise ValueError(f"column {name!r} of the profile is absent; there are {', '.join(sorted(columns)) or 'none'}")
    if len(columns[name]) != rows:
        raise ValueError(f"column {name!r} and the scores differ in length; there are {rows} scores")
    return columns[name]


def cells_of(
    features: Sequence[Feature], scores: NumberFeature, *, columns: Mapping[str, Column], answers: NDArray[np.float64]
) -> Iterator[Places]:
    """The cell of every row within each block: features and pairs in their order, then the scores; each shape (rows,).

    Raises:
        ValueError: As `column_of`.
    """
    for feature in features:
        values = column_of(feature, columns, len(answers))
        if isinstance(feature, CategoryFeature):
            yield cells_of_categories(values, feature).astype(np.int16)
        else:
            yield _cells(feature, numbers(values))
    yield _cells(scores, answers)


def _cells(feature: NumberFeature, values: NDArray[np.float64]) -> Places:
    return cells_of_numbers(values, low=feature.low, width=feature.width).astype(np.int16)
