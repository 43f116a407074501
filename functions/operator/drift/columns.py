"""Which columns of two files are compared, and a batch of either file as the profile takes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.errors import Refused
from functions.operator.drift.kinds import LeftOut, Reading, infer, numbers_of, times_of, values_of, zones_of
from functions.operator.drift.source import Source
from functions.operator.drift.spelling import Mark, Written, both_written
from sketch.features import Coded
from sketch.features import Column as Values

CALENDAR = ("hour", "weekday", "month")  # contexts that a time has
_DAY = 86_400_000_000

type Times = NDArray[np.datetime64]
type Found = dict[str, Reading | LeftOut]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for; an empty name or list leaves it to the files.

    Attributes:
        columns: Only these are compared.
        ignored: These are not.
        contexts: Columns, or parts of the time, for whose values the reference is kept apart.
        score: Column with a model's answers.
        time: Column that tells when a row was.
        window: How the current file is cut; see `windows.length`.
    """

    columns: Sequence[str] = ()
    ignored: Sequence[str] = ()
    contexts: Sequence[str] = ()
    score: str = ""
    time: str = ""
    window: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """What of the files is compared, and how it is read.

    Attributes:
        features: The columns that are compared.
        contexts: Names of the contexts; a name of `CALENDAR` that is no column is a part of the time.
        others: Readings of the contexts that are columns.
        score: Column with a model's answers; empty for none.
        time: Column that tells when a row was; empty for none.
        left_out: What is not compared.
        marks: What parts decimals in columns of text, for the file that is read; a point where nothing is said.
        marks_now: For the current file.
        notes: What a reader should know, for a person.
    """

    features: tuple[Reading, ...]
    contexts: tuple[str, ...]
    others: tuple[Reading, ...]
    score: str
    time: str
    left_out: tuple[LeftOut, ...]
    marks: Mapping[str, Mark]
    marks_now: Mapping[str, Mark]
    notes: tuple[str, ...]

    def of_current(self) -> "Columns":
        """The same, to read the current file."""
        return replace(self, marks=self.marks_now)

    def read(self, batch: pa.RecordBatch) -> "Batch":
        """One batch of either file; a column that it does not have is missing in every row."""
        rows = batch.num_rows
        values: dict[str, Values] = {}
        for reading in (*self.features, *self.others):
            values[reading.name] = values_of(_array(batch, reading.name), reading, self.marks.get(reading.name, "."))
        times = (
            times_of(_array(batch, self.time))
            if self.time
            else np.full(rows, np.datetime64("NaT", "us"), "datetime64[us]")
        )
        for name in set(self.contexts) - values.keys():
            values[name] = _part(times, name)
        scores = _scores(_array(batch, self.score), self.marks.get(self.score, ".")) if self.score else np.zeros(rows)
        return Batch(values, scores, times)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as a profile counts them.

    Attributes:
        columns: Values per feature and context, each of shape (rows,).
        scores: A model's answers, shape (rows,); zeros when there are none.
        times: When each row was, shape (rows,).
    """

    columns: dict[str, Values]
    scores: NDArray[np.float64]
    times: Times

    def __len__(self) -> int:
        return len(self.scores)

    def part(self, first: int, last: int) -> "Batch":
        """Some rows in a row."""
        columns = {name: values[first:last] for name, values in self.columns.items()}
        return Batch(columns, self.scores[first:last], self.times[first:last])

    def where(self, chosen: NDArray[np.bool_]) -> "Batch":
        """The rows that are chosen."""
        places = np.flatnonzero(chosen)
        columns = {name: _taken(values, places) for name, values in self.columns.items()}
        return Batch(columns, self.scores[places], self.times[places])


def _taken(values: Values, places: NDArray[np.intp]) -> Values:
    if isinstance(values, Coded | np.ndarray):
        return values[places]
    return [values[place] for place in places.tolist()]


def _scores(array: pa.Array, mark: Mark) -> NDArray[np.float64]:
    return numbers_of(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array, mark)


def _array(batch: pa.RecordBatch, name: str) -> pa.Array:
    place = batch.schema.get_field_index(name)
    return batch.column(place) if place >= 0 else pa.nulls(batch.num_rows)


def _part(times: Times, name: str) -> NDArray[np.float64]:
    micros, known = times.astype(np.int64), ~np.isnat(times)
    days = micros // _DAY
    part = {
        "hour": micros % _DAY // 3_600_000_000,
        "weekday": (days + 3) % 7 + 1,  # 1970 began on a Thursday; Monday is 1
        "month": times.astype("datetime64[M]").astype(np.int64) % 12 + 1,
    }[name]
    return np.where(known, part, np.nan)


def choose(reference: Source, current: Source, *, sample: pa.Table, head: pa.Table, wish: Wish) -> Columns:
    """Decide what is compared: what both files have, but for ids, nested values, times and contexts.

    Args:
        reference: What is usual.
        current: What is asked about.
        sample: Rows of the reference.
        head: Rows of the current file.
        wish: What a person asked for.

    Raises:
        Refused: A column that was asked for is not there or is of another kind; or nothing is left to compare.
    """
    for name in (*wish.columns, *wish.ignored, wish.score, wish.time):
        _check(name, reference, current)
    written = {name: both_written(sample[name], head[name]) for name in sample.column_names if name in current.names}
    marks = {name: one.mark or other.mark or "." for name, (one, other) in written.items()}
    marks_now = {name: other.mark or one.mark or "." for name, (one, other) in written.items()}
    found = {name: _infer(name, sample, head, marks) for name in sample.column_names}
    if wish.score and np.isnan(_scores(sample[wish.score].combine_chunks(), marks[wish.score])).all():
        why, fix = "none of its values is a number", "name a column with a model's answers"
        raise Refused(f"column {wish.score!r} holds no scores", why=why, fix=fix)
    time = _time(found, wish)
    contexts = [name for name in wish.contexts if not (name in CALENDAR and name not in found and time)]
    for name in contexts:
        _check(name, reference, current)
    others = tuple(_context(found[name], sample, name, marks) for name in contexts)
    aside = {*wish.contexts, *wish.ignored, wish.score, time}
    features, left_out = _features(found, current, wish, aside)
    if not features:
        raise _nothing_left(reference, current, found, left_out)
    numbers = {one.name for one in (*features, *others) if one.kind == "number"} | {wish.score}
    guessed = [{name: pair[which] for name, pair in written.items() if name in numbers} for which in (0, 1)]
    return Columns(
        features=tuple(features),
        contexts=tuple(wish.contexts),
        others=others,
        score=wish.score,
        time=time,
        left_out=tuple(left_out),
        marks=marks,
        marks_now=marks_now,
        notes=(
            *(one.note for one in features if one.note),
            *_of_commas(reference, guessed[0], marks),
            *_of_commas(current, guessed[1], marks_now),
            *(_of_zones(reference, current, sample=sample[time], head=head[time]) if time in head.column_names else ()),
        ),
    )


def _infer(name: str, sample: pa.Table, head: pa.Table, marks: Mapping[str, Mark]) -> Reading | LeftOut:
    """What a column holds; one that is all missing in the reference holds what it does in the current file."""
    if sample[name].null_count < len(sample) or name not in head.column_names:
        return infer(name, sample[name], marks.get(name, "."))
    now = infer(name, head[name], marks[name])
    return now.asked if isinstance(now, LeftOut) and now.asked else now


def _of_commas(source: Source, written: Mapping[str, Written], marks: Mapping[str, Mark]) -> Iterator[str]:
    """How commas are read that could be read otherwise."""
    meanings: dict[Mark, tuple[str, str, str]] = {
        ".": ("thousands", "", "write decimals with a point"),
        ",": ("decimals", ".", "write thousands without a comma"),
    }
    for mark, (meaning, plain, fix) in meanings.items():
        guessed = [name for name, one in written.items() if one.is_guess and marks[name] == mark]
        if guessed:
            example = written[guessed[0]].example
            yield (
                f"in {source.path.name} commas in {', '.join(guessed)} are taken to part {meaning}, "
                f"{example} to be {example.replace(',', plain)}; if that is wrong, {fix}"
            )


def _of_zones(reference: Source, current: Source, *, sample: pa.ChunkedArray, head: pa.ChunkedArray) -> Iterator[str]:
    """That some times have a time zone and others have none."""
    zones = (reference.path, zones_of(sample)), (current.path, zones_of(head))
    with_one, without = ([path.name for path, found in zones if is_zoned in found] for is_zoned in (True, False))
    if with_one and without:
        yield (
            f"times have a time zone in {' and '.join(with_one)}, and none in {' and '.join(without)}: "
            "those without are taken as UTC"
        )


def _nothing_left(reference: Source, current: Source, found: Found, left_out: Sequence[LeftOut]) -> Refused:
    told = "; ".join(f"{one.name}: {one.reason}" for one in left_out[:5]) or "no column is asked for"
    return Refused(
        f"{reference.path} and {current.path} cannot be compared",
        why=f"of {len(found)} columns none is left ({told})",
        fix="give files that share a column of numbers or names; ids are compared where --column names them",
    )


def _check(name: str, reference: Source, current: Source) -> None:
    for source in (reference, current):
        if name and name not in source.names:
            why = f"its columns are {', '.join(source.names)[:300]}"
            raise Refused(f"{source.path} has no column {name!r}", why=why, fix="spell it as the file does")


def _time(found: Found, wish: Wish) -> str:
    known = [name for name, one in found.items() if isinstance(one, Reading) and one.kind == "time"]
    asked = (wish.window and not wish.window.isdigit()) or any(
        name in CALENDAR and name not in found for name in wish.contexts
    )
    if wish.time:
        if wish.time not in known:
            why, fix = f"times are in {', '.join(known) or 'no column'}", "give ISO times, such as 2013-02-18 08:00"
            raise Refused(f"column {wish.time!r} holds no times", why=why, fix=fix)
        return wish.time
    if asked and not known:
        parts = [name for name in wish.contexts if name in CALENDAR and name not in found]
        what = f"the context {parts[0]} needs" if parts else "windows of time need"
        why = "no column of the reference holds ISO times, such as 2013-02-18 08:00"
        fix = "leave the context out" if parts else "give --window a number of rows"
        raise Refused(f"{what} a column that tells the time", why=why, fix=f"{fix}, or add such a column")
    return known[0] if asked else ""


def _context(found: Reading | LeftOut, sample: pa.Table, name: str, marks: Mapping[str, Mark]) -> Reading:
    if isinstance(found, LeftOut) or found.kind == "time":
        why = found.reason if isinstance(found, LeftOut) else "it holds times"
        raise Refused(
            f"column {name!r} is no context", why=why, fix="name a category or whole numbers, such as an hour"
        )
    if found.kind == "number":
        values = np.concatenate([values_of(chunk, found, marks[name]) for chunk in sample[name].chunks])
        known = values[np.isfinite(values)]
        if (known != np.floor(known)).any():
            why = f"it holds numbers that are not whole, such as {known[known != np.floor(known)][0]:g}"
            raise Refused(f"column {name!r} is no context", why=why, fix="name a category or whole numbers")
    return found


def _features(found: Found, current: Source, wish: Wish, aside: set[str]) -> tuple[list[Reading], list[LeftOut]]:
    features, left_out = list[Reading](), list[LeftOut]()
    for name, one in found.items():
        if (wish.columns and name not in wish.columns) or name in aside:
            continue
        if name not in current.names:
            left_out.append(LeftOut(name, "only the reference has it"))
        elif isinstance(one, LeftOut):
            if wish.columns and one.asked:
                features.append(one.asked)
            else:
                left_out.append(one)
        elif one.kind == "time":
            left_out.append(LeftOut(name, "it holds times"))
        else:
            features.append(one)
    left_out += [LeftOut(name, "only the current file has it") for name in current.names if name not in found]
    return features, left_out
