"""A device's open window: distinct messages, added up until there are rows enough."""

from bisect import bisect_left
from dataclasses import dataclass, replace

MOST_EPOCHS = 16
MOST_AHEAD = 256


@dataclass(frozen=True, slots=True)
class MessageKey:
    """What makes a message one message, however often it is delivered.

    Attributes:
        device: Who sent it, by the hub's word and not the message's.
        model: Model that served.
        version: Its version.
        profile: Hash of its profile.
        epoch: Random id of the sending process's start.
        sequence: Number of the message within its epoch, from 0.
    """

    device: str
    model: str
    version: str
    profile: str
    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """Which messages of one start of a device's process were counted.

    Attributes:
        id: The epoch.
        next: All sequences below it were counted, or given up as lost.
        ahead: Counted sequences above it, ascending; there is a gap before the first.
        lost: Sequences given up, because 256 later messages came without them.
    """

    id: str
    next: int = 0
    ahead: tuple[int, ...] = ()
    lost: int = 0

    def has(self, sequence: int) -> bool:
        """Whether that message was counted, or given up."""
        return sequence < self.next or sequence in self.ahead

    def plus(self, sequence: int) -> "Epoch":
        """The epoch with one more message, which it does not have."""
        place = bisect_left(self.ahead, sequence)
        ahead, after, lost = (*self.ahead[:place], sequence, *self.ahead[place:]), self.next, self.lost
        if len(ahead) > MOST_AHEAD:
            lost, after = lost + ahead[0] - after, ahead[0]
        closed = next((i for i, counted in enumerate(ahead) if counted != after + i), len(ahead))
        return Epoch(self.id, after + closed, ahead[closed:], lost)

    @property
    def newest(self) -> int:
        """The highest sequence seen, -1 before the first."""
        return self.ahead[-1] if self.ahead else self.next - 1

    @property
    def gap(self) -> int:
        """Messages that others have overtaken, and that may still come."""
        return self.newest + 1 - self.next - len(self.ahead)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The distinct messages of a device; the newest epoch last, the 16 newest kept.

    Attributes:
        epochs: In the order of their first message here.
    """

    epochs: tuple[Epoch, ...] = ()

    def epoch(self, name: str) -> Epoch | None:
        """The epoch of that name, if a message of it was counted."""
        return next((epoch for epoch in self.epochs if epoch.id == name), None)

    def has(self, message: MessageKey) -> bool:
        """Whether the message was counted."""
        epoch = self.epoch(message.epoch)
        return epoch is not None and epoch.has(message.sequence)

    def is_newer(self, message: MessageKey) -> bool:
        """Whether the message was sent after every one counted: a new epoch, or further on in the newest one."""
        epoch = self.epoch(message.epoch)
        return epoch is None or (epoch is self.epochs[-1] and message.sequence > epoch.newest)

    def plus(self, message: MessageKey) -> "Ledger":
        """The ledger with one more message, which it does not have."""
        epoch = self.epoch(message.epoch)
        if epoch is None:
            return Ledger((*self.epochs, Epoch(message.epoch).plus(message.sequence))[-MOST_EPOCHS:])
        counted = epoch.plus(message.sequence)
        return replace(self, epochs=tuple(counted if known is epoch else known for known in self.epochs))
