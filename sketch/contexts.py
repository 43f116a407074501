"""The reference per context: what is usual at eight in the morning at one site may be drift at midnight at another.

A context is one combination of values of the declared columns, such as hour and site. Every row has one; a row whose
combination the reference did not keep, or that does not tell, has the context `other`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketch.features import TIMES, Coded, Column, may_be_kept, names_of, numbers

MOST_CONTEXTS = 256
_LARGEST_WHOLE = 2.0**53

type Key = tuple[int | str, ...]


@dataclass(frozen=True)
class Contexts:
    """Which rows of the reference were in which context, and how each context's rows lie.

    Attributes:
        columns: Names of the columns whose values make a context, at least one.
        keys: The kept combinations, most frequent first, at most 256; in each column, all whole numbers or all text of
            at most 128 characters.
        counts: Reference rows per context, then those in `other`, length `len(keys) + 1`.
        coarse: Reference rows per context and stretch: a line per key, in it the stretches of every feature, pair and
            the scores in a row (see `NumberFeature.stretches`).
    """

    columns: tuple[str, ...]
    keys: tuple[Key, ...]
    counts: tuple[int, ...]
    coarse: tuple[tuple[int, ...], ...] = ()

    @property
    def name(self) -> str:
        """What the block is called: the columns."""
        return TIMES.join(self.columns)

    @property
    def cells(self) -> int:
        """Length of the block."""
        return len(self.keys) + 1

    def of(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.int64]:
        """The context of each row, `len(keys)` for other, shape (rows,).

        Raises:
            ValueError: A column is of another length, or mixes numbers with text where the reference had numbers.
        """
        other = len(self.keys)
        code = np.zeros(rows, np.int64)
        for name, known in zip(self.columns, self._known, strict=True):
            if name not in columns:
                return np.full(rows, other, np.int64)
            if len(columns[name]) != rows:
                raise ValueError(f"column {name!r} and the scores differ in length; there are {rows} scores")
            code = code * (len(known) + 1) + _places(columns[name], known)
        at = np.minimum(np.searchsorted(self._codes, code), max(other - 1, 0))
        return np.where(self._codes[at] == code, self._order[at], other) if other else np.full(rows, 0, np.int64)

    @cached_property
    def _known(self) -> list[list[Any]]:
        """The values of each column that some key has, in order."""
        return [sorted({key[place] for key in self.keys}) for place in range(len(self.columns))]

    @cached_property
    def _places_of_keys(self) -> NDArray[np.int64]:
        codes = np.zeros(len(self.keys), np.int64)
        for place, known in enumerate(self._known):
            at = {value: index for index, value in enumerate(known)}
            codes = codes * (len(known) + 1) + np.array([at[key[place]] for key in self.keys], np.int64)
        return codes

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self._places_of_keys)

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        """The keys' codes, ascending: mixed radix, a digit per column."""
        return self._places_of_keys[self._order]


def choose_contexts(names: Sequence[str], columns: Mapping[str, Column]) -> Contexts:
    """Keep the most frequent combinations of a reference's context columns; their rows are counted elsewhere.

    Raises:
        ValueError: A column is absent, or holds numbers that are not whole.
    """
    values = [_values(name, columns) for name in names]
    seen = Counter(key for key in zip(*values, strict=True) if all(map(_tells, key)))
    kept = sorted(seen, key=lambda key: (-seen[key], tuple(map(str, key))))[:MOST_CONTEXTS]
    return Contexts(tuple(names), tuple(kept), (0,) * (len(kept) + 1), ())


def _tells(value: int | str | None) -> bool:
    return value is not None and (isinstance(value, int) or may_be_kept(value))


def _values(name: str, columns: Mapping[str, Column]) -> Sequence[int | str | None]:
    if name not in columns:
        raise ValueError(f"context column {name!r} is absent; the reference has {', '.join(sorted(columns)) or 'none'}")
    if is_text(columns[name]):
        return names_of(columns[name])
    column = numbers(columns[name])
    known = ~np.isnan(column)
    if (np.abs(column[known]) > _LARGEST_WHOLE).any() or (column[known] != np.floor(column[known])).any():
        raise ValueError(
            f"context column {name!r} holds numbers that are not whole; a context is a category or a count"
        )
    return [int(value) if there else None for value, there in zip(column.tolist(), known.tolist(), strict=True)]


def is_text(values: Column) -> bool:
    """Whether a column holds names rather than numbers; of an empty one, or one with nothing in it, no."""
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return values.dtype.kind in "US"
    # Only NaN differs from itself.
    known = (value for value in values if value is not None and value == value)  # noqa: PLR0124
    return isinstance(next(known, None), str)


def as_text(value: int | str) -> tuple[str, ...]:
    """How a column of text may say a value of a context: a number also as one with a decimal."""
    return (value,) if isinstance(value, str) else (str(value), str(float(value)))


def _places(values: Column, known: list[Any]) -> NDArray[np.int64]:
    """Place of each value among the known ones, one beyond the last for any other."""
    if not known:
        return np.zeros(len(values), np.int64)
    if isinstance(known[0], str) or is_text(values):
        at: dict[str | None, int] = {name: place for place, value in enumerate(known) for name in as_text(value)}
        names = values.names if isinstance(values, Coded) else names_of(values)
        places = [at.get(name, len(known)) for name in (*names, None)]
        return np.take(places, values.codes if isinstance(values, Coded) else range(len(values)))
    column, sorted_ones = numbers(values), np.array(known, np.float64)
    place = np.minimum(np.searchsorted(sorted_ones, column), len(known) - 1)
    return np.where(sorted_ones[place] == column, place, len(known))
