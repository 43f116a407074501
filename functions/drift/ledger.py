"""Which messages of a device were counted: each once, however often and in whatever order they are delivered."""

from bisect import bisect_left
from copy import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

MOST_EPOCHS = 1_000  # as often as a container that crashes is started while the event hub keeps a message
MOST_STRETCHES = 64
_TOLD = -1


class MessageKey(msgspec.Struct, frozen=True):
    """What makes a message one message, however often it is delivered.

    Attributes:
        device: Who sent it, by the hub's word and not the message's.
        model: Model that served.
        version: Its version.
        profile: Hash of its profile.
        epoch: Random id of the sending process's start.
        sequence: Number of the message within its epoch, from 0.
        at_us: When what it tells happened, microseconds since 1970.
    """

    device: str
    model: str
    version: str
    profile: str
    epoch: str
    sequence: int
    at_us: int = 0


class Stretch(msgspec.Struct, frozen=True):
    """Consecutive messages, all counted.

    Attributes:
        first: The first one's sequence.
        end: The sequence after the last one's.
        since_us: Event time of the first of them to come; -1 once the gap before them was told.
    """

    first: int
    end: int
    since_us: int


class Gap(msgspec.Struct, frozen=True):
    """Messages that later ones have overtaken for longer than any may be late: lost, or set aside.

    Attributes:
        epoch: The process's start that sent them.
        first: Sequence of the first.
        last: Sequence of the last.
    """

    epoch: str
    first: int
    last: int

    def __str__(self) -> str:
        which = f"message {self.first}" if self.first == self.last else f"messages {self.first} to {self.last}"
        return f"{which} of epoch {self.epoch}"


class Epoch(msgspec.Struct, frozen=True):
    """Which messages of one start of a device's process were counted.

    Attributes:
        id: The epoch.
        stretches: What was counted, ascending, none next to another; at most 64.
        lost: Messages given up, because more than 64 gaps were open.
    """

    id: str
    stretches: tuple[Stretch, ...] = ()
    lost: int = 0

    def new(self, sequences: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some messages were not counted, and are not the repetition of one before them, shape (messages,)."""
        if sequences[0] > self.newest and _follow_each_other(sequences):
            return np.ones(len(sequences), np.bool_)
        edges = np.array([edge for one in self.stretches for edge in (one.first, one.end)], np.int64)
        known: NDArray[np.bool_] = np.searchsorted(edges, sequences, side="right") % 2 == 1
        first = np.zeros(len(sequences), np.bool_)
        first[np.unique(sequences, return_index=True)[1]] = True
        first &= ~known
        return first

    def plus(self, sequences: NDArray[np.int64], at_us: NDArray[np.int64]) -> "Epoch":
        """The epoch with more messages, none of which it has.

        Args:
            sequences: Their numbers, in any order, each once, shape (messages,).
            at_us: Their event times, microseconds since 1970, shape (messages,).
        """
        if sequences[0] > self.newest and _follow_each_other(sequences):
            one = Stretch(int(sequences[0]), int(sequences[-1]) + 1, int(at_us.min()))
            return _within_bounds(replace(self, stretches=_joined([*self.stretches, one])))
        order = np.argsort(sequences)
        numbers, times = sequences[order], at_us[order]
        breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
        starts = [0, *breaks.tolist()]
        ends = [*breaks.tolist(), len(numbers)]
        found = [
            self._stretch(int(numbers[start]), int(numbers[end - 1]) + 1, int(times[start:end].min()))
            for start, end in zip(starts, ends, strict=True)
        ]
        return _within_bounds(replace(self, stretches=_joined(sorted((*self.stretches, *found), key=_first))))

    def _stretch(self, first: int, end: int, since_us: int) -> Stretch:
        """What was found inside a gap that was told leaves smaller gaps that were."""
        after = bisect_left(self.stretches, first, key=_first)
        told = after < len(self.stretches) and self.stretches[after].since_us == _TOLD
        return Stretch(first, end, _TOLD if told else since_us)

    def gaps(self, before_us: int) -> tuple["Epoch", list[Gap]]:
        """Gaps that nobody was told of, overtaken before a moment; and the epoch in which they are told."""
        found: list[Gap] = []
        told = list(self.stretches)
        end = 0
        for place, one in enumerate(self.stretches):
            if one.first > end and 0 <= one.since_us < before_us:
                found.append(Gap(self.id, end, one.first - 1))
                told[place] = replace(one, since_us=_TOLD)
            end = one.end
        return replace(self, stretches=tuple(told)) if found else self, found

    @property
    def newest(self) -> int:
        """The highest sequence seen, -1 before the first."""
        return self.stretches[-1].end - 1 if self.stretches else -1

    @property
    def missing(self) -> int:
        """Messages that others have overtaken, and that may still come."""
        return self.newest + 1 - sum(one.end - one.first for one in self.stretches)


class Ledger(msgspec.Struct, frozen=True):
    """The distinct messages of a device; the newest epoch last, the 1,000 newest kept.

    Attributes:
        epochs: In the order of their first message here.
    """

    epochs: tuple[Epoch, ...] = ()

    def epoch(self, name: str) -> Epoch:
        """The epoch of that name; an empty one if no message of it was counted."""
        return next((epoch for epoch in self.epochs if epoch.id == name), Epoch(name))

    def is_newer(self, epoch: str, sequence: int) -> bool:
        """Whether a message was sent after every one counted: of a new epoch, or further on in the newest one."""
        known = self.epoch(epoch)
        return not known.stretches or (known is self.epochs[-1] and sequence > known.newest)

    @property
    def missing(self) -> int:
        """Messages that others have overtaken, or that were given up: on their way, set aside or lost."""
        return sum(epoch.missing + epoch.lost for epoch in self.epochs)

    def plus(self, changed: Epoch) -> "Ledger":
        """The ledger with a changed or a new epoch."""
        if any(epoch.id == changed.id for epoch in self.epochs):
            return Ledger(tuple(changed if epoch.id == changed.id else epoch for epoch in self.epochs))
        return Ledger((*self.epochs, changed)[-MOST_EPOCHS:])

    def gaps(self, before_us: int) -> tuple["Ledger", list[Gap]]:
        """As `Epoch.gaps`, over all epochs."""
        looked = [epoch.gaps(before_us) for epoch in self.epochs]
        found = [gap for _, gaps in looked for gap in gaps]
        return Ledger(tuple(epoch for epoch, _ in looked)) if found else self, found


def _follow_each_other(sequences: NDArray[np.int64]) -> bool:
    """The usual case, in which nothing has to be sorted."""
    return bool((sequences[1:] - sequences[:-1] == 1).all())


def _first(stretch: Stretch) -> int:
    return stretch.first


def _joined(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """Neighbours become one."""
    joined: list[Stretch] = []
    for one in stretches:
        if joined and joined[-1].end == one.first:
            joined[-1] = replace(joined[-1], end=one.end)
        else:
            joined.append(one)
    return tuple(joined)


def _within_bounds(epoch: Epoch) -> Epoch:
    """Of too many gaps, the first are given up."""
    stretches, lost = list(epoch.stretches), epoch.lost
    while len(stretches) > MOST_STRETCHES:
        first, second, *rest = stretches
        lost += second.first - first.end
        stretches = [replace(first, end=second.end), *rest]
    return replace(epoch, stretches=tuple(stretches), lost=lost)
