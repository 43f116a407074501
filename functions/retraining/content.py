"""What a file holds, read cheaply and distrusted: Parquet by footer and sample, CSV by its head. Nothing is unpickled.

pyarrow takes a third of a second to import, so only a function that reads a file imports it, never the app's start.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING

from functions.errors import Poison
from functions.loops import Data
from functions.retraining.schema import Contents, File

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq

WHOLE_BYTES = 8 * 2**20  # a smaller file is read in one request
HEAD_BYTES = 2**20  # of a larger CSV file
SAMPLE_ROWS = 50_000  # of a Parquet file's first row group
UNPACKED_BYTES = 2**30  # the most that a Parquet file may say it unpacks to: more is a bomb
ENDINGS = {".parquet": "parquet", ".csv": "csv"}
FITTING = {"parquet": "Parquet", "csv": "CSV with a header line, commas and UTF-8"}

type Read = Callable[[int, int], bytes]  # (offset, length) -> the bytes there, of the version that is meant


def is_read(name: str, data: Data) -> bool:
    """Whether a file of this name is looked into, or taken as it is ("any" among the loop's formats)."""
    return _form(name) in data.formats or "any" not in data.formats


def look_into(name: str, size_bytes: int, read: Read, *, data: Data) -> File | None:
    """Find out what a file holds.

    Args:
        name: Of the file; its ending says what it claims to be.
        size_bytes: Of the file.
        read: Gives ranges of it.
        data: What the loop declares: which columns to look at, which formats there are.

    Returns:
        What was found; None for a file that the loop takes without a look ("any" among its formats).

    Raises:
        Poison: DATA_FORMAT: it is not what it claims to be, or of a format that the loop does not take.
    """
    import pyarrow as pa  # noqa: PLC0415 # see above

    form = _form(name)
    if form not in data.formats:
        if not is_read(name, data):
            return None
        why, fix = f"expected a name that ends like one of {data.formats}", "convert it, or extend formats in [data]"
        raise Poison(f"{name} is of another format", why=why, fix=fix, code="DATA_FORMAT")
    try:
        return _parquet(size_bytes, read, data) if form == "parquet" else _csv(size_bytes, read, data)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise _malformed(name, form, why=str(problem).partition("\n")[0][:300]) from problem


def _form(name: str) -> str:
    return next((form for ending, form in ENDINGS.items() if name.endswith(ending)), "")


def _malformed(name: str, form: str, *, why: str) -> Poison:
    fix = f"write it as {FITTING[form]}, whole, and send it again"
    return Poison(f"{name} is not readable as {FITTING[form]}", why=why, fix=fix, code="DATA_FORMAT")


# Parquet


def _parquet(size_bytes: int, read: Read, data: Data) -> File:
    import pyarrow.parquet as pq  # noqa: PLC0415 # see above

    source = io.BytesIO(read(0, size_bytes)) if size_bytes <= WHOLE_BYTES else _Ranges(size_bytes, read)
    with pq.ParquetFile(source, pre_buffer=True) as file:
        footer = file.metadata
        unpacked = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
        if unpacked > UNPACKED_BYTES:
            raise OSError(f"it says that it unpacks to {unpacked:,} bytes; {UNPACKED_BYTES:,} is the most")
        names = file.schema_arrow.names
        columns = {name: Contents("unread", frozenset(), times=names.count(name)) for name in names}
        wanted = [name for name in data.columns if names.count(name) == 1]
        if 0 < footer.num_rows <= data.at_most_rows:
            sample = next(file.iter_batches(SAMPLE_ROWS, row_groups=[0], columns=wanted, use_threads=False), None)
            columns |= _columns(sample, data) if sample else {}
            columns |= {name: _with_footer(columns[name], footer, name) for name in wanted}
    return File(footer.num_rows, columns)


def _with_footer(sampled: Contents, footer: "pq.FileMetaData", name: str) -> Contents:
    """Add what the footer says of the rows that were not sampled; where it says nothing, the sample stands for them."""
    if sampled.rows >= footer.num_rows:
        return sampled
    known = [_statistics(footer.row_group(number), name) for number in range(footer.num_row_groups)]
    if not known or any(one is None or one.null_count is None for one in known):
        return sampled
    told = [one for one in known if one is not None and one.has_min_max and "number" in sampled.serves]
    least = min([float(one.min) for one in told] + _numbers(sampled.least), default=None)
    most = max([float(one.max) for one in told] + _numbers(sampled.most), default=None)
    nulls = max(sum(one.null_count for one in known if one is not None), sampled.nulls)
    return replace(sampled, rows=footer.num_rows, nulls=nulls, least=least, most=most)


def _statistics(group: "pq.RowGroupMetaData", name: str) -> "pq.Statistics | None":
    chunks = (group.column(number) for number in range(group.num_columns))
    return next((chunk.statistics for chunk in chunks if chunk.path_in_schema == name), None)


class _Ranges(io.RawIOBase):
    """A file whose bytes are fetched where they are read."""

    def __init__(self, size_bytes: int, read: Read) -> None:
        self._size, self._read, self._at = size_bytes, read, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        found = self._read(self._at, wanted) if wanted else b""
        self._at += len(found)
        return found


# CSV


def _csv(size_bytes: int, read: Read, data: Data) -> File:
    whole = size_bytes <= WHOLE_BYTES
    text = read(0, size_bytes if whole else HEAD_BYTES)
    if not whole:
        text = text[: text.rfind(b"\n") + 1]
    header = text.partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    names = [_unquoted(name) for name in header.split(",")]
    columns = {name: Contents("unread", frozenset(), times=names.count(name)) for name in names}
    rows = 0
    for batch in _csv_batches(text, [name for name in data.columns if name in columns], data):
        rows += batch.num_rows
        for name, held in _columns(batch, data).items():
            columns[name] = replace(_joined(columns[name], held), times=columns[name].times)
    return File(rows if whole else rows * size_bytes // max(1, len(text)), columns, exact=whole)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def _csv_batches(text: bytes, wanted: list[str], data: Data) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa  # noqa: PLC0415 # see above
    from pyarrow import csv  # noqa: PLC0415 # see above

    kinds = {"number": pa.float64(), "category": pa.string(), "label": pa.bool_()}
    convert = csv.ConvertOptions(
        include_columns=wanted,
        column_types={name: kinds[data.columns[name].type] for name in wanted},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    options = csv.ReadOptions(use_threads=False, block_size=HEAD_BYTES)
    with csv.open_csv(pa.BufferReader(text), read_options=options, convert_options=convert) as reader:
        yield from reader


def _joined(one: Contents, other: Contents) -> Contents:
    return Contents(
        holds=other.holds,
        serves=other.serves,
        rows=one.rows + other.rows,
        nulls=one.nulls + other.nulls,
        least=min(_numbers(one.least) + _numbers(other.least), default=None),
        most=max(_numbers(one.most) + _numbers(other.most), default=None),
        whole=one.whole and other.whole,
        values=one.values | other.values,
    )


# Both


def _columns(batch: "pa.RecordBatch", data: Data) -> Mapping[str, Contents]:
    listed = {name for name, column in data.columns.items() if column.values}
    return {name: _contents(batch.column(name), listed=name in listed) for name in batch.schema.names}


def _contents(values: "pa.Array", *, listed: bool) -> Contents:
    import pyarrow as pa  # noqa: PLC0415 # see above
    import pyarrow.compute as pc  # noqa: PLC0415 # see above

    holds, plain = str(values.type), values
    if pa.types.is_dictionary(values.type):
        plain = values.cast(values.type.value_type)
    kind, missing = plain.type, plain.null_count
    if pa.types.is_floating(kind):
        missing += pc.sum(pc.is_nan(plain)).as_py() or 0
    rows = {"rows": len(plain), "nulls": missing}
    if pa.types.is_null(kind):
        return Contents(holds, frozenset({"number", "category", "label"}), **rows)
    if pa.types.is_boolean(kind):
        return Contents(holds, frozenset({"label"}), **rows)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = frozenset(text for text in pc.unique(plain).to_pylist() if text is not None) if listed else frozenset()
        return Contents(holds, frozenset({"category"}), **rows, values=found)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numeric(plain, holds, **rows)
    return Contents(holds, frozenset(), **rows)


def _numeric(plain: "pa.Array", holds: str, *, rows: int, nulls: int) -> Contents:
    import pyarrow as pa  # noqa: PLC0415 # see above
    import pyarrow.compute as pc  # noqa: PLC0415 # see above

    ends = pc.min_max(plain).as_py()
    numbers = [float(number) for number in (ends["min"], ends["max"]) if number is not None and not isnan(number)]
    broken = pc.and_(pc.is_finite(plain), pc.not_equal(pc.floor(plain), plain))
    whole = pa.types.is_integer(plain.type) or not pc.any(broken).as_py()
    least, most = (numbers[0], numbers[-1]) if numbers else (None, None)
    flags = pa.types.is_integer(plain.type) and set(numbers) <= {0.0, 1.0}
    serves = {"number", "label"} if flags else {"number"}
    return Contents(holds, frozenset(serves), rows=rows, nulls=nulls, least=least, most=most, whole=whole)


def _numbers(*found: float | None) -> list[float]:
    return [number for number in found if number is not None]
