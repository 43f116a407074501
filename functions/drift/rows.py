"""Raw rows of devices that make no sketches: checked against a profile's features, and counted many at once."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from math import nan
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from functions.telemetry import NOTHING, RawTelemetry
from sketch.building import SCORE
from sketch.contexts import Contexts
from sketch.features import CategoryFeature, Column, PairFeature
from sketch.profile import Profile
from sketch.sketch import places_of

READERS_KEPT = 64
AT_ONCE = 1024  # rows; their numbers are still near the core when they are placed
_scores = msgspec.json.Decoder(list[float | None])


class Table:
    """The raw rows of a batch about one profile, as places in a vector of counts by stretch.

    Args:
        profile: What the model was trained on.
    """

    def __init__(self, profile: Profile) -> None:
        self._reader, self._profile = reader_of(profile), profile
        self._numbers, self._texts = list[bytes](), list[tuple[str | None, ...]]()
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
            return self.take(self._reader.rows_of(told.rows))
        return self._take(self._reader.columns_of(told.columns, told.scores))

    def take(self, rows: Iterable[msgspec.Struct]) -> int:
        """Take up rows, one `Reader.row` each, and say how many they are."""
        return self._take(map(astuple, rows))

    def _take(self, rows: Iterable[tuple[Any, ...]]) -> int:
        own, pack, before = self._reader.own, self._reader.pack, len(self._texts)
        for row in rows:
            try:
                packed = pack(*row[:own])
            except struct.error:  # a None is among them
                packed = pack(*(nan if value is None else value for value in row[:own]))
            self._numbers.append(packed)
            self._texts.append(row[own:])
        taken = len(self._texts) - before
        if len(self._texts) >= AT_ONCE:
            self._place()
        return taken

    def _place(self) -> None:
        numbers = np.frombuffer(b"".join(self._numbers)).reshape(-1, self._reader.own)
        cells = self._reader.places(numbers, self._texts)
        self._stretches.append(self._profile.stretch_of[cells])
        self._scores.append(cells[:, len(self._profile.watched) - 1] - self._profile.score_block.start)
        self._numbers, self._texts = [], []

    def contents(self, order: NDArray[np.intp], rows: NDArray[np.int64]) -> Callable[[slice], "Counted"]:
        """What each message has counted: from some messages, in an order, to their content.

        Args:
            order: Of the messages, by place, shape (messages,).
            rows: Of each message, as they were taken up, shape (messages,).
        """
        if self._texts:
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


class Reader:
    """Reads raw rows about one profile; members that it does not name are passed over.

    Args:
        profile: What the model was trained on.

    Attributes:
        row: The type of a row: numbers, the last of them the score, then texts; None where a feature has that name.
        own: How many numbers a row has.
        pack: Makes bytes of them.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile, kinds = profile, _kinds(profile)
        self._numbers, self._texts = ([name for name in kinds if kinds[name] is kind] for kind in (float, str))
        numbers, texts = ([(name, kinds[name] | None) for name in names] for names in (self._numbers, self._texts))
        self.row = None if SCORE in kinds else _struct("Row", [*numbers, (SCORE, float | None), *texts], profile)
        self.own = len(numbers) + 1
        self.pack = struct.Struct(f"{self.own}d").pack
        self._rows = msgspec.json.Decoder(_list(self.row)) if self.row else None
        columns = [(name, _list(kind)) for name, kind in (*numbers, *texts)]
        self._columns = msgspec.json.Decoder(_struct("Columns", columns, profile))

    def rows_of(self, rows: msgspec.Raw) -> Sequence[msgspec.Struct]:
        """Rows that came row by row, one `row` each; ValueError as `Table.read`."""
        if self._rows is None:
            raise ValueError(f"the model has a feature named {SCORE!r}: its rows come as columns")
        found: Sequence[msgspec.Struct] = self._rows.decode(rows)
        return found

    def columns_of(self, columns: msgspec.Raw, scores: msgspec.Raw) -> Iterator[tuple[Any, ...]]:
        """Rows that came column by column, as `row` has them; ValueError as `Table.read`."""
        answers, told = _scores.decode(scores), astuple(self._columns.decode(columns))
        for name, column in zip((*self._numbers, *self._texts), told, strict=True):
            if column is not None and len(column) != len(answers):
                raise ValueError(f"column {name!r} has {len(column)} values for {len(answers)} scores")
        whole = [repeat(None, len(answers)) if column is None else column for column in told]
        return zip(*whole[: self.own - 1], answers, *whole[self.own - 1 :], strict=True)

    def places(self, numbers: NDArray[np.float64], texts: Sequence[tuple[str | None, ...]]) -> NDArray[np.intp]:
        """Where every row is counted, shape (rows, blocks).

        Args:
            numbers: The numbers of each, shape (rows, own).
            texts: The texts of each.
        """
        *columns, scores = np.ascontiguousarray(numbers.T)
        found: dict[str, Column] = dict(zip(self._numbers, columns, strict=True))
        found |= zip(self._texts, zip(*texts, strict=True), strict=True)
        return places_of(self._profile, found, scores)


@lru_cache(maxsize=READERS_KEPT)
def reader_of(profile: Profile) -> Reader:
    """The reader of a profile; making one takes a millisecond."""
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
