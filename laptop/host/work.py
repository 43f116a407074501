"""What must finish before the host may stop: invocations, and the acknowledgement that follows each."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("host")


class Stopping(Exception):
    """The host is stopping: leave the event unacknowledged, so that it comes again."""


class Work:
    """The host's running work."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()

    def start[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something on its own that stopping waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end even if the caller is cancelled meanwhile."""
        return await asyncio.shield(self.start(work))

    async def pause(self, seconds: float) -> None:
        """Wait; raises Stopping as soon as the host stops."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise Stopping

    async def stop(self, grace_seconds: float) -> None:
        """End every pause, then wait for what is running; what outlasts the grace is cancelled."""
        self._stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=grace_seconds)
            for task in late:
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None and not isinstance(problem, Stopping):
            _log.error("work of the host failed", exc_info=problem)
