"""A batch of messages as runs: by device, each with all it has to count; messages of all devices are kept together."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from functions.drift.rows import Table
from functions.drift.window import Content, Run, Sketches
from functions.loops import Loop
from functions.telemetry import TELEMETRY_LIMIT, Arrived, RawTelemetry, Telemetry, Told, sketch_bytes
from sketch.profile import Profile
from sketch.sketch import Sketch

_ERA = datetime(1970, 1, 1, tzinfo=UTC)
_PACK = struct.Struct("6q").pack  # of a message: its run, sequence and rows; days, seconds and microseconds since 1970


class Source(msgspec.Struct, frozen=True, eq=False):
    """What the messages about one model version have in common.

    Args:
        loop: The loop of the model.
        version: The model's version.
        profile: What the version was trained on.
        alike: Decodes bodies that tell of it row by row; raises ValueError for others.
    """

    loop: Loop
    version: str
    profile: Profile
    alike: Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Stint:
    """A run, and by its place each message that tells of more than rows."""

    run: Run
    told: Mapping[int, Told]
    profile: Profile
    loop: Loop


class _Messages:
    """Messages about one model version, of whichever devices, as they came: all with rows, or all with sketches."""

    def __init__(self, source: Source) -> None:
        self.source, self.table = source, Table(source.profile)
        self._sketches: list[Sketch] = []
        self._senders: list[tuple[str, str]] = []  # of each run: a device, and the epoch of its process
        self._packed: list[bytes] = []  # of each message
        self._told: dict[int, Told] = {}

    def begin(self, sender: str, epoch: str) -> "_Opened":
        """Another run, without a message yet."""
        self._senders.append((sender, epoch))
        return _Opened(self, len(self._senders) - 1, epoch)

    def take(self, came: Arrived, told: Told) -> int:
        """Take up the rows or the sketch of a message, which has then to be kept; how many rows it tells of.

        Raises:
            ValueError: They do not fit the profile; nothing is taken up.
        """
        if isinstance(told, RawTelemetry):
            return self.table.read(told)
        sketch = Sketch.from_bytes(sketch_bytes(told, came.sender), self.source.profile)
        self._sketches.append(sketch)
        return sketch.rows

    def keep(self, told: Told, run: int, rows: int, at: datetime) -> None:
        """Keep what a message tells, whose rows or sketch have been taken up."""
        if told.requests is not None or told.failed or told.latency_counts or told.outcomes:
            self._told[len(self._packed)] = told
        since = at - _ERA
        self._packed.append(_PACK(run, told.sequence, rows, since.days, since.seconds, since.microseconds))

    def stints(self) -> Iterator[Stint]:
        """Each run, in the order in which they began."""
        source, told = self.source, np.frombuffer(b"".join(self._packed), np.int64).reshape(-1, 6)
        order, ends = told[:, 0].argsort(kind="stable"), np.bincount(told[:, 0]).cumsum().tolist()
        content = self._sketched(order) if self._sketches else self.table.contents(order, told[:, 2])
        _, sequences, rows, days, seconds, microseconds = np.ascontiguousarray(told[order].T)
        at_us = (days * 86_400 + seconds) * 1_000_000 + microseconds
        for (sender, epoch), begin, end in zip(self._senders, [0, *ends], ends, strict=False):
            own = slice(begin, end)
            run = Run(
                device=sender,
                model=source.loop.name,
                version=source.version,
                profile=source.profile.hash,
                epoch=epoch,
                sequences=sequences[own],
                at_us=at_us[own],
                rows=rows[own],
                content=content(own),
            )
            yield Stint(run, self._more(order[own]), source.profile, source.loop)

    def _sketched(self, order: NDArray[np.intp]) -> Callable[[slice], Content]:
        return lambda some: Sketches([self._sketches[n] for n in order[some].tolist()])

    def _more(self, messages: NDArray[np.intp]) -> dict[int, Told]:
        if not self._told:
            return {}
        return {place: self._told[n] for place, n in enumerate(messages.tolist()) if n in self._told}


class _Opened(msgspec.Struct, frozen=True, gc=False):
    """A run that may go on: messages of one epoch of a device that follow each other."""

    messages: _Messages
    number: int
    epoch: str


class Batch:
    """Gathers messages by device, in the order in which they come."""

    def __init__(self) -> None:
        self._messages: dict[tuple[Source, type[Told]], _Messages] = {}
        self._devices: dict[tuple[str, str], list[_Opened]] = {}
        self._newest: dict[str, _Opened] = {}

    def again(self, came: Arrived) -> bool:
        """Take up a message with raw rows that differs from its sender's last in nothing but these, number and time.

        That is what nearly all of them are; in one step, they take half the time of the others.

        Returns:
            Whether it was taken up; if not, nothing is known of it, and `add` may take it up.
        """
        last = self._newest.get(came.sender)
        if last is None or len(came.body) > TELEMETRY_LIMIT:
            return False
        messages = last.messages
        try:
            told = messages.source.alike(came.body)
        except (ValueError, RecursionError):
            return False
        if told.epoch != last.epoch or (told.claimed and told.claimed != came.device):
            return False
        messages.keep(told, last.number, messages.table.take(map(astuple, told.rows)), came.happened(told))
        return True

    def add(self, came: Arrived, told: Told, source: Source) -> None:
        """Take up a message.

        Args:
            came: As it came.
            told: What it says.
            source: What it is about.

        Raises:
            ValueError: Its rows or its sketch do not fit the profile; it is not taken up.
        """
        messages = self._messages.get((source, type(told))) or _Messages(source)
        rows = messages.take(came, told)
        self._messages[source, type(told)] = messages
        theirs = self._devices.setdefault((told.loop, came.sender), [])
        if not theirs or theirs[-1].messages is not messages or theirs[-1].epoch != told.epoch:
            theirs.append(messages.begin(came.sender, told.epoch))
        messages.keep(told, theirs[-1].number, rows, came.happened(told))
        if isinstance(told, Telemetry):
            self._newest.pop(came.sender, None)
        else:
            self._newest[came.sender] = theirs[-1]

    def stints(self) -> list[list[Stint]]:
        """Each device's messages, in the order in which they came, as runs of one epoch, model version and kind."""
        made = {messages: list(messages.stints()) for messages in self._messages.values()}
        return [[made[one.messages][one.number] for one in theirs] for theirs in self._devices.values()]
