"""How long the event loop, and with it every scoring reply, stood still while a candidate was prepared."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK_SECONDS = 0.005
SWITCH_SECONDS = 0.0005


class Pauses:
    """The longest pause seen while a candidate was fetched, checked, loaded and warmed, seconds."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Keep pauses short inside this block, and watch for them.

        The thread that prepares the candidate runs Python too; the loop gets the interpreter back ten times as soon as
        it usually would.
        """
        usual = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            sys.setswitchinterval(usual)

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - before - TICK_SECONDS)
