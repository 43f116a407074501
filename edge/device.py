"""One edge device's parts, put together and kept running: what serves, what listens to the twin, what reports."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from prometheus_client.core import Metric

from edge.hub import Hub
from edge.metrics import Metrics, counter, gauge
from edge.module import Module
from edge.serving import Serving
from edge.settings import Settings
from edge.shelf import Shelf
from edge.store import Store
from edge.telemetry import Telemetry

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0


class Device:
    """The parts of one device.

    Args:
        settings: What differs from device to device.
        store: Where models come from.
        connect: Makes a fresh connection to the hub.
    """

    def __init__(self, settings: Settings, *, store: Store, connect: Callable[[], Hub]) -> None:
        changed = asyncio.Event()
        self.serving = Serving(
            store=store, shelf=Shelf(settings.model_folder), model_bytes=settings.model_bytes, on_change=self._on_change
        )
        self.telemetry = Telemetry(
            loop=settings.loop,
            every_seconds=settings.telemetry_every_seconds,
            every_rows=settings.telemetry_every_rows,
            keep_messages=settings.telemetry_messages,
            on_message=changed.set,
        )
        self.module = Module(connect=connect, serving=self.serving, telemetry=self.telemetry, changed=changed)
        self.metrics = Metrics(self._figures)
        self._changed, self._swaps = changed, 0
        self._parts: asyncio.Task[list[asyncio.Task[None]]] | None = None

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
        return [
            asyncio.create_task(_kept("telemetry", self.telemetry.run)),
            asyncio.create_task(_kept("the hub", self.module.run)),
            asyncio.create_task(_kept("following the twin", self.serving.run)),
        ]

    async def _stop(self, parts: list[asyncio.Task[None]]) -> None:
        if not parts:
            return
        telling, talking, following = parts
        parts.clear()
        self.telemetry.stop()
        await telling
        await self.module.stop(talking)
        self.serving.stop()
        following.cancel()
        await asyncio.wait([following])

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
        yield gauge("telemetry_waiting", "Telemetry messages that wait for the hub.", self.telemetry.waiting)
        yield counter("telemetry_dropped", "Telemetry messages dropped, the hub being away.", self.telemetry.dropped)
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
