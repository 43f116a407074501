"""What a device saw, as counts on the grids of its model's profile: small, mergeable, and exact about what it counts.

The bytes, all integers little-endian:

| bytes | what |
|---|---|
| 4 | `RFSK` |
| 1 | version, 1 |
| 8 | the profile's hash |
| 4 | CRC-32 of everything else: the bytes before it and the bytes after it |
| rest | zlib stream: rows, then every cell's count, each an unsigned LEB128 integer |

Reading needs the profile: it says how many cells there are, and each feature's cells add up to the rows.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sketch.contexts import Contexts
from sketch.counting import Row, column_of, columns_of
from sketch.features import (
    CELLS,
    CategoryFeature,
    Column,
    NumberFeature,
    cells_of_categories,
    cells_of_numbers,
    counts_of_categories,
    numbers,
    scale_of,
)
from sketch.profile import Profile
from sketch.reading import MOST_ROWS

MAGIC: Final = b"RFSK"
VERSION: Final = 1
_ROWS_AT_ONCE: Final = 4_096  # Of 25 numbers, they fit into a core's cache.
_HEADER_BYTES: Final = 13
_INTEGER_BYTES: Final = 8  # 8 groups of 7 bits hold MOST_ROWS.


class Sketch:
    """Counts of rows per cell of one profile.

    Adding rows changes the sketch; adding two sketches makes a third. One sketch is filled by one thread at a time.

    Args:
        profile: The reference whose grids are counted on.
    """

    __slots__ = ("_counts", "profile", "rows")

    def __init__(self, profile: Profile) -> None:
        self.profile: Final = profile
        self.rows = 0
        self._counts = np.zeros(len(profile.counts), np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows per cell, all blocks of the profile in a row, read-only, shape (cells,)."""
        view = self._counts.view()
        view.flags.writeable = False
        return view

    def add(self, columns: Mapping[str, Column], scores: Column) -> None:
        """Count rows, all of them or, on an error, none.

        Args:
            columns: Values per feature of the profile, each of shape (rows,). A number is a float, NaN or None when
                missing; a category is a str, None when missing. Columns of the profile's contexts may be absent: their
                rows count as `other`. Columns the profile does not name are ignored.
            scores: What the model answered for these rows, shape (rows,); NaN when it gave no answer.

        Raises:
            ValueError: A column is absent, is of another length than the scores, or is not of its kind.
        """
        answers = numbers(scores)
        counts = np.zeros(len(self._counts), np.int64)
        columns_of_numbers: list[NDArray[np.float64]] = []
        blocks: list[tuple[NumberFeature, int]] = []
        for block, cells in self.profile.blocks:
            if isinstance(block, Contexts):
                counts[cells] += np.bincount(block.of(columns, len(answers)), minlength=block.cells)
            elif isinstance(block, CategoryFeature):
                counts[cells] += counts_of_categories(column_of(block, columns, len(answers)), block)
            else:
                is_score = block is self.profile.scores
                columns_of_numbers.append(answers if is_score else numbers(column_of(block, columns, len(answers))))
                blocks.append((block, cells.start))
        self._counts += counts + _counts_of_numbers(columns_of_numbers, blocks, len(counts))
        self.rows += len(answers)

    def add_rows(self, rows: Sequence[Row], scores: Column) -> None:
        """Count rows that come row by row, as JSON has them: what `add` counts of their columns.

        Args:
            rows: Values by name; None when missing. A row that leaves out a context's column counts as `other`.
            scores: As `add` takes them.

        Raises:
            ValueError: A row does not name a feature; or as `add`.
        """
        self.add(columns_of(self.profile, rows), scores)

    def __add__(self, other: "Sketch") -> "Sketch":
        """The sketch of both sets of rows: exact, in any order, in any grouping.

        Raises:
            ValueError: The other sketch counts on another profile's grids.
        """
        if other.profile.hash != self.profile.hash:
            raise ValueError(f"cannot add a sketch of profile {other.profile.hash} to one of {self.profile.hash}")
        both = Sketch(self.profile)
        both.rows = self.rows + other.rows
        both._counts = self._counts + other._counts
        return both

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sketch)
            and self.profile == other.profile
            and self.rows == other.rows
            and bool(np.array_equal(self._counts, other._counts))
        )

    __hash__ = None  # type: ignore[assignment] # it changes

    def to_bytes(self) -> bytes:
        """The sketch in the format of this module's docstring.

        Raises:
            ValueError: It has more than 2**53 rows.
        """
        if self.rows > MOST_ROWS:
            raise ValueError(f"a sketch holds at most {MOST_ROWS} rows; this one has {self.rows}")
        head = MAGIC + bytes([VERSION]) + bytes.fromhex(self.profile.hash)
        body = _deflate(_write_integers(np.concatenate([[self.rows], self._counts])))
        return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body

    @staticmethod
    def from_bytes(data: bytes, profile: Profile) -> "Sketch":
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: The bytes are damaged, of another version, or of another profile.
        """
        head, checksum, body = data[:_HEADER_BYTES], data[_HEADER_BYTES : _HEADER_BYTES + 4], data[_HEADER_BYTES + 4 :]
        if len(data) < _HEADER_BYTES + 4 or head[:4] != MAGIC:
            raise ValueError("these bytes are not a sketch")
        if head[4] != VERSION:
            raise ValueError(f"the sketch has version {head[4]}; this reader knows version {VERSION}")
        if zlib.crc32(body, zlib.crc32(head)) != int.from_bytes(checksum, "little"):
            raise ValueError("the sketch is damaged: its checksum does not match")
        if head[5:].hex() != profile.hash:
            raise ValueError(f"the sketch was made with profile {head[5:].hex()}, not with {profile.hash}")
        integers = _read_integers(_inflate(body, (len(profile.counts) + 1) * _INTEGER_BYTES), len(profile.counts) + 1)
        sketch = Sketch(profile)
        sketch.rows, sketch._counts = int(integers[0]), integers[1:].copy()
        starts = [block.start for _, block in profile.blocks]
        if sketch.rows > MOST_ROWS or (np.add.reduceat(sketch._counts, starts) != sketch.rows).any():
            raise ValueError("the sketch is damaged: a feature's counts do not add up to its rows")
        return sketch


def places_of(profile: Profile, columns: Mapping[str, Column], scores: Column) -> NDArray[np.intp]:
    """Where each row is counted, once in every block of the profile: places in the vector of counts.

    Counting them, over any rows, gives the counts of a sketch of these rows.

    Args:
        profile: The reference whose grids are counted on.
        columns: As `Sketch.add` takes them, but categories are text or None and nothing else.
        scores: As `Sketch.add` takes them.

    Returns:
        Shape (rows, blocks).

    Raises:
        ValueError: As `Sketch.add`.
    """
    answers = numbers(scores)
    places = np.empty((len(answers), len(profile.blocks)), np.intp)
    stacked: list[NDArray[np.float64]] = []
    grids: list[tuple[float, float, int]] = []
    at: list[int] = []
    for place, (block, cells) in enumerate(profile.blocks):
        if isinstance(block, Contexts):
            places[:, place] = block.of(columns, len(answers)) + cells.start
        elif isinstance(block, CategoryFeature):
            places[:, place] = cells_of_categories(column_of(block, columns, len(answers)), block) + cells.start
        else:
            is_score = block is profile.scores
            stacked.append(answers if is_score else numbers(column_of(block, columns, len(answers))))
            grids.append((block.low, block.width, cells.start))
            at.append(place)
    low, width, start = (np.array(column)[:, np.newaxis] for column in zip(*grids, strict=True))
    places[:, at] = (cells_of_numbers(np.stack(stacked), low=low, width=width) + start).T
    return places


def _counts_of_numbers(
    columns: list[NDArray[np.float64]], blocks: list[tuple[NumberFeature, int]], cells: int
) -> NDArray[np.int64]:
    """Rows per cell of the vector of counts, of columns of numbers, shape (cells,); few at once, which stay near."""
    low, width, start = zip(*((feature.low, feature.width, at) for feature, at in blocks), strict=True)
    scale, shift = scale_of(low, width)
    first, shift = np.array(start)[:, np.newaxis], shift[:, np.newaxis]
    counts = np.zeros(cells, np.int64)
    rows = len(columns[0])
    space = np.empty((len(columns), min(rows, _ROWS_AT_ONCE)))
    whole = np.empty(space.shape, np.intp)
    for row in range(0, rows, _ROWS_AT_ONCE):
        many = min(rows - row, _ROWS_AT_ONCE)
        place, cell = space[:, :many], whole[:, :many]
        with np.errstate(over="ignore", invalid="ignore"):
            for column, factor, out in zip(columns, scale, place, strict=True):
                np.multiply(column[row : row + many], factor, out=out)
            place += shift
        np.clip(place, 0, CELLS + 1, out=place)
        if np.isnan(place.sum()):
            np.copyto(place, CELLS + 2, where=np.isnan(place))
        np.copyto(cell, place, casting="unsafe")
        cell += first
        counts += np.bincount(cell.ravel(), minlength=cells)
    return counts


def _write_integers(integers: NDArray[np.int64]) -> bytes:
    """Unsigned LEB128: 7 bits a byte, the lowest first, the high bit set on all but the last byte of an integer."""
    place = np.arange(max(1, -(-int(integers.max()).bit_length() // 7)))
    groups = (integers[:, np.newaxis] >> 7 * place) & 0x7F
    more = (integers[:, np.newaxis] >> 7 * (place + 1)) > 0
    used = (place == 0) | (integers[:, np.newaxis] >> 7 * place > 0)
    octets: NDArray[np.uint8] = (groups | more * 0x80).astype(np.uint8)[used]
    return octets.tobytes()


def _read_integers(data: bytes, count: int) -> NDArray[np.int64]:
    octets = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(octets < 0x80)  # noqa: PLR2004 - the high bit says that more follows
    if len(last) != count or not len(octets) or last[-1] != len(octets) - 1:
        raise ValueError("the sketch is damaged: it does not have a count per cell")
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() >= _INTEGER_BYTES:
        raise ValueError("the sketch is damaged: a count is too large")
    shift = 7 * (np.arange(len(octets)) - np.repeat(first, last - first + 1))
    integers: NDArray[np.int64] = np.add.reduceat((octets & 0x7F).astype(np.int64) << shift, first)
    return integers


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(level=6, strategy=zlib.Z_FILTERED)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, most_bytes: int) -> bytes:
    """Decompress, but never to more than `most_bytes`, whatever the stream claims."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, most_bytes + 1)
    except zlib.error as problem:
        raise ValueError(f"the sketch is damaged: {problem}") from problem
    if not unpacker.eof or unpacker.unused_data or len(content) > most_bytes:
        raise ValueError("the sketch is damaged: its counts are cut off or too many")
    return content
