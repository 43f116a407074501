"""Raw rows of devices that make no sketches: checked against a profile's features, and counted many at once."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from itertools import chain, repeat
from math import nan
from typing import Any, Literal, Self

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from functions.telemetry import NOTHING, RawTelemetry
from sketch.building import SCORE
from sketch.contexts import Contexts, as_text
from sketch.features import CategoryFeature, Coded, PairFeature
from sketch.profile import Profile
from sketch.sketch import places_of

READERS_KEPT = 64
OTHER = "other"  # the member that stands for any name that is not known
AT_ONCE = 1024  # rows; their numbers are still near the core when they are placed
_scores = msgspec.json.Decoder(list[float | None])


class Table:
    """The raw rows of a batch about one profile, as places in a vector of counts by stretch.

    Args:
        profile: What the model was trained on.
    """

    def __init__(self, profile: Profile) -> None:
        self._reader, self._profile = reader_of(profile), profile
        self._packed = list[bytes]()
        self._stretches = [np.empty((0, len(profile.blocks)), np.intp)]
        self._scores = [np.empty(0, np.intp)]

    def read(self, told: RawTelemetry) -> int:
        """Take up the rows of a message, and say how many they are.

        Raises:
            ValueError: A feature is absent, a value of another kind, a column of another length; nothing is taken up.
        """
        by_row, by_column = told.rows is not NOTHING, told.columns is not NOTHING
        if by_row is by_column or by_column is (told.scores is NOTHING):
            raise ValueError("raw rows come as `rows`, or as `columns` and `scores`")
        if by_row:
            return self.take(map(astuple, self._reader.rows_of(told.rows)))
        return self.take(self._reader.columns_of(told.columns, told.scores))

    def take(self, rows: Iterable[tuple[float | None, ...]]) -> int:
        """Take up rows, each what a `Reader.row` has, and say how many they are."""
        packed, pack = self._packed, self._reader.pack
        before = len(packed)
        for row in rows:
            try:
                packed.append(pack(*row))
            except struct.error:  # a None is among them
                packed.append(pack(*[nan if value is None else value for value in row]))
        taken = len(packed) - before
        if len(packed) >= AT_ONCE:
            self._place()
        return taken

    def _place(self) -> None:
        cells = self._reader.places(b"".join(self._packed))
        self._stretches.append(self._profile.stretch_of[cells])
        self._scores.append(cells[:, len(self._profile.watched) - 1] - self._profile.score_block.start)
        self._packed = []

    def contents(self, order: NDArray[np.intp], rows: NDArray[np.int64]) -> Callable[[slice], "Counted"]:
        """What each message has counted: from some messages, in an order, to their content.

        Args:
            order: Of the messages, by place, shape (messages,).
            rows: Of each message, as they were taken up, shape (messages,).
        """
        if self._packed:
            self._place()
        stretches, scores = np.concatenate(self._stretches), np.concatenate(self._scores)
        firsts, one_each = (rows.cumsum() - rows)[order], bool((rows == 1).all())
        rows = rows[order]
        return lambda some: Counted(self._profile, stretches, scores, firsts[some], None if one_each else rows[some])


class Counted(msgspec.Struct, frozen=True, eq=False):
    """Rows as places in vectors of counts, some of them a run's: its content.

    Args:
        profile: What the rows are about.
        stretches: Of every row of a batch, by stretch, shape (rows, blocks).
        cells: Of the score of every row, shape (rows,).
        firsts: Row at which each message's begin, shape (messages,).
        rows: Rows of each message, shape (messages,); None where each has one.
    """

    profile: Profile
    stretches: NDArray[np.intp]
    cells: NDArray[np.intp]
    firsts: NDArray[np.intp]
    rows: NDArray[np.int64] | None

    def sum(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        """As `Content.sum`."""
        return np.bincount(self.stretches[self._of(messages)].ravel(), minlength=self.profile.places)

    def scores(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        """As `Content.scores`."""
        return np.bincount(self.cells[self._of(messages)], minlength=self.profile.scores.cells)

    def _of(self, messages: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows of some messages."""
        firsts = self.firsts[messages]
        if self.rows is None:
            return firsts
        rows = self.rows[messages]
        return np.arange(rows.sum()) + np.repeat(firsts - rows.cumsum() + rows, rows)


class Name(float, Enum):
    """A name as JSON has it, decoded as its place among those that are known: a row is numbers alone."""

    def __new__(cls, text: str, place: int) -> Self:
        """A name and its place, from 0."""
        name = float.__new__(cls, place)
        name._value_ = text
        return name

    @classmethod
    def _missing_(cls, value: object) -> Self:  # noqa: ARG003  # whichever it is
        return cls[OTHER]


class Reader:
    """Reads raw rows about one profile; members that it does not name are passed over.

    Args:
        profile: What the model was trained on.

    Attributes:
        row: The type of a row: every member a number or None, the score last; None where a feature has that name.
        pack: Makes bytes of such a row.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile, self._names = profile, _names(profile)
        kinds = [(name, _named(known) if known is not None else float) for name, known in self._names.items()]
        self.pack = struct.Struct(f"{len(kinds) + 1}d").pack
        members = [(name, kind | None) for name, kind in (*kinds, (SCORE, float))]
        self.row = None if SCORE in self._names else _struct("Row", members, profile)
        self._rows = msgspec.json.Decoder(_list(self.row)) if self.row else None
        columns = [(name, _list(kind | None)) for name, kind in kinds]
        self._columns = msgspec.json.Decoder(_struct("Columns", columns, profile))

    def rows_of(self, rows: msgspec.Raw) -> Sequence[msgspec.Struct]:
        """Rows that came row by row, one `row` each; ValueError as `Table.read`."""
        if self._rows is None:
            raise ValueError(f"the model has a feature named {SCORE!r}: its rows come as columns")
        found: Sequence[msgspec.Struct] = self._rows.decode(rows)
        return found

    def columns_of(self, columns: msgspec.Raw, scores: msgspec.Raw) -> Iterator[tuple[float | None, ...]]:
        """Rows that came column by column, as `row` has them; ValueError as `Table.read`."""
        answers, told = _scores.decode(scores), astuple(self._columns.decode(columns))
        for name, column in zip(self._names, told, strict=True):
            if column is not None and len(column) != len(answers):
                raise ValueError(f"column {name!r} has {len(column)} values for {len(answers)} scores")
        whole = [repeat(None, len(answers)) if column is None else column for column in told]
        return zip(*whole, answers, strict=True)

    def places(self, packed: bytes) -> NDArray[np.intp]:
        """Where every row is counted, shape (rows, blocks), of the bytes that `pack` made of each."""
        *columns, scores = np.ascontiguousarray(np.frombuffer(packed).reshape(-1, len(self._names) + 1).T)
        found = {
            name: Coded(np.fmax(column, -1).astype(np.intp), known) if known is not None else column
            for (name, known), column in zip(self._names.items(), columns, strict=True)
        }
        return places_of(self._profile, found, scores)


@lru_cache(maxsize=READERS_KEPT)
def reader_of(profile: Profile) -> Reader:
    """The reader of a profile; making one takes 2 ms, and 10 µs more for each name."""
    return Reader(profile)


@lru_cache(maxsize=READERS_KEPT)
def alike(profile: Profile, loop: str, version: str, *, named: str) -> Callable[[bytes], Any]:
    """Decodes, in one step, bodies of messages that tell of one model version row by row; ValueError for any other.

    Args:
        profile: What the version was trained on.
        loop: The loop, and the model, that the messages name.
        version: The version that they name.
        named: The profile that they name; "" for none.

    Returns:
        From a body to a `RawTelemetry` with structs for rows.
    """
    only = {"v": 1, "kind": "rows", "loop": loop, "model": loop, "version": version}
    members: list[Any] = [(name, Literal[value]) for name, value in only.items()]
    members += [("profile", Literal[named]) if named else ("profile", Literal[""], "")]
    nothing = [(name, msgspec.UnsetType, msgspec.UNSET) for name in ("columns", "scores")]
    row = reader_of(profile).row
    members += [("rows", _list(row) if row else msgspec.UnsetType), *nothing]
    kind = msgspec.defstruct("Alike", members, bases=(RawTelemetry,), frozen=True, gc=False, kw_only=True)
    return msgspec.json.Decoder(kind).decode


def _names(profile: Profile) -> dict[str, Sequence[str] | None]:
    """What a row has, features and the columns of contexts, and the names that are told apart; None of a number.

    The last of the names stands for any other; it is none of them, being longer.
    """
    known: dict[str, Sequence[str] | None] = {}
    for block, _ in profile.blocks:
        if isinstance(block, CategoryFeature):
            known[block.name] = block.categories
        elif isinstance(block, Contexts):
            for place, name in enumerate(block.columns):
                keys, named = [key[place] for key in block.keys], known.get(name)
                if named is not None or any(isinstance(key, str) for key in keys):
                    known[name] = list(dict.fromkeys([*(named or ()), *chain.from_iterable(map(as_text, keys))]))
                else:
                    known[name] = None
        elif block is not profile.scores and not isinstance(block, PairFeature):
            known[block.name] = None
    return {
        name: None if names is None else (*names, max(names, key=len, default="") + "?")
        for name, names in known.items()
    }


def _named(names: Sequence[str]) -> Any:  # noqa: ANN401  # a type, made of its members
    members = {f"m{place}": (name, place) for place, name in enumerate(names[:-1])}
    return Name("Names", members | {OTHER: (names[-1], len(names) - 1)})  # type: ignore[arg-type] # makes a class


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
