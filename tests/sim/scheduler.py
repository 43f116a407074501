"""Simulated time: what happens next is what is due first; an invocation gives way at every call of a port."""

from collections.abc import Callable
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet


class Scheduler:
    """An agenda, and the threads of work that it wakes; `now` is in seconds since the start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._added = 0
        self._root = getcurrent()
        self._alive: set[greenlet] = set()

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Put something on the agenda."""
        self._added += 1
        heappush(self._agenda, (when, self._added, act))

    def begin(self, work: Callable[[], object], when: float) -> greenlet:
        """Start work that may pause."""

        def whole() -> None:
            try:
                work()
            finally:
                self._alive.discard(thread)

        thread = greenlet(whole, self._root)
        self._alive.add(thread)
        self.at(when, thread.switch)
        return thread

    def pause(self, seconds: float) -> None:
        """Let others go on; inside of work only."""
        self.at(self.now + seconds, getcurrent().switch)
        self._root.switch()

    def kill(self, thread: greenlet, death: BaseException) -> None:
        """End work where it pauses; whatever it would have been woken for is forgotten."""
        if thread in self._alive and thread is not getcurrent():
            if thread:  # it has begun
                thread.throw(death)
            else:
                self._alive.discard(thread)

    def run(self, until: float) -> None:
        """Go through the agenda up to a time."""
        self._root = getcurrent()
        while self._agenda and self._agenda[0][0] <= until:
            when, _, act = heappop(self._agenda)
            self.now = max(self.now, when)
            thread = getattr(act, "__self__", None)
            if not isinstance(thread, greenlet) or thread in self._alive:
                act()
        self.now = max(self.now, until)

    def close(self) -> None:
        """End whatever has not ended."""
        for thread in list(self._alive):
            if thread:
                thread.throw()
        self._alive.clear()
