"""Any Parquet or CSV file as batches of columns, however large: one batch is in memory at a time."""

import bz2
import codecs
import csv
import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, cast
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from functions.errors import Refused

BATCH_ROWS = 65_536
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "none", "-", "?", "#N/A"]
_HEAD_BYTES = 2**18
_BLOCK_BYTES = 2**22
_DELIMITERS = ",;\t|"
_LINES = 50  # of a CSV file's head: enough to tell the delimiter
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive of several files, such as an Excel sheet",
    b"(\xb5/\xfd": "packed with zstd",
    b"%PDF": "a PDF",
}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PROBLEMS = (pa.ArrowException, OSError, EOFError, lzma.LZMAError, zlib.error, BadZipFile, UnicodeError)


class Source(Protocol):
    """A file that holds a table.

    Attributes:
        path: Where it is.
        names: Its columns, each name once.
        notes: What a reader should know, for a person; complete once all batches were read.
    """

    path: Path
    names: Sequence[str]
    notes: list[str]

    def batches(self) -> Iterator[tuple[pa.RecordBatch, float]]:
        """All rows in their order, with the share of the file that is behind, 0..1.

        Raises:
            Refused: The file is damaged.
        """
        ...


def open_source(path: Path) -> Source:
    """Find out what a file is.

    Raises:
        Refused: It is no table.
    """
    try:
        with path.open("rb") as raw, _unpacked(raw) as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(b"PAR1"):
            return ParquetSource(path, _once(pq.ParquetFile(path).schema_arrow.names))
    except _PROBLEMS as problem:
        raise _refused(path, problem) from problem
    foreign = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), "")
    if foreign or (b"\0" in head and not head.startswith(_UTF_16)):
        raise _refused(path, f"it is {foreign or 'neither Parquet nor text'}")
    return _csv(path, head)


def _refused(path: Path, problem: object) -> Refused:
    why = str(getattr(problem, "strerror", None) or problem).partition("\n")[0][:300]
    fix = "give a Parquet or CSV file that is whole, packed with gzip, bzip2, xz or zip at most"
    return Refused(f"{path} cannot be read as a table", why=why, fix=fix)


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    """The file, or what is packed in it; an archive of several files stays packed."""
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"PK\x03\x04"):
        archive = ZipFile(raw)
        if len(archive.namelist()) == 1:
            return archive.open(archive.namelist()[0])
        raw.seek(0)
        return raw
    unpack = next((unpack for start, unpack in _PACKED.items() if magic.startswith(start)), None)
    return cast("IO[bytes]", unpack(raw)) if unpack else raw


def _once(names: Sequence[str]) -> list[str]:
    """The names, with a number behind a repeated one and for an empty one."""
    seen, told = Counter[str](), []
    for place, given in enumerate(names, 1):
        name = given.strip() or f"column {place}"
        seen[name] += 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told


@dataclass
class ParquetSource:
    """A Parquet file; see `Source`."""

    path: Path
    names: Sequence[str]
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, float]]:
        """See `Source`."""
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                rows = file.metadata.num_rows
                for batch in file.iter_batches(BATCH_ROWS):
                    done += batch.num_rows
                    yield batch.rename_columns(self.names), done / max(rows, 1)
        except _PROBLEMS as problem:
            raise _refused(self.path, problem) from problem


@dataclass
class CsvSource:
    """A CSV file, whose values are all text; see `Source`.

    Args:
        path: Where it is.
        names: Its columns.
        delimiter: Between two values.
        encoding: Of the text.
        header: Lines before the first row.
    """

    path: Path
    names: Sequence[str]
    delimiter: str
    encoding: str
    header: int
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, float]]:
        """See `Source`."""
        odd: list[int] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            odd.append(row.actual_columns)
            return "skip"

        size = max(self.path.stat().st_size, 1)
        try:
            with self.path.open("rb") as raw, _unpacked(raw) as file, self._reader(file, skip) as reader:
                for batch in reader:
                    yield batch, min(raw.tell() / size, 1.0)
        except StopIteration:  # nothing but the header
            return
        except _PROBLEMS as problem:
            raise _refused(self.path, problem) from problem
        if odd:
            self.notes.append(
                f"{len(odd)} lines of {self.path.name} are left out: they have not {len(self.names)} values"
            )

    def _reader(self, file: IO[bytes], skip: object) -> pa_csv.CSVStreamingReader:
        read = pa_csv.ReadOptions(
            column_names=self.names, skip_rows=self.header, encoding=self.encoding, block_size=_BLOCK_BYTES
        )
        parse = pa_csv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=skip, ignore_empty_lines=True
        )
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pa.string()), null_values=MISSING, strings_can_be_null=True
        )
        return pa_csv.open_csv(file, read_options=read, parse_options=parse, convert_options=convert)


def _csv(path: Path, head: bytes) -> CsvSource:
    encoding = _encoding(head)
    lines = head.decode(encoding, errors="replace").removeprefix("\ufeff").splitlines()[:_LINES]
    if not any(line.strip() for line in lines):
        raise _refused(path, "it is empty")
    delimiter = max(_DELIMITERS, key=lambda candidate: _regular(lines, candidate))
    first = next(csv.reader(lines, delimiter=delimiter))
    header = not all(_is_number(value) for value in first)
    names = _once(first if header else [""] * len(first))
    notes = [] if header else [f"{path.name} has no header: its columns are called {names[0]} to {names[-1]}"]
    return CsvSource(path, names, delimiter, encoding, int(header), notes)


def _encoding(head: bytes) -> str:
    if head.startswith(_UTF_16):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _regular(lines: list[str], delimiter: str) -> tuple[float, int]:
    """How well a delimiter parts lines into rows: share of lines with as many values as the first, and how many."""
    lengths = [len(row) for row in csv.reader(lines[:-1] or lines, delimiter=delimiter) if row]
    if not lengths or lengths[0] < 2:  # noqa: PLR2004 - one value is no row
        return 0.0, 0
    return sum(length == lengths[0] for length in lengths) / len(lengths), lengths[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
