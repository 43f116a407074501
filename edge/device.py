"""One edge device's parts, put together and kept running: what serves, what listens to the twin, what reports."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import Metric

from edge.answers import Answers, Joined
from edge.hold import Hold
from edge.hub import Hub
from edge.keys import Keyring
from edge.metrics import Metrics, counter, gauge
from edge.model import Model
from edge.module import Module
from edge.outbox import Outbox
from edge.preparing import Preparation
from edge.sandbox import Checker
from edge.serving import Serving
from edge.settings import MEBIBYTE, Settings
from edge.shadow import Shadow
from edge.shelf import Shelf
from edge.signature import Batch
from edge.store import Store
from edge.telemetry import Telemetry

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
HOUR = 3_600.0
OUTCOMES = {
    "joined": "joined with an answer",
    "duplicate": "that were known already",
    "conflicting": "that differ from one that is known",
    "unknown": "of no answer that is kept",
}


class Device:
    """The parts of one device.

    Args:
        settings: What differs from device to device.
        store: Where models come from.
        checker: What tries models before they are loaded.
        connect: Makes a fresh connection to the hub.
    """

    def __init__(self, settings: Settings, *, store: Store, checker: Checker, connect: Callable[[], Hub]) -> None:
        changed, keys = asyncio.Event(), Keyring(settings.model_keys)
        preparation = Preparation(
            store=store,
            shelf=Shelf(settings.model_folder, keys),
            keys=keys,
            checker=checker,
            model_bytes=settings.model_bytes,
        )
        self.hold = Hold(settings.hold_file, changed.set)
        self.serving = Serving(preparation, hold=self.hold, on_change=self._on_change)
        self.shadow = Shadow(preparation, on_change=changed.set)
        self.outbox = Outbox(
            settings.model_folder / "telemetry",
            most_messages=settings.telemetry_messages,
            most_bytes=settings.telemetry_mebibytes * MEBIBYTE,
        )
        self.answers = Answers(
            settings.model_folder / "answers", most=settings.answers_kept, most_seconds=settings.answers_hours * HOUR
        )
        self.telemetry = Telemetry(
            loop=settings.loop,
            every_seconds=settings.telemetry_every_seconds,
            every_rows=settings.telemetry_every_rows,
            outbox=self.outbox,
            on_message=changed.set,
            shadow=self.shadow.take,
            answers=self.answers,
            stretch_seconds=settings.outcomes_every_seconds,
        )
        self.module = Module(
            connect=connect,
            serving=self.serving,
            shadow=self.shadow,
            hold=self.hold,
            outbox=self.outbox,
            changed=changed,
        )
        self.metrics = Metrics(self._figures)
        self._changed, self._swaps = changed, 0
        self._parts: asyncio.Task[list[asyncio.Task[None]]] | None = None

    def answered(self, model: Model, batch: Batch, scores: NDArray[np.float32], seconds: float) -> None:
        """Take note of a request that has its answer already; cheap, because the next one waits."""
        self.metrics.answered(len(scores), seconds)
        self.telemetry.record(model, batch, scores, seconds)
        self.shadow.offer(model, batch, scores)
        if batch.ids:
            self.answers.note(model.wanted.version, batch.ids, scores)

    async def learn(self, outcomes: Iterable[tuple[str, bool]]) -> Joined:
        """Join outcomes with the answers they belong to; once this returns they outlive a loss of power."""
        joined, model = self.answers.join(outcomes), self.serving.model
        if joined.joined:
            await asyncio.to_thread(self.answers.flush)
            if model is not None:
                self.telemetry.expect(model)
        return joined

    def refused(self, model: Model | None, code: str, seconds: float) -> None:
        """Take note of a request that was turned down."""
        self.metrics.refused(code)
        if model is not None:
            self.telemetry.fail(model, seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve from disk at once, then follow the twin, until the block ends.

        It may be entered again meanwhile, and then starts nothing: the Functions host starts the program once for each
        request that arrives before its first answer, and ends any one of those starts. The first end ends all.
        """
        if self._parts is None:
            self._parts = asyncio.create_task(self._start())
        parts = await asyncio.shield(self._parts)
        try:
            yield
        finally:
            await self._stop(parts)

    async def _start(self) -> list[asyncio.Task[None]]:
        await asyncio.to_thread(self.serving.start_from_disk)
        await asyncio.to_thread(self.outbox.open)
        await asyncio.to_thread(self.answers.open)
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "telemetry": self.telemetry.run,
            "the hub": self.module.run,
            "following the twin": self.serving.run,
            "trusting what serves": self.serving.trust,
            "following the twin's shadow": self.shadow.run,
            "the shadow": self.shadow.score,
            "the site's say": self.hold.run,
            "the answers": self.answers.run,
        }
        return [asyncio.create_task(_kept(name, run)) for name, run in parts.items()]

    async def _stop(self, parts: list[asyncio.Task[None]]) -> None:
        if not parts:
            return
        telling, talking, *others = parts
        parts.clear()
        self.telemetry.stop()
        await telling
        await self.module.stop(talking)
        self.serving.stop()
        self.shadow.stop()
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        await self.answers.settle()

    def _on_change(self) -> None:
        if self.serving.swaps != self._swaps:
            self._swaps = self.serving.swaps
            self.telemetry.close()
        self._changed.set()

    def _figures(self) -> Iterator[Metric]:
        model = self.serving.model
        if model:
            yield gauge(
                "model_info", "The model that serves.", 1, model=model.wanted.model, version=model.wanted.version
            )
        yield gauge("ready", "1 once a model serves.", int(model is not None))
        yield gauge("hub_connected", "1 while connected to IoT Hub.", int(self.module.connected))
        yield gauge("telemetry_waiting", "Telemetry messages that wait for the hub.", len(self.outbox))
        yield counter("telemetry_dropped", "Telemetry messages dropped, the hub being away.", self.outbox.dropped)
        yield gauge("switchable", "1 while the site lets the model change.", int(self.hold.switchable))
        yield counter("shadow_rows_left_out", "Rows that a shadow had no time for.", self.shadow.left_out)
        yield gauge("answers_kept", "Answers with an id that are kept for their outcomes.", len(self.answers))
        for name, about in OUTCOMES.items():
            yield counter(f"outcomes_{name}", f"Outcomes {about}.", getattr(self.answers.counts, name))
        yield counter("swaps", "Models taken over.", self.serving.swaps)
        longest = self.serving.pauses.longest_seconds
        yield gauge("pause_seconds", "Longest pause of the event loop while a candidate was prepared.", longest)


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a part until it ends by itself; if it breaks, start it again: scoring must go on beside it."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("%s broke and starts again", name)
            await asyncio.sleep(RESTART_SECONDS)
        else:
            return
