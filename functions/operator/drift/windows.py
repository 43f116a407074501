"""How the rows of the current file are cut into windows: so many rows each, so much time each, or about thirty."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import gcd

import numpy as np
from numpy.typing import NDArray

from functions.errors import Refused
from functions.operator.drift.columns import Batch
from functions.quantities import span
from sketch.profile import Profile
from sketch.sketch import Sketch

MOST_TIMES = 5_000
_FIRST_ROWS = 16
_MICROSECOND = timedelta(microseconds=1)
_MOST = 48  # Windows of a file that is cut by itself: two neighbours are one when there are more.

type Length = int | timedelta | None


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows of the current file.

    Attributes:
        label: What it is called: its first row, or when it begins.
        rows: How many.
        counts: Rows per cell of the profile, shape (cells,).
    """

    label: str
    rows: int
    counts: NDArray[np.int64]


def length(text: str) -> Length:
    """Read "500", "6 hours", "1 week" or "month"; nothing is None, for as many rows as make about thirty windows.

    Raises:
        Refused: It is none of these.
    """
    if not text:
        return None
    if re.fullmatch(r"[1-9]\d{0,8}", text):
        return int(text)
    if text in {"month", "1 month"}:
        return MONTH
    try:
        found = span(text)
    except ValueError as problem:
        fix = "give rows, such as 500, or a span, such as '6 hours', '1 week' or 'month'"
        raise Refused(f"{text!r} is no window", why=str(problem), fix=fix) from problem
    if not found:
        raise Refused(f"{text!r} is no window", why="nothing happens in it", fix="give a span such as '1 day'")
    return found


MONTH = timedelta(days=30.436875)  # the mean of the calendar's; windows are the calendar's own


def cut(batches: Iterator[Batch], profile: Profile, wanted: Length) -> Iterator[Window]:
    """Count the rows on the profile's grids, window by window, in the order of the file or, by time, of time.

    Raises:
        Refused: More than 5,000 windows of time.
    """
    if wanted is None:
        return _by_itself(batches, profile)
    return _by_rows(batches, profile, wanted) if isinstance(wanted, int) else _by_time(batches, profile, wanted)


def _by_rows(batches: Iterator[Batch], profile: Profile, rows: int) -> Iterator[Window]:
    open_, number = Sketch(profile), 0
    for batch in batches:
        place = 0
        while place < len(batch):
            place = _fill(open_, batch, place, rows)
            if open_.rows == rows:
                yield _window(open_, number, rows)
                open_, number = Sketch(profile), number + 1
    if open_.rows:
        yield _window(open_, number, rows)


def _fill(sketch: Sketch, batch: Batch, place: int, rows: int) -> int:
    """Count rows from a place of a batch until the sketch has so many; gives the place after them."""
    end = min(place + rows - sketch.rows, len(batch))
    part = batch.part(place, end)
    sketch.add(part.columns, part.scores)
    return end


def _window(sketch: Sketch, number: int, rows: int) -> Window:
    return Window(f"row {number * rows + 1}", sketch.rows, sketch.counts)


def _by_itself(batches: Iterator[Batch], profile: Profile) -> Iterator[Window]:
    """Windows of 16 rows; of twice as many whenever there are 48 of them: sketches add up."""
    done, open_, rows = list[Sketch](), Sketch(profile), _FIRST_ROWS
    for batch in batches:
        place = 0
        while place < len(batch):
            place = _fill(open_, batch, place, rows)
            if open_.rows == rows:
                done, open_ = [*done, open_], Sketch(profile)
            if len(done) == _MOST:
                done, rows = [one + other for one, other in zip(done[::2], done[1::2], strict=True)], 2 * rows
    if done and open_.rows < rows / 2:
        done[-1] += open_
    elif open_.rows:
        done.append(open_)
    return (_window(sketch, number, rows) for number, sketch in enumerate(done))


def _by_time(batches: Iterator[Batch], profile: Profile, wanted: timedelta) -> Iterator[Window]:
    open_, origin = dict[np.datetime64, Sketch](), np.datetime64("NaT", "us")
    for batch in batches:
        if np.isnat(origin):
            origin = _origin(batch.times, wanted)
        starts = _starts(batch.times, wanted, origin)
        for start in np.unique(starts[~np.isnat(starts)]):
            if start not in open_ and len(open_) == MOST_TIMES:
                why = f"the current file reaches over more than {MOST_TIMES} of them"
                raise Refused("there are too many windows", why=why, fix="give a longer --window")
            part = batch.where(starts == start)
            open_.setdefault(start, Sketch(profile)).add(part.columns, part.scores)
    for start in sorted(open_):
        yield Window(_told(start, wanted), open_[start].rows, open_[start].counts)


def _origin(times: NDArray[np.datetime64], wanted: timedelta) -> np.datetime64:
    """When a first window begins: at the first row, or at the beginning of its day, its hour or whatever fits a day.

    Windows of some days begin at midnight, those of 6 hours at 0, 6, 12 and 18, those of 7 hours with an hour.
    """
    known = times[~np.isnat(times)]
    if not len(known):
        return np.datetime64("NaT", "us")
    first = int(known[0].astype(np.int64))
    return np.datetime64(first - first % gcd(wanted // _MICROSECOND, timedelta(days=1) // _MICROSECOND), "us")


def _starts(times: NDArray[np.datetime64], wanted: timedelta, origin: np.datetime64) -> NDArray[np.datetime64]:
    if wanted == MONTH:
        return times.astype("datetime64[M]").astype("datetime64[us]")
    return times - (times - origin) % np.timedelta64(wanted // _MICROSECOND, "us")


def _told(start: np.datetime64, wanted: timedelta) -> str:
    if wanted == MONTH:
        return str(start.astype("datetime64[M]"))
    return str(start.astype("datetime64[D]" if wanted % timedelta(days=1) == timedelta(0) else "datetime64[s]"))
