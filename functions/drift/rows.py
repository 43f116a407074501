"""Raw rows of devices that make no sketches: checked against a profile's features, and counted many at once."""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.telemetry import RawTelemetry
from sketch.building import SCORE
from sketch.contexts import Contexts
from sketch.features import CategoryFeature, Column, PairFeature
from sketch.profile import Profile
from sketch.sketch import places_of

READERS_KEPT = 64
_scores = msgspec.json.Decoder(list[float | None])


class Rows(msgspec.Struct, frozen=True, gc=False):
    """The rows of one message, read.

    Args:
        values: One struct a row, with its score; or one struct of columns.
        count: How many rows there are.
        scores: Where the values are columns: what the model answered.
    """

    values: Sequence[Any]
    count: int
    scores: Sequence[float | None] | None = None


class Counted:
    """The rows of many messages as places in a profile's vector of counts: the content of a run.

    Args:
        places: Shape (blocks, rows), messages one after another.
        rows: Rows of each message.
        cells: Length of the vector.
    """

    def __init__(self, places: NDArray[np.int64], rows: Sequence[int], cells: int) -> None:
        self._places, self._rows, self._cells = places, rows, cells

    def sum(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Rows per cell of some of the messages, shape (cells,); `chosen` has shape (messages,)."""
        places = self._places if chosen.all() else self._places[:, np.repeat(chosen, self._rows)]
        return np.bincount(places.ravel(), minlength=self._cells)

    def part(self, first: int, end: int) -> "Counted":
        """Consecutive messages alone."""
        start, rows = sum(self._rows[:first]), self._rows[first:end]
        return Counted(self._places[:, start : start + sum(rows)], rows, self._cells)


class Reader:
    """Reads raw rows about one profile; members that it does not name are passed over.

    Args:
        profile: What the model was trained on.
    """

    def __init__(self, profile: Profile) -> None:
        kinds = _kinds(profile)
        self._profile, self._kinds = profile, kinds
        self._text = [_attribute(n) for n, kind in enumerate(kinds.values()) if kind is str]
        self._number = [_attribute(n) for n, kind in enumerate(kinds.values()) if kind is float]
        named = [(name, kind | None) for name, kind in kinds.items()]
        of_row = _struct("Row", [*named, (SCORE, float | None)], profile) if SCORE not in kinds else None
        self._row = msgspec.json.Decoder(_list(of_row)) if of_row else None
        self._columns = msgspec.json.Decoder(_struct("Columns", [(name, _list(kind)) for name, kind in named], profile))

    def read(self, told: RawTelemetry) -> Rows:
        """The rows of a message.

        Raises:
            ValueError: A feature is absent, a value of another kind, a column of another length.
        """
        if bool(told.rows) == bool(told.columns) or bool(told.columns) != bool(told.scores):
            raise ValueError("raw rows come as `rows`, or as `columns` and `scores`")
        if told.rows and self._row is None:
            raise ValueError(f"the model has a feature named {SCORE!r}: its rows come as columns")
        if self._row and told.rows:
            values = self._row.decode(told.rows)
            return Rows(values, len(values))
        columns, scores = self._columns.decode(told.columns), _scores.decode(told.scores)
        for n, name in enumerate(self._kinds):
            column = getattr(columns, _attribute(n))
            if column is not None and len(column) != len(scores):
                raise ValueError(f"column {name!r} has {len(column)} values for {len(scores)} scores")
        return Rows([columns], len(scores), scores)

    def count(self, messages: Sequence[Rows]) -> Counted:
        """Find the place of every row of many messages, all at once."""
        parts = [
            self._of_columns(list(some)) if by_column else self._of_rows(list(some))
            for by_column, some in groupby(messages, key=lambda one: one.scores is not None)
        ]
        rows = [message.count for message in messages]
        return Counted(np.concatenate(parts, axis=1), rows, len(self._profile.counts))

    def _of_rows(self, messages: Sequence[Rows]) -> NDArray[np.int64]:
        rows = list(chain.from_iterable(message.values for message in messages))
        numbers = _matrix(rows, [*self._number, _attribute(len(self._kinds))])
        texts = {name: list(map(attrgetter(name), rows)) for name in self._text}
        return self._places(dict(zip(self._number, numbers, strict=False)), texts, numbers[-1])

    def _of_columns(self, messages: Sequence[Rows]) -> NDArray[np.int64]:
        def joined(name: str) -> list[Any]:
            parts = (getattr(message.values[0], name) or [None] * message.count for message in messages)
            return list(chain.from_iterable(parts))

        scores = [score for message in messages for score in message.scores or ()]
        texts = {name: joined(name) for name in self._text}
        return self._places({name: joined(name) for name in self._number}, texts, scores)

    def _places(self, numbers: Mapping[str, Column], texts: Mapping[str, Column], scores: Column) -> NDArray[np.int64]:
        found = {**numbers, **texts}
        columns = {name: found[_attribute(n)] for n, name in enumerate(self._kinds)}
        return places_of(self._profile, columns, scores)


_readers: dict[str, Reader] = {}  # by the profile's hash: never stale


def reader_of(profile: Profile) -> Reader:
    """The reader of a profile; making one takes some milliseconds."""
    reader = _readers.get(profile.hash)
    if reader is None:
        if len(_readers) >= READERS_KEPT:
            _readers.clear()
        reader = _readers[profile.hash] = Reader(profile)
    return reader


def _matrix(rows: Sequence[Any], names: Sequence[str]) -> NDArray[np.float64]:
    """Numbers of rows, None as NaN, shape (names, rows)."""
    get = attrgetter(*names) if len(names) > 1 else lambda row: (getattr(row, names[0]),)
    try:
        flat = np.fromiter(chain.from_iterable(map(get, rows)), np.float64, len(rows) * len(names))
    except TypeError:  # a None is among them, which is slower
        flat = np.array(list(chain.from_iterable(map(get, rows))), np.float64)
    return flat.reshape(len(rows), len(names)).T


def _kinds(profile: Profile) -> dict[str, Any]:
    """What a row has: features, then the columns of contexts that are none."""
    kinds: dict[str, Any] = {}
    for block, _ in profile.blocks:
        if isinstance(block, Contexts):
            for place, name in enumerate(block.columns):
                texts = any(isinstance(key[place], str) for key in block.keys)
                kinds.setdefault(name, str if texts else float)
        elif block is not profile.scores and not isinstance(block, PairFeature):
            kinds[block.name] = str if isinstance(block, CategoryFeature) else float
    return kinds


def _struct(name: str, members: Sequence[tuple[str, Any]], profile: Profile) -> type[msgspec.Struct]:
    """A struct of members of any name; only what the model reads must be there."""
    needed = {SCORE, *(feature.name for feature in profile.features)}
    fields = [
        (_attribute(n), kind, msgspec.field(name=member))
        if member in needed
        else (_attribute(n), kind | None, msgspec.field(name=member, default=None))
        for n, (member, kind) in enumerate(members)
    ]
    return msgspec.defstruct(name, fields, gc=False, kw_only=True)


def _list(kind: Any) -> Any:  # noqa: ANN401  # a type, made of one
    return list[kind]


def _attribute(place: int) -> str:
    return f"m{place}"
