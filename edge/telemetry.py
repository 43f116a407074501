"""What a device tells the cloud about its inputs: one sketch and a few counters per window, never raw rows."""

import asyncio
from array import array
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from uuid import uuid4

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.answers import Answer, Answers, Stretch, costs
from edge.model import Model
from edge.outbox import Outbox
from edge.shadow import Disagreement
from edge.signature import Batch
from sketch.sketch import Sketch

FOLD_ROWS = 4_096  # rows kept raw at most before they are counted into the sketch; bounds memory and the time it takes
MILLISECONDS = 1_000
BUCKETS, SHORTEST_MS = 16, 0.25  # of the counts of latencies; functions/field.py reads them

type Answered = list[tuple[Batch, NDArray[np.float32]]]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, rename={"opened": "from", "closed": "to"}):
    """One telemetry message, as it goes over the wire."""

    v: int
    loop: str
    model: str
    version: str
    profile: str
    epoch: str
    sequence: int
    opened: datetime
    closed: datetime
    rows: int
    requests: int
    failed: int
    latency_ms_p50: float
    latency_ms_max: float
    latency_counts: list[int]
    sketch: str
    shadow: Disagreement | None = None
    outcomes: Sequence[Stretch] | None = None


class Window:
    """What one model did since the last message.

    Recording only appends; counting comes later, off the request path.

    Args:
        model: The model that scored.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.opened = self.closed = datetime.now(UTC)
        self.rows = self.failed = 0
        self.latencies = array("d")
        self.shadow: Disagreement | None = None
        self.judged: Sequence[Answer] = ()
        self._pending: Answered = []
        self._sketch = Sketch(model.profile)
        self.pending_rows = 0

    def add(self, batch: Batch, scores: NDArray[np.float32], seconds: float) -> None:
        """Remember one answered request."""
        self._pending.append((batch, scores))
        self.rows += len(scores)
        self.pending_rows += len(scores)
        self._answered(seconds)

    def fail(self, seconds: float) -> None:
        """Remember one refused request."""
        self.failed += 1
        self._answered(seconds)

    def take(self) -> Answered:
        """Hand over what is remembered, for `count`; on the thread that also adds."""
        pending, self._pending, self.pending_rows = self._pending, [], 0
        return pending

    def count(self, pending: Answered) -> None:
        """Count rows into the sketch; on any thread, but one at a time."""
        if pending:
            batches, scores = zip(*pending, strict=True)
            self._sketch.add(self.model.signature.named(_joined(batches)), np.concatenate(scores))

    def message(self, *, loop: str, epoch: str, sequence: int, stretch_seconds: int) -> bytes:
        """The closed window as it goes over the wire."""
        self.count(self.take())
        wanted = self.model.wanted
        latencies = np.asarray(self.latencies) * MILLISECONDS
        return msgspec.json.encode(
            Message(
                v=1,
                loop=loop or wanted.model,
                model=wanted.model,
                version=wanted.version,
                profile=self.model.profile.hash,
                epoch=epoch,
                sequence=sequence,
                opened=self.opened,
                closed=self.closed,
                rows=self.rows,
                requests=len(self.latencies),
                failed=self.failed,
                latency_ms_p50=round(float(np.median(latencies)), 3) if len(latencies) else 0.0,
                latency_ms_max=round(float(np.max(latencies, initial=0.0)), 3),
                latency_counts=_buckets(latencies),
                sketch=b64encode(self._sketch.to_bytes()).decode(),
                shadow=self.shadow,
                outcomes=costs(self.judged, every_seconds=stretch_seconds) or None,
            )
        )

    def _answered(self, seconds: float) -> None:
        self.latencies.append(seconds)
        self.closed = datetime.now(UTC)


def _joined(batches: Sequence[Batch]) -> Batch:
    values = np.concatenate([batch.values for batch in batches], axis=1)
    texts = zip(*(batch.texts for batch in batches), strict=True)
    return Batch(values, tuple(list(chain.from_iterable(parts)) for parts in texts))


def _buckets(latencies_ms: NDArray[np.float64]) -> list[int]:
    """Requests by time taken: bucket i holds those below 0.25 * 2^i ms, the last one everything longer."""
    edges = SHORTEST_MS * 2.0 ** np.arange(BUCKETS - 1)
    return np.bincount(np.searchsorted(edges, latencies_ms, side="right"), minlength=BUCKETS).tolist()


class Telemetry:
    """The open windows, one per model, and the messages that wait for the hub.

    Usually one window is open. A request that was in flight during a swap ends on the old model, whose window it
    reopens: no row is counted for a model that did not score it.

    Args:
        loop: Name of the loop; empty means that it is named like the model.
        every_seconds: A window closes after this time at the latest.
        every_rows: A window closes after this many rows at the latest.
        outbox: Where messages wait for the hub.
        on_message: Called when a message waits.
        shadow: What a shadow made of the rows since it was asked last.
        answers: Knows which outcomes were told since it was asked last.
        stretch_seconds: Outcomes are told by stretches of this length, of the time in which the answers were given.
    """

    def __init__(
        self,
        *,
        loop: str,
        every_seconds: float,
        every_rows: int,
        outbox: Outbox,
        on_message: Callable[[], None],
        shadow: Callable[[], Disagreement | None],
        answers: Answers,
        stretch_seconds: int,
    ) -> None:
        self.epoch = uuid4().hex
        self._loop, self._every_seconds, self._every_rows = loop, every_seconds, every_rows
        self._outbox, self._on_message, self._shadow = outbox, on_message, shadow
        self._answers, self._stretch_seconds = answers, stretch_seconds
        self._sequence = 0
        self._open: dict[Model, Window] = {}
        self._closed: deque[Window] = deque()
        self._due, self._stopping = asyncio.Event(), False

    def record(self, model: Model, batch: Batch, scores: NDArray[np.float32], seconds: float) -> None:
        """Remember one answered request; cheap, because it is on the request path."""
        window = self._window(model)
        window.add(batch, scores, seconds)
        if window.rows >= self._every_rows:
            self.close()
        elif window.pending_rows >= FOLD_ROWS:
            self._due.set()

    def fail(self, model: Model, seconds: float) -> None:
        """Remember one refused request."""
        self._window(model).fail(seconds)

    def expect(self, model: Model) -> None:
        """Have a window open, because there is something to tell that no request was made for."""
        self._window(model)

    def close(self) -> None:
        """Close every open window; what comes next is counted anew."""
        if self._open:
            newest = next(reversed(self._open.values()))
            newest.shadow, newest.judged = self._shadow(), self._answers.take()
        self._closed.extend(self._open.values())
        self._open.clear()
        self._due.set()

    async def run(self) -> None:
        """Close windows in time and turn closed ones into messages, until `stop`."""
        while not self._stopping:
            deadline = asyncio.get_running_loop().time() + self._every_seconds
            with suppress(TimeoutError):
                while not self._stopping:
                    async with asyncio.timeout_at(deadline):
                        await self._due.wait()
                    await self._settle()
            self.close()
            await self._settle()

    def stop(self) -> None:
        """Let `run` close what is open and end; it is never cancelled, because a window would be lost half counted."""
        self._stopping = True
        self._due.set()

    async def _settle(self) -> None:
        self._due.clear()
        for window in [window for window in self._open.values() if window.pending_rows >= FOLD_ROWS]:
            await asyncio.to_thread(window.count, window.take())
        while self._closed:
            window = self._closed.popleft()
            sequence, self._sequence = self._sequence, self._sequence + 1
            await asyncio.to_thread(self._keep, window, sequence)
            self._on_message()

    def _keep(self, window: Window, sequence: int) -> None:
        message = window.message(
            loop=self._loop, epoch=self.epoch, sequence=sequence, stretch_seconds=self._stretch_seconds
        )
        if window.judged:
            self._answers.flush()  # that they are told: first, so that no restart tells them twice
        self._outbox.put(f"{self.epoch}-{sequence}", message)

    def _window(self, model: Model) -> Window:
        window = self._open.get(model)
        if window is None:
            window = self._open[model] = Window(model)
        return window
