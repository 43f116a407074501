"""A file of the local share becomes clean Parquet: the loop's columns, in order, typed and within their limits."""

import io
from dataclasses import dataclass
from math import isfinite
from pathlib import PurePath

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyarrow import parquet as pq

from edge.ingest.schema import Column, Schema

ENDINGS = (".csv", ".parquet")
SHOWN = 5


class Unclean(Exception):
    """A file that can never be taken, with the reason."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Content for the cloud share."""

    content: bytes
    rows: int


def clean(name: str, content: bytes, schema: Schema) -> Cleaned:
    """Check a file and write it anew; the same file gives the same bytes.

    Raises:
        Unclean: It is not readable, or breaks the schema; the reason names column, expected and found.
    """
    try:
        table = _read(name, content, schema)
        columns = {name: _column(name, table[name], column) for name, column in schema.columns.items()}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise Unclean(f"it is not readable: {str(problem).partition('\n')[0]}") from problem
    if not 0 < table.num_rows <= schema.at_most_rows:
        raise Unclean(f"it has {table.num_rows:,} rows; 1 to {schema.at_most_rows:,} are taken")
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return Cleaned(sink.getvalue(), table.num_rows)


def _read(name: str, content: bytes, schema: Schema) -> pa.Table:
    wanted, ending = list(schema.columns), PurePath(name).suffix
    if ending == ".parquet":
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            _all_there(file.schema_arrow.names, wanted)
            return file.read(columns=wanted)
    if ending != ".csv":
        raise Unclean(f"its name ends with none of {', '.join(ENDINGS)}")
    types = {name: pa.string() for name, column in schema.columns.items() if column.type == "category"}
    convert = csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False)
    table = csv.read_csv(pa.BufferReader(content), convert_options=convert)
    _all_there(table.column_names, wanted)
    return table.select(wanted)


def _all_there(names: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if (times := names.count(name)) != 1:
            raise Unclean(f"it has {times or 'no'} column{'s' * (times > 1)} {name}; it has {', '.join(names[:20])}")


def _column(name: str, found: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    plain = pc.cast(found, found.type.value_type) if pa.types.is_dictionary(found.type) else found
    made = {"number": _numbers, "category": _names, "label": _label}[column.type](name, plain, column)
    missing = made.null_count / len(made) if len(made) else 0.0
    if missing > column.nulls:
        raise Unclean(f"{name} is missing in {missing:.1%} of the rows; {column.nulls:.1%} may be")
    return made


def _numbers(name: str, found: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    kind = found.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise Unclean(f"{name} holds {kind}, and should hold numbers")
    numbers = pc.cast(found, pa.float64(), safe=False)
    numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
    ends = pc.min_max(numbers).as_py()
    least, most = ends["min"], ends["max"]
    lowest = float("-inf") if column.min is None else column.min
    highest = float("inf") if column.max is None else column.max
    sound = least is None or (isfinite(least) and isfinite(most) and lowest <= least and most <= highest)
    if not sound:
        raise Unclean(f"{name} holds {least:g} to {most:g}; {lowest:g} to {highest:g} is taken, and nothing infinite")
    if not column.whole:
        return numbers
    if not pc.all(pc.equal(numbers, pc.floor(numbers))).as_py() and least is not None:
        raise Unclean(f"{name} holds numbers that are not whole")
    return pc.cast(numbers, pa.int64(), safe=False)


def _names(name: str, found: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    if not (pa.types.is_string(found.type) or pa.types.is_large_string(found.type) or pa.types.is_null(found.type)):
        raise Unclean(f"{name} holds {found.type}, and should hold names")
    names = pc.cast(found, pa.string())
    strange = sorted({text for text in pc.unique(names).to_pylist() if text is not None} - set(column.values))
    if column.values and strange:
        raise Unclean(f"{name} holds {', '.join(map(repr, strange[:SHOWN]))}; {', '.join(column.values)} are taken")
    return names


def _label(name: str, found: pa.ChunkedArray, _: Column) -> pa.ChunkedArray:
    return flags(name, found)


def flags(name: str, found: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of true and false, which may be spelled 1 and 0.

    Raises:
        Unclean: It holds anything else.
    """
    plain = pa.types.is_boolean(found.type) or pa.types.is_null(found.type)
    if not plain and not (pa.types.is_integer(found.type) and set(pc.unique(found).to_pylist()) <= {0, 1, None}):
        raise Unclean(f"{name} holds {found.type}, and should hold true and false, or 0 and 1")
    return pc.cast(found, pa.bool_())
