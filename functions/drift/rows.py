"""Raw rows of devices that make no sketches: checked against a profile's features, and counted many at once."""

import struct
from collections.abc import Sequence
from itertools import chain, groupby, repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.telemetry import NOTHING, RawTelemetry
from sketch.building import SCORE
from sketch.contexts import Contexts
from sketch.features import CategoryFeature, Column, PairFeature
from sketch.profile import Profile
from sketch.sketch import places_of

READERS_KEPT = 64
AT_ONCE = 512  # rows; what was decoded is then still near the core when it is counted
_scores = msgspec.json.Decoder(list[float | None])


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """The rows of one message, decoded.

    Args:
        values: One struct a row, with its score; or one struct of columns.
        count: How many rows there are.
        scores: Where the values are columns: what the model answered.
    """

    values: Sequence[Any]
    count: int
    scores: Sequence[float | None] | None = None


class Rows(msgspec.Struct, frozen=True, gc=False):
    """Where the rows of one message are in a batch's table.

    Args:
        first: Place of the first.
        count: How many there are.
    """

    first: int
    count: int


class Table:
    """The raw rows of a batch about one profile, as places in its vector of counts.

    Args:
        profile: What the model was trained on.
    """

    def __init__(self, profile: Profile) -> None:
        self._reader, self._cells = reader_of(profile), len(profile.counts)
        self._waiting: list[Decoded] = []
        self._rows = self._placed = 0
        self._parts: list[NDArray[np.intp]] = []

    def read(self, told: RawTelemetry) -> Rows:
        """Take up the rows of a message.

        Raises:
            ValueError: As `Reader.read`; nothing is taken up.
        """
        decoded = self._reader.read(told)
        rows = Rows(self._rows, decoded.count)
        self._rows += decoded.count
        self._waiting.append(decoded)
        if self._rows - self._placed >= AT_ONCE:
            self._place()
        return rows

    def counted(self, messages: Sequence[Rows]) -> "Counted":
        """What some of the messages have counted, one after another."""
        if self._waiting:
            self._place()
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        rows = [message.count for message in messages]
        firsts, ends = np.array([message.first for message in messages]), np.cumsum(rows)
        chosen = np.arange(ends[-1]) + np.repeat(firsts - ends + rows, rows)
        return Counted(self._parts[0][chosen], rows, self._cells)

    def _place(self) -> None:
        self._parts.append(self._reader.places(self._waiting))
        self._waiting, self._placed = [], self._rows


class Counted:
    """The rows of many messages as places in a profile's vector of counts: the content of a run.

    Args:
        places: Shape (rows, blocks), messages one after another.
        rows: Rows of each message.
        cells: Length of the vector.
    """

    def __init__(self, places: NDArray[np.intp], rows: Sequence[int], cells: int) -> None:
        self._places, self._rows, self._cells = places, rows, cells

    def sum(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Rows per cell of some of the messages, shape (cells,); `chosen` has shape (messages,)."""
        places = self._places if chosen.all() else self._places[np.repeat(chosen, self._rows)]
        return np.bincount(places.ravel(), minlength=self._cells)


class Reader:
    """Reads raw rows about one profile; members that it does not name are passed over.

    Args:
        profile: What the model was trained on.
    """

    def __init__(self, profile: Profile) -> None:
        kinds = _kinds(profile)
        self._profile, self._kinds = profile, kinds
        named = [(name, kind | None) for name, kind in kinds.items()]
        of_row = _struct("Row", [*named, (SCORE, float | None)], profile) if SCORE not in kinds else None
        self._row = msgspec.json.Decoder(_list(of_row)) if of_row else None
        self._columns = msgspec.json.Decoder(_struct("Columns", [(name, _list(kind)) for name, kind in named], profile))

    def read(self, told: RawTelemetry) -> Decoded:
        """The rows of a message.

        Raises:
            ValueError: A feature is absent, a value of another kind, a column of another length.
        """
        by_row, by_column = told.rows is not NOTHING, told.columns is not NOTHING
        if by_row is by_column or by_column is (told.scores is NOTHING):
            raise ValueError("raw rows come as `rows`, or as `columns` and `scores`")
        if by_row:
            if self._row is None:
                raise ValueError(f"the model has a feature named {SCORE!r}: its rows come as columns")
            values = self._row.decode(told.rows)
            return Decoded(values, len(values))
        columns, scores = self._columns.decode(told.columns), _scores.decode(told.scores)
        for n, name in enumerate(self._kinds):
            column = getattr(columns, _attribute(n))
            if column is not None and len(column) != len(scores):
                raise ValueError(f"column {name!r} has {len(column)} values for {len(scores)} scores")
        return Decoded([columns], len(scores), scores)

    def places(self, messages: Sequence[Decoded]) -> NDArray[np.intp]:
        """Where every row of many messages is counted, found all at once, shape (rows, blocks)."""
        parts = [
            self._of_columns(list(some)) if by_column else self._of_rows(list(some))
            for by_column, some in groupby(messages, key=lambda one: one.scores is not None)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self._profile.blocks)), np.intp)

    def _of_rows(self, messages: Sequence[Decoded]) -> NDArray[np.intp]:
        rows = chain.from_iterable(message.values for message in messages)
        *columns, scores = list(zip(*map(msgspec.structs.astuple, rows), strict=True)) or [()] * (len(self._kinds) + 1)
        return self._places(columns, scores)

    def _of_columns(self, messages: Sequence[Decoded]) -> NDArray[np.intp]:
        counts, told = [message.count for message in messages], [message.values[0] for message in messages]
        columns = [
            list(chain.from_iterable(column or repeat(None, count) for column, count in zip(some, counts, strict=True)))
            for some in zip(*map(msgspec.structs.astuple, told), strict=True)
        ]
        return self._places(columns, list(chain.from_iterable(message.scores or () for message in messages)))

    def _places(self, columns: Sequence[Sequence[Any]], scores: Sequence[float | None]) -> NDArray[np.intp]:
        found: dict[str, Column] = {
            name: column if kind is str else _numbers(column)
            for (name, kind), column in zip(self._kinds.items(), columns, strict=True)
        }
        return places_of(self._profile, found, _numbers(scores))


_readers: dict[str, Reader] = {}  # by the profile's hash: never stale


def reader_of(profile: Profile) -> Reader:
    """The reader of a profile; making one takes some milliseconds."""
    reader = _readers.get(profile.hash)
    if reader is None:
        if len(_readers) >= READERS_KEPT:
            _readers.clear()
        reader = _readers[profile.hash] = Reader(profile)
    return reader


def _numbers(column: Sequence[float | None]) -> NDArray[np.float64]:
    """A column of floats, None as NaN, shape (rows,)."""
    try:
        return np.frombuffer(struct.pack(f"{len(column)}d", *column))
    except struct.error:  # a None is among them, which is slower
        return np.array(column, np.float64)


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
