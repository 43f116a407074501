"""A batch's devices written back: many in one request where nobody interferes, else each alone."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from functions import field
from functions.errors import LoopError
from functions.loops import Loop
from functions.ports import Write, weight
from functions.wiring import Cloud

MOST_AT_ONCE = 100  # rows a request; the store's own limit
MOST_BYTES = 2_500_000  # of a request's rows; bytes travel as a third more, and the store takes 4 MiB


@dataclass(frozen=True, slots=True)
class Books:
    """What became of a batch.

    Attributes:
        tally: Messages that were counted, duplicate or superseded; of the counted, those that were late.
        alarmed: Loops in which a drift of some device has begun.
    """

    tally: Mapping[str, int]
    alarmed: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A device's messages, counted; nothing of it is kept yet.

    Attributes:
        loop: Of its model.
        write: Its row from now on; None if that is as it was.
        books: What became of the messages.
        strengths: Logarithms of the evidence after each window that they filled.
    """

    loop: Loop
    write: Write | None
    books: Books
    strengths: Sequence[float]


def kept_together(here: Cloud, folded: Sequence[Folded]) -> Container[Folded]:
    """Write the rows of many devices; those that were written. The others have to be tried alone."""
    loops: dict[str, list[Folded]] = {}
    for one in folded:
        loops.setdefault(one.loop.name, []).append(one)
    kept = set[Folded]()
    for some, writes in chain.from_iterable(map(_groups, loops.values())):
        with suppress(LoopError):  # whose fault it is shows when each is tried alone
            if here.rows.write_all(field.DEVICES, some[0].loop.name, writes):
                kept.update(some)
    return kept


def kept_alone(here: Cloud, folded: Folded) -> bool:
    """Write a device's row; False if somebody changed it meanwhile."""
    write = folded.write
    if write is None:
        return True
    if write.stored is None:
        return here.rows.insert(field.DEVICES, folded.loop.name, write.key, row=write.row)
    return here.rows.replace(field.DEVICES, folded.loop.name, stored=write.stored, row=write.row)


def _groups(folded: Sequence[Folded]) -> Iterator[tuple[list[Folded], list[Write]]]:
    """Devices of one loop, with as many rows as one request takes; the last ones only if there are two."""
    some, writes, size = list[Folded](), list[Write](), 0
    for one in folded:
        if one.write is None:
            continue
        more = weight(one.write.row)
        if some and (len(some) == MOST_AT_ONCE or size + more > MOST_BYTES):
            yield some, writes
            some, writes, size = [], [], 0
        some.append(one)
        writes.append(one.write)
        size += more
    if len(some) > 1:
        yield some, writes
