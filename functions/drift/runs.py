"""A batch of messages as runs: by device, each with all it has to count, the raw rows of all devices in one table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from functions.drift.rows import Rows, Table
from functions.drift.window import Run, Sketches
from functions.loops import Loop
from functions.telemetry import RawTelemetry, Telemetry, sketch_bytes
from sketch.profile import Profile
from sketch.sketch import Sketch

type Told = Telemetry | RawTelemetry


class Source(msgspec.Struct, frozen=True, gc=False):
    """What the messages about one model version have in common.

    Args:
        loop: The loop of the model.
        version: The model's version.
        profile: What the version was trained on.
        table: Takes the batch's raw rows about it.
    """

    loop: Loop
    version: str
    profile: Profile
    table: Table


@dataclass(frozen=True, slots=True)
class Stint:
    """A run, with what else its messages tell; None for a message that tells of nothing but its rows."""

    run: Run
    told: Sequence[Told | None]
    profile: Profile
    loop: Loop


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Messages of one device that follow each other, about one version, all with rows or all with sketches."""

    source: Source
    kind: type[Told]
    epochs: list[str] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    at_us: list[int] = field(default_factory=list)
    told: list[Told | None] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    sketches: list[Sketch] = field(default_factory=list)

    def take(self, told: Told, device: str, at_us: int) -> None:
        if isinstance(told, RawTelemetry):
            self.rows.append(self.source.table.read(told))
        else:
            self.sketches.append(Sketch.from_bytes(sketch_bytes(told, device), self.source.profile))
        epochs = self.epochs
        epochs.append(epochs[-1] if epochs and epochs[-1] == told.epoch else told.epoch)  # one text, not one a message
        self.sequences.append(told.sequence)
        self.at_us.append(at_us)
        self.told.append(told if _says_more(told) else None)


class Batch:
    """Gathers messages by device, in the order in which they come."""

    def __init__(self) -> None:
        self._devices: dict[tuple[str, str], list[_Gathered]] = {}

    def add(self, told: Told, device: str, source: Source, *, at_us: int) -> None:
        """Take up a message.

        Args:
            told: What the device sent.
            device: Device and module, by the hub's word.
            source: What it is about.
            at_us: When it happened, microseconds since 1970.

        Raises:
            ValueError: Its rows or its sketch do not fit the profile; it is not taken up.
        """
        theirs = self._devices.get((told.loop, device))
        last = theirs[-1] if theirs else None
        if last is not None and last.source is source and last.kind is type(told):
            last.take(told, device, at_us)
        else:
            new = _Gathered(source, type(told))
            new.take(told, device, at_us)
            self._devices.setdefault((told.loop, device), []).append(new)

    def stints(self) -> list[list[Stint]]:
        """Each device's messages, in the order in which they came, as runs of one model version and one kind."""
        return [[_stint(device, some) for some in theirs] for (_, device), theirs in self._devices.items()]


def _says_more(told: Told) -> bool:
    """Whether a message tells of more than its rows; one that does not need not be kept."""
    if isinstance(told, Telemetry):
        return True
    return bool(told.requests is not None or told.failed or told.latency_counts or told.outcomes)


def _stint(device: str, some: _Gathered) -> Stint:
    source = some.source
    run = Run(
        device=device,
        model=source.loop.name,
        version=source.version,
        profile=source.profile.hash,
        epochs=some.epochs,
        sequences=some.sequences,
        at_us=some.at_us,
        rows=[rows.count for rows in some.rows] or [sketch.rows for sketch in some.sketches],
        content=source.table.counted(some.rows) if some.rows else Sketches([one.counts for one in some.sketches]),
    )
    return Stint(run, some.told, source.profile, source.loop)
