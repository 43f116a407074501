"""A batch of messages as runs: by device, each with all it has to count, the raw rows of all devices in one step."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import msgspec

from functions.drift.rows import Counted, Rows, reader_of
from functions.drift.window import Content, Run, Sketches
from functions.loops import Loop
from functions.telemetry import RawTelemetry, Telemetry
from sketch.profile import Profile
from sketch.sketch import Sketch


class Message(msgspec.Struct, frozen=True, gc=False):
    """A device's message, ready to be counted.

    Args:
        loop: The loop of its model.
        device: Device and module, by the hub's word.
        profile: Of the version that scored.
        at_us: When it happened, microseconds since 1970.
        told: What the device sent.
        content: What is in it: rows, or a sketch of them.
    """

    loop: Loop
    device: str
    profile: Profile
    at_us: int
    told: Telemetry | RawTelemetry
    content: Rows | Sketch


@dataclass(frozen=True, slots=True)
class Stint:
    """A run, with what else its messages tell."""

    run: Run
    told: Sequence[Telemetry | RawTelemetry]
    profile: Profile
    loop: Loop


def stints(messages: Iterable[Message]) -> list[list[Stint]]:
    """Each device's messages, in the order in which they came, as runs of one model version and one kind."""
    by_device: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for message in messages:
        by_device[message.told.loop, message.device].append(message)
    devices = [[list(some) for _, some in groupby(theirs, key=_kind)] for theirs in by_device.values()]
    contents = _Contents(chain.from_iterable(devices))
    return [[_stint(some, contents.next(some)) for some in theirs] for theirs in devices]


class _Contents:
    """Hands out the content of groups of messages, in their order.

    Args:
        groups: Messages of one device, one version and one kind each.
    """

    def __init__(self, groups: Iterable[Sequence[Message]]) -> None:
        rows: dict[str, list[Message]] = defaultdict(list)
        for some in groups:
            if isinstance(some[0].content, Rows):
                rows[some[0].profile.hash] += some
        self._counted = {name: _counted(some) for name, some in rows.items()}
        self._given = dict.fromkeys(rows, 0)

    def next(self, some: Sequence[Message]) -> Content:
        """The content of the next group."""
        sketches = [one.content for one in some if isinstance(one.content, Sketch)]
        if sketches:
            return Sketches([sketch.counts for sketch in sketches])
        name = some[0].profile.hash
        first = self._given[name]
        self._given[name] = first + len(some)
        return self._counted[name].part(first, first + len(some))


def _counted(messages: Sequence[Message]) -> Counted:
    return reader_of(messages[0].profile).count([one.content for one in messages if isinstance(one.content, Rows)])


def _kind(message: Message) -> tuple[str, str, bool]:
    return message.told.version, message.profile.hash, isinstance(message.content, Rows)


def _stint(some: Sequence[Message], content: Content) -> Stint:
    one = some[0]
    run = Run(
        device=one.device,
        model=one.told.model,
        version=one.told.version,
        profile=one.profile.hash,
        epochs=[message.told.epoch for message in some],
        sequences=[message.told.sequence for message in some],
        at_us=[message.at_us for message in some],
        rows=[message.content.count if isinstance(message.content, Rows) else message.content.rows for message in some],
        content=content,
    )
    return Stint(run, [message.told for message in some], one.profile, one.loop)
