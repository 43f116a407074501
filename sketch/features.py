"""One feature's values as counts: which cell of which grid a value belongs to.

A number's cells are `below, 256 uniform cells, above, missing`; a category's are `one per kept name, unseen, missing`.
Training chooses the grid from the reference; every device counts on it, so that counts from anywhere add up. A pair of
numbers is counted by their product, as one more number.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Column = NDArray[Any] | Sequence[object]

CELLS = 256
MOST_CATEGORIES = 128
LONGEST_NAME = 128  # characters; what is longer is a text rather than a name, and a profile travels with its names
TOLD_APART = 32  # The most frequent categories; the rarer ones are watched together.
_FEW = 5  # Rows: from so many on, hardly any name as frequent has none, and is not known.
EDGES = 15
TIMES = " × "  # noqa: RUF001 - a multiplication sign it is
SMALLEST_WIDTH = 1e-290  # Its inverse, and the inverse of its half, are finite.
_LARGEST = 1e308  # A range whose ends are this large still has a finite width.
_OFFSET = 0.382  # Data on a regular step never falls on a cell's edge, where one rounding error would move it.


@dataclass(frozen=True)
class NumberFeature:
    """A number, counted on a uniform grid over the robust range of the reference.

    Cell 0 holds what is below `low`, cells 1 to 256 are `width` wide each, cell 257 holds what is above, cell 258 what
    is missing (NaN).

    Attributes:
        name: Column name.
        low: Lower end of the grid, in the feature's own unit; finite.
        width: Width of one cell, in the feature's own unit; finite and > 0.
        counts: Reference rows per cell, length 259.
        edges: About 15 inner edges that part the reference most evenly, ascending, each in 1..255: what is compared.
        autocorrelation: Of two rows that follow each other, 0..0.99; see `sketch.order`.
    """

    name: str
    low: float
    width: float
    counts: tuple[int, ...]
    edges: tuple[int, ...] = ()
    autocorrelation: float = 0.0

    @property
    def cells(self) -> int:
        """Length of the feature's block."""
        return CELLS + 3

    @property
    def stretches(self) -> tuple[int, ...]:
        """First cells of the stretches that are compared: below, from edge to edge, above, missing."""
        return (0, 1, *(edge + 1 for edge in self.edges), CELLS + 1, CELLS + 2)

    def edge(self, index: int) -> float:
        """The value between cell `index` and the next one, for `index` in 0..256.

        Returns:
            In the feature's own unit; finite.
        """
        return float(np.clip(self.low + index * self.width, -np.finfo(float).max, np.finfo(float).max))


@dataclass(frozen=True)
class Side:
    """One number of a pair, and what makes it a standard one.

    Attributes:
        name: Column name.
        low: Values below count as this, in the feature's own unit; finite.
        high: Values above count as this.
        mean: Of the reference; finite.
        deviation: Standard deviation of the reference, > 0, or a cell's width where that is larger.
    """

    name: str
    low: float
    high: float
    mean: float
    deviation: float

    def standard(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values as deviations from the mean, dimensionless and finite; NaN where missing, shape (rows,)."""
        # Halves, because the difference of two huge numbers of opposite sign would overflow.
        deviations: NDArray[np.float64] = (np.clip(values, self.low, self.high) * 0.5 - self.mean * 0.5) / (
            self.deviation * 0.5
        )
        return deviations


@dataclass(frozen=True)
class PairFeature(NumberFeature):
    """Two numbers that belong together, counted by the product of their standard values, as one more number.

    The product's distribution moves when the correlation does, though each of the two looks as ever.

    Attributes:
        left: One of them.
        right: The other.
    """

    left: Side = field(kw_only=True)
    right: Side = field(kw_only=True)

    def of(self, left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product, dimensionless; NaN where one of the two is missing, shape (rows,)."""
        return self.left.standard(left) * self.right.standard(right)


@dataclass(frozen=True)
class CategoryFeature:
    """A category, counted by name.

    Attributes:
        name: Column name.
        categories: The kept names, most frequent first, at most 128. Rarer ones, and those of more than 128 characters,
            count as unseen, in the reference too.
        counts: Reference rows per cell, length `len(categories) + 2`: the categories, unseen, missing.
        autocorrelation: Of two rows that follow each other, 0..0.99; see `sketch.order`.
    """

    name: str
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    autocorrelation: float = 0.0

    @property
    def cells(self) -> int:
        """Length of the feature's block."""
        return len(self.categories) + 2

    @property
    def stretches(self) -> tuple[int, ...]:
        """First cells of the stretches that are compared: the 32 most frequent, the rarer ones, unseen, missing."""
        kept = len(self.categories)
        rarer = (TOLD_APART,) if kept > TOLD_APART else ()
        return (*range(min(kept, TOLD_APART)), *rarer, kept, kept + 1)

    @cached_property
    def cell_of(self) -> dict[object, int]:
        """Where a name is counted; a name that is not here is unseen."""
        return {name: cell for cell, name in enumerate(self.categories)} | {None: len(self.categories) + 1}


Feature = NumberFeature | CategoryFeature


class Coded(Sequence[str | None]):
    """A category as tables in memory hold it: each name once, and a number for it in every row.

    Args:
        codes: Place in the names, -1 where missing, whole numbers, shape (rows,).
        names: Each once.
    """

    def __init__(self, codes: NDArray[np.signedinteger], names: Sequence[str]) -> None:
        self.codes, self.names = codes, names

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> str | None: ...
    @overload
    def __getitem__(self, place: slice | NDArray[np.intp]) -> "Coded": ...
    def __getitem__(self, place: int | slice | NDArray[np.intp]) -> "str | Coded | None":
        if isinstance(place, slice | np.ndarray):
            return Coded(self.codes[place], self.names)
        code = self.codes[place]
        return self.names[code] if code >= 0 else None


def numbers(values: Column) -> NDArray[np.float64]:
    """One column of numbers, None as NaN, shape (rows,).

    Raises:
        ValueError: It is not one column of numbers.
    """
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ValueError(f"not a column of numbers: {problem}") from problem
    if column.ndim != 1:
        raise ValueError(f"a column has one dimension; got {column.ndim}")
    return column


def cells_of_numbers(
    values: NDArray[np.float64], *, low: float | NDArray[np.float64], width: float | NDArray[np.float64]
) -> NDArray[np.int64]:
    """The cell, 0 to 258, of each value, in the shape of `values`; `low` and `width` broadcast against it."""
    scale, shift = scale_of(low, width)
    with np.errstate(over="ignore", invalid="ignore"):
        place = values * scale + shift
    np.clip(place, 0, CELLS + 1, out=place)
    np.copyto(place, CELLS + 2, where=np.isnan(place))
    return place.astype(np.int64)


def scale_of(low: ArrayLike, width: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What takes a value to its cell: the whole part of value * scale + shift, within 0..257.

    A grid's cells are at least 2**-44 of its ends wide, so that a position is exact to a few hundredths of a cell.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scale = 1.0 / np.asarray(width, np.float64)
        return scale, 1.0 - np.asarray(low, np.float64) * scale


def cells_of_categories(values: Column, feature: CategoryFeature) -> NDArray[np.int64]:
    """The cell of each value, shape (rows,)."""
    unseen = len(feature.categories)
    if isinstance(values, Coded):
        cells = np.array([feature.cell_of.get(name, unseen) for name in (*values.names, None)], np.int64)
        return np.take(cells, values.codes)
    plain: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if not set(map(type, plain)) <= {str, type(None)}:
        plain = names_of(plain)
    return np.fromiter(map(feature.cell_of.get, plain, repeat(unseen)), np.int64, len(plain))


def counts_of_categories(values: Column, feature: CategoryFeature) -> NDArray[np.int64]:
    """How many values fall into each cell, shape (cells,)."""
    if isinstance(values, Coded):
        found = np.bincount(values.codes + 1, minlength=len(values.names) + 1)  # missing first
        cells = [feature.cell_of.get(name, len(feature.categories)) for name in (None, *values.names)]
        return np.bincount(cells, found, minlength=feature.cells).astype(np.int64)
    plain: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    seen: Counter[str | None] = Counter(plain)
    if not all(name is None or isinstance(name, str) for name in seen):
        seen = Counter(names_of(plain))  # 1 and True are one key, and two names
    counts = np.zeros(feature.cells, np.int64)
    for name, count in seen.items():
        counts[feature.cell_of.get(name, len(feature.categories))] += count
    return counts


def names_of(values: Column) -> list[str | None]:
    """The column as text; a NaN, which pandas writes for a missing name, becomes None."""
    plain: Sequence[object] = values.tolist() if isinstance(values, np.ndarray) else values
    # Only NaN differs from itself.
    return [None if value is None or value != value else str(value) for value in plain]  # noqa: PLR0124


def may_be_kept(name: str) -> bool:
    """Whether a profile may hold a name: of at most 128 characters, all of which UTF-8 can say."""
    return len(name) <= LONGEST_NAME and in_utf8(name)


def in_utf8(text: str) -> bool:
    """Whether UTF-8 can say a text, which it cannot of half a pair of surrogates."""
    return text == text.encode(errors="ignore").decode()


def count_numbers(name: str, values: Column) -> NumberFeature:
    """Choose the grid for a reference column of numbers, and count the column on it.

    Raises:
        ValueError: It is not one column of numbers.
    """
    column = numbers(values)
    low, width = _grid(column[np.isfinite(column)])
    counts = np.bincount(cells_of_numbers(column, low=low, width=width), minlength=CELLS + 3)
    return NumberFeature(name, low, width, tuple(counts.tolist()), edges_of(counts))


def count_pair(left: NumberFeature, right: NumberFeature, columns: Mapping[str, Column]) -> PairFeature:
    """Choose what makes the two numbers standard ones and the grid of their product, and count it.

    Raises:
        ValueError: One of the two is not one column of numbers.
    """
    sides = [_side(feature, numbers(columns[feature.name])) for feature in (left, right)]
    one, other = (side.standard(numbers(columns[side.name])) for side in sides)
    grid = count_numbers(f"{left.name}{TIMES}{right.name}", one * other)
    return PairFeature(grid.name, grid.low, grid.width, grid.counts, grid.edges, left=sides[0], right=sides[1])


def _side(feature: NumberFeature, values: NDArray[np.float64]) -> Side:
    low, high = feature.edge(0), feature.edge(CELLS)
    known = values[~np.isnan(values)]
    place = (np.clip(known, low, high) * 0.5 - low * 0.5) / (feature.width * 0.5)  # in cells, so that no sum overflows
    mean, deviation = (float(place.mean()), float(place.std())) if len(known) else (0.0, 1.0)
    middle = float(np.clip(low + mean * feature.width, low, high))
    return Side(feature.name, low, high, middle, min(max(deviation, 1.0) * feature.width, _LARGEST))


def edges_of(counts: NDArray[np.int64]) -> tuple[int, ...]:
    """Inner edges of a grid that part the counts most evenly; about 15, fewer for a number of few values.

    Args:
        counts: Rows per cell, shape (259,).

    Returns:
        Cells after which an edge lies, ascending, each in 1..255; none when nothing is known.
    """
    rows = counts[: CELLS + 2].sum()
    if not rows:
        return ()
    below = np.cumsum(counts[: CELLS + 1])[1:CELLS] / rows
    levels = np.arange(1, EDGES + 1) / (EDGES + 1)
    nearest = np.unique(np.abs(below[:, np.newaxis] - levels).argmin(axis=0))
    if len(nearest) <= EDGES // 2:  # Few values hold most rows: watch both sides of each.
        sides = [np.searchsorted(below, levels, "left"), np.searchsorted(below, levels, "right") - 1]
        nearest = np.unique(np.clip(sides, 0, len(below) - 1))
    return tuple(int(edge) + 1 for edge in nearest)


def _grid(values: NDArray[np.float64]) -> tuple[float, float]:
    """Lower end and cell width of a grid that resolves the bulk of the values, whatever a few outliers do."""
    if not len(values):
        return 0.0, 1.0
    levels = [0.0005, 0.25, 0.75, 0.9995]
    # Halves, because the difference of two huge numbers of opposite sign would overflow.
    quantiles = np.quantile(np.clip(values, -_LARGEST, _LARGEST) * 0.5, levels) * 2
    first, lower, upper, last = quantiles.tolist()
    reach = min(6 * (upper - lower), _LARGEST)
    if reach > 0:
        first, last = max(first, lower - reach), min(last, upper + reach)
    largest = max(abs(first), abs(last))
    if first == last:
        width = largest * 2.0**-16 or 2.0**-16
        first -= CELLS / 2 * width
    else:
        width = max(last / (CELLS - 1) - first / (CELLS - 1), largest * 2.0**-44)
    width = max(width, SMALLEST_WIDTH)
    return first - _OFFSET * width, width


@dataclass(frozen=True, slots=True)
class Luck:
    """What the names on the better side of a border owe to having been chosen by their own rows.

    Attributes:
        rows: Rows whose name would be on the other side if it were not for themselves.
        first: Rank of the first name that is not much more frequent than the border: luck is among it and later ones.
        border: Rank of the first name on the other side.
    """

    rows: int
    first: int
    border: int


def count_categories(name: str, values: Column) -> tuple[CategoryFeature, tuple[Luck, Luck]]:
    """Choose the categories to keep from a reference column, and count the column by them.

    Returns:
        The feature; the luck at the border of the names told apart, and of those kept.
    """
    column = names_of(values)
    ranked, missing = _ranked(column)
    kept = ranked[:MOST_CATEGORIES]
    counts = [-count for count, _ in kept]
    unseen = len(column) - missing - sum(counts)
    feature = CategoryFeature(name, tuple(category for _, category in kept), (*counts, unseen, missing))
    return feature, _luck(ranked)


def _luck(ranked: Sequence[tuple[int, str]]) -> tuple[Luck, Luck]:
    counts = np.array([-count for count, _ in ranked], np.int64)

    def at(border: int) -> Luck:
        weakest = ranked[border] if len(ranked) > border else (0, "")
        least = -weakest[0]
        near = 3 + 3 * least**0.5
        if least < _FEW:
            rows = -sum(count for count, name in ranked[:border] if (count + 1, name) >= weakest)
        else:
            rows = _owed(counts, border, near=near)
        return Luck(rows, int(np.count_nonzero(counts > least + near)), min(border, len(ranked)))

    told_apart = at(TOLD_APART) if len(ranked) > TOLD_APART else Luck(0, 0, 0)
    return told_apart, at(MOST_CATEGORIES)


def _owed(counts: NDArray[np.int64], border: int, *, near: float) -> int:
    """Rows that names before a border owe to luck, where the first name beyond it has not only a few.

    On average, those of the names with so many rows that one less would take them over the border; how many names these
    are is told by all within half a standard deviation. But no more than names near the border have above their mean:
    names that are as frequent as each other have no luck.

    Args:
        counts: Rows per name, descending.
        border: Place of the first name beyond.
        near: Names whose counts differ by no more from that name's are near.
    """
    least = int(counts[border])
    width = max(least**0.5 / 2, 1.0)
    names = np.maximum(1 - np.abs(counts - least - 0.5) / width, 0).sum() / width
    around = np.abs(counts - least) <= near
    before = counts[:border][around[:border]]
    above = float(before.sum() - len(before) * counts[around].mean())
    return max(round(min(float(names) * (least + 0.5), above)), 0)


def _ranked(column: list[str | None]) -> tuple[list[tuple[int, str]], int]:
    """Names that may be kept, with their rows as negative numbers, the most frequent first; how many are missing."""
    seen = Counter(column)
    missing = seen.pop(None, 0)
    return sorted((-count, name) for name, count in seen.items() if name is not None and may_be_kept(name)), missing
