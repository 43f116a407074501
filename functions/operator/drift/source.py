"""Any Parquet or CSV file as batches of columns, however large: one batch is in memory at a time."""

import bz2
import codecs
import csv
import gzip
import lzma
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
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
_PAGE_BYTES = 2**20  # Of a column of a Parquet file, read at once: not the whole column of a group of rows.
_DELIMITERS = ",;\t|"
_LINES = 50  # of a CSV file's head: enough to tell the delimiter
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive of several files, such as an Excel sheet",
    b"(\xb5/\xfd": "packed with zstd",
    b"%PDF": "a PDF",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "HTML or XML",
    b"ARROW1": "an Arrow file",
}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PROBLEMS = (pa.ArrowException, OSError, EOFError, lzma.LZMAError, zlib.error, BadZipFile, UnicodeError)


class Source(Protocol):
    """A file that holds a table.

    Attributes:
        path: Where it is, as it was named.
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


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """A file, a pipe, or `-` for standard input; what can be read but once is copied to disk until the block ends.

    Raises:
        Refused: It is no table.
    """
    piped = path == Path("-")
    if not (piped or path.is_fifo()):
        yield open_source(path, path)
        return
    with NamedTemporaryFile() as copy:
        with sys.stdin.buffer if piped else path.open("rb") as pipe:
            shutil.copyfileobj(pipe, copy)
        copy.flush()
        yield open_source(path, Path(copy.name))


def open_source(path: Path, content: Path) -> Source:
    """Find out what a file is.

    Args:
        path: What it is called.
        content: Where it can be read, more than once.

    Raises:
        Refused: It is no table.
    """
    try:
        with content.open("rb") as raw, _unpacked(raw) as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(b"PAR1"):
            return ParquetSource(path, content, _once(pq.ParquetFile(content).schema_arrow.names))
    except _PROBLEMS as problem:
        raise _refused(path, problem) from problem
    foreign = next((what for magic, what in _FOREIGN.items() if head.lstrip().startswith(magic)), "")
    if foreign or (b"\0" in head and not head.startswith(_UTF_16)):
        raise _refused(path, f"it is {foreign or 'neither Parquet nor text'}")
    return _csv(path, content, head)


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
    """The names, each on one line, with a number behind a repeated one and for an empty one."""
    seen, told = Counter[str](), []
    for place, given in enumerate(names, 1):
        name = " ".join(given.splitlines()).strip() or f"column {place}"
        seen[name] += 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told


@dataclass
class ParquetSource:
    """A Parquet file, which lies at `content`; see `Source`."""

    path: Path
    content: Path
    names: Sequence[str]
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, float]]:
        """See `Source`."""
        done = 0
        try:
            with pq.ParquetFile(self.content, pre_buffer=False, buffer_size=_PAGE_BYTES) as file:
                rows = file.metadata.num_rows
                for batch in file.iter_batches(BATCH_ROWS):
                    done += batch.num_rows
                    plain = batch.cast(pa.schema([one.with_type(_plain(one.type)) for one in batch.schema]))
                    yield plain.rename_columns(self.names), done / max(rows, 1)
        except _PROBLEMS as problem:
            raise _refused(self.path, problem) from problem


def _plain(held: pa.DataType) -> pa.DataType:
    """A type that rows can be taken from: of views there can be none, as yet."""
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return views.get(held, held)


@dataclass
class CsvSource:
    """A CSV file, whose values are all text; see `Source`.

    Args:
        path: What it is called.
        content: Where it lies.
        names: Its columns.
        delimiter: Between two values.
        encoding: Of the text.
        above: Lines above the table.
        header: Lines of it before the first row.
        spare: Empty values behind the last column of every row.
    """

    path: Path
    content: Path
    names: Sequence[str]
    delimiter: str
    encoding: str
    above: int
    header: int
    spare: int
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, float]]:
        """See `Source`."""
        odd: list[int] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            odd.append(row.actual_columns)
            return "skip"

        size = max(self.content.stat().st_size, 1)
        try:
            with self.content.open("rb") as raw, _unpacked(raw) as file, self._reader(file, skip) as reader:
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
            column_names=[*self.names, *[""] * self.spare],
            skip_rows=self.above,
            skip_rows_after_names=self.header,
            encoding=self.encoding,
            block_size=_BLOCK_BYTES,
        )
        parse = pa_csv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=skip, ignore_empty_lines=True
        )
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pa.string()),
            include_columns=self.names,
            null_values=MISSING,
            strings_can_be_null=True,
        )
        return pa_csv.open_csv(file, read_options=read, parse_options=parse, convert_options=convert)


def _csv(path: Path, content: Path, head: bytes) -> CsvSource:
    encoding = _encoding(head)
    lines = head.decode(encoding, errors="replace").removeprefix("\ufeff").splitlines(keepends=True)[:_LINES]
    if not any(line.strip() for line in lines):
        raise _refused(path, "it is empty")
    delimiter = max(_DELIMITERS, key=lambda candidate: _regular(lines, candidate))
    before, rows = _table(lines, delimiter)
    first, spare = rows[0], _spare(path, rows)
    header = not all(_is_number(value) for value in first)
    names = _once(first if header else [""] * len(first))
    notes = [] if header else [f"{path.name} has no header: its columns are called {names[0]} to {names[-1]}"]
    if any(line.strip() for line in lines[:before]):
        notes.append(f"what is above the table in {path.name} is left out: {before} lines")
    return CsvSource(path, content, names, delimiter, encoding, before, int(header), spare, notes)


def _table(lines: list[str], delimiter: str) -> tuple[int, list[list[str]]]:
    """Where the table begins, below empty lines, titles and comments: how many lines are above, and its rows."""
    reader, rows = csv.reader(lines, delimiter=delimiter), list[tuple[int, list[str]]]()
    above = 0
    for row in reader:
        if any(value.strip() for value in row):
            rows.append((above, row))
        above = reader.line_num
    width = _usual([row for _, row in rows])
    numbers = next((place for place, (_, row) in enumerate(rows) if any(map(_is_number, row))), 0)
    first = next(
        (place for place, (_, row) in enumerate(rows) if not _is_above(row, width, names_follow=place < numbers - 1)), 0
    )
    titles = [place for place, (_, row) in enumerate(rows[:first]) if not row[0].startswith("#")]
    if titles and rows[first][0] == rows[first - 1][0] + 1:  # no empty line sets it off: a header of one name, rather
        first = titles[0]
    return rows[first][0], [row for _, row in rows[first:]]


def _is_above(row: list[str], width: int, *, names_follow: bool) -> bool:
    """Whether a row is a comment or a title; a row such as "#x,y" is the header, unless another one follows."""
    if row[0].startswith("#"):
        return len(row) != width or names_follow
    return len(row) == 1 != width


def _usual(rows: list[list[str]]) -> int:
    """How many values most rows have."""
    return Counter(map(len, rows)).most_common(1)[0][0]


def _spare(path: Path, rows: list[list[str]]) -> int:
    """How many empty values each row has beyond the header's: a trailing delimiter is one.

    Raises:
        Refused: Most rows have more or fewer values than the header, and these are not empty.
    """
    width = len(rows[0])
    usual = _usual(rows)
    if usual == width:
        return 0
    if usual == width + 1 and not any(row[-1].strip() for row in rows if len(row) == usual):
        return 1
    why = f"its header has {width} values, most of its rows have {usual}"
    raise Refused(f"{path} cannot be read as a table", why=why, fix="give every column a name, and no rows above them")


def _encoding(head: bytes) -> str:
    if head.startswith(_UTF_16):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _regular(lines: list[str], delimiter: str) -> tuple[float, int]:
    """How well a delimiter parts lines into rows: share of lines with as many values as most, and how many."""
    rows = [row for row in csv.reader(lines[:-1] or lines, delimiter=delimiter) if row]
    usual = _usual(rows) if rows else 0
    if usual < 2:  # noqa: PLR2004 - one value is no row
        return 0.0, 0
    return sum(len(row) == usual for row in rows) / len(rows), usual


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
