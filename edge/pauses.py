"""How long the event loop, and with it every scoring reply, stood still while a candidate was prepared."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK_SECONDS = 0.005


class Pauses:
    """The longest pause seen while a candidate was fetched, checked, loaded and warmed, seconds."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch for pauses inside this block only: a tick costs little, but not nothing."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - before - TICK_SECONDS)
