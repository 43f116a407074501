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
        self._changed, self._swaps, self._running = changed, 0, False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve from disk at once, then follow the twin, until the block ends.

        Entering it a second time meanwhile does nothing: the Functions host starts the program once per request that
        arrives before its first answer.
        """
        if self._running:
            yield
            return
        self._running = True
        await asyncio.to_thread(self.serving.start_from_disk)
        following = asyncio.create_task(_kept("following the twin", self.serving.run))
        telling = asyncio.create_task(_kept("telemetry", self.telemetry.run))
        talking = asyncio.create_task(_kept("the hub", self.module.run))
        try:
            yield
        finally:
            self.telemetry.stop()
            await telling
            await self.module.stop(talking)
            self.serving.stop()
            following.cancel()
            await asyncio.wait([following])
            self._running = False

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
