"""Windows by event time: which messages make which window, whatever the order in which they come.

Event time is cut into slots as long as a message may be late. A slot takes what happened in it until something is told
that happened a whole lateness after its end; then it is closed, and added to the open window. A window is full once it
has rows enough, or once the next slot begins too long after its own beginning. Closed slots follow each other by event
time, so windows depend on the distinct messages alone. What comes for a slot that was closed goes into the oldest one
that is open.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from sketch.sketch import Sketch

_MICROSECOND = timedelta(microseconds=1)


class Slot(msgspec.Struct, frozen=True, eq=False):
    """What happened within one lateness.

    Attributes:
        start_us: Where it begins, microseconds since 1970.
        rows: Its rows.
        counts: Its rows by stretch (`Blocks.by_stretch`).
    """

    start_us: int
    rows: int
    counts: NDArray[np.int64]


class Opened(msgspec.Struct, frozen=True):
    """The window that is being filled.

    Attributes:
        rows: Its rows.
        start_us: Where its first slot begins, microseconds since 1970; without meaning while it has no rows.
    """

    rows: int = 0
    start_us: int = 0


class Content(Protocol):
    """What messages counted."""

    def sum(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        """Rows of some of the messages, by place and each once, by stretch (`Blocks.by_stretch`)."""
        ...

    def scores(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        """Rows of some of the messages per cell of the scores, shape (cells of the scores,)."""
        ...


class Sketches(msgspec.Struct, frozen=True):
    """The content of messages that brought sketches."""

    sketches: Sequence[Sketch]

    def sum(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        """As `Content.sum`."""
        return self.sketches[0].profile.by_stretch(self._counts(messages))

    def scores(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        """As `Content.scores`."""
        return self._counts(messages)[self.sketches[0].profile.score_block]

    def _counts(self, messages: NDArray[np.intp]) -> NDArray[np.int64]:
        return np.sum([self.sketches[place].counts for place in messages.tolist()], axis=0, dtype=np.int64)


class Run(msgspec.Struct, frozen=True, eq=False):
    """Messages of one device's process about one model version, as they came.

    Attributes:
        device: Who sent them, by the hub's word.
        model: Model that served.
        version: Its version.
        profile: Hash of its profile.
        epoch: Names the start of the process.
        sequences: Of each message, shape (messages,).
        at_us: When what each tells happened, microseconds since 1970, shape (messages,).
        rows: Rows of each, shape (messages,).
        content: What they counted.
    """

    device: str
    model: str
    version: str
    profile: str
    epoch: str
    sequences: NDArray[np.int64]
    at_us: NDArray[np.int64]
    rows: NDArray[np.int64]
    content: Content


def micro(span: timedelta) -> int:
    """A span in microseconds."""
    return span // _MICROSECOND


def slots_of(at_us: NDArray[np.int64], lateness_us: int) -> NDArray[np.int64]:
    """Where the slot of each moment begins; without lateness, a moment is its own slot."""
    return at_us // lateness_us * lateness_us if lateness_us else at_us


def frontier(newest_us: int, lateness_us: int) -> int:
    """Slots that begin before it are closed, once something is told that happened at `newest_us`."""
    return newest_us // lateness_us * lateness_us - lateness_us if lateness_us else newest_us


class Part(msgspec.Struct, frozen=True):
    """Consecutive slots, none perhaps, that go into the open window.

    Attributes:
        first: Place of the first.
        end: Place after the last.
        fills: Whether the window is full with them.
    """

    first: int
    end: int
    fills: bool


def cut(starts_us: Sequence[int], rows: Sequence[int], opened: "Opened", *, full: int, long_us: int) -> Iterator[Part]:
    """Deal closed slots, in their order, out to windows.

    Args:
        starts_us: Where each slot begins, ascending.
        rows: Rows of each.
        opened: The window that is open.
        full: Rows that fill a window.
        long_us: A slot that begins so long after its window begins another.
    """
    first, begin, inside = 0, opened.start_us, opened.rows
    for place, (start, more) in enumerate(zip(starts_us, rows, strict=True)):
        if inside and start - begin >= long_us:
            yield Part(first, place, fills=True)
            first, inside = place, 0
        begin = begin if inside else start
        inside += more
        if inside >= full:
            yield Part(first, place + 1, fills=True)
            first, inside = place + 1, 0
    if first < len(starts_us):
        yield Part(first, len(starts_us), fills=False)


class Slots:
    """The open slots with a run's new messages in them, in the order of time; added up only when it is known how.

    Args:
        run: The messages.
        places: Those that count, by place.
        starts: The beginning of the slot of each that counts, shape (places,).
        waiting: Slots that had messages before.
    """

    def __init__(
        self, run: Run, places: NDArray[np.intp], starts: NDArray[np.int64], waiting: Mapping[int, Slot]
    ) -> None:
        if (starts[1:] < starts[:-1]).any():
            order = starts.argsort(kind="stable")
            places, starts = places[order], starts[order]
        self._content, self._places, self._waiting = run.content, places, waiting
        self.starts_us = sorted({*starts.tolist(), *waiting})
        self._ends = [0, *starts.searchsorted(self.starts_us, side="right").tolist()]  # of each slot's messages
        rows = np.concatenate([[0], run.rows[places].cumsum()])[self._ends]
        more = [waiting[start].rows if start in waiting else 0 for start in self.starts_us]
        self.rows: list[int] = (rows[1:] - rows[:-1] + more).tolist()

    def counts(self, first: int, end: int) -> NDArray[np.int64]:
        """Rows by stretch of some of the slots together, by place."""
        own = self._places[self._ends[first] : self._ends[end]]
        known = [self._waiting[start].counts for start in self.starts_us[first:end] if start in self._waiting]
        found = [self._content.sum(own)] if len(own) else []
        first_of, *others = (*known, *found)
        return sum(others, first_of)

    def kept(self, first: int) -> tuple[Slot, ...]:
        """The slots from a place on, as they are kept."""
        return tuple(Slot(self.starts_us[n], self.rows[n], self.counts(n, n + 1)) for n in range(first, len(self.rows)))
