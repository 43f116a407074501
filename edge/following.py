"""Follows one wish of the twin: the newest wins, also while an older one still loads, and failures try again."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.errors import Away, Unfit
from edge.model import Model
from edge.pauses import Pauses
from edge.preparing import Preparation, Stage
from edge.wanted import Wanted

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0

State = Literal[Stage, "waiting", "scoring", "rolled back", "failed"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was asked for last and does not serve (yet).

    Args:
        version: The version asked for.
        state: How far it got.
        reason: Why it failed, or why it waits; one line.
    """

    version: str
    state: State
    reason: str | None = None


class _Superseded(Exception):  # not an error: a newer wish ends the work on an older one
    """Another model is wanted by now."""


class Following(ABC):
    """One place that a model can take, and the wish for it.

    Everything but the preparation runs on the event loop.

    Args:
        preparation: Gets models ready.
        slot: What the twin calls this place.
        on_change: Called when what is shown has changed.
    """

    def __init__(self, preparation: Preparation, *, slot: str, on_change: Callable[[], None]) -> None:
        self.model: Model | None = None
        self.candidate: Candidate | None = None
        self.pauses = Pauses()
        self._preparation, self._shelf, self._slot = preparation, preparation.shelf, slot
        self._on_change = on_change
        self._wish: Wanted | Candidate | None = None
        self._asked = asyncio.Event()
        self._retry_seconds = FIRST_RETRY_SECONDS

    @abstractmethod
    async def _place(self, model: Model) -> None:
        """Put a model that is ready into its place."""

    @abstractmethod
    def _rest(self) -> None:
        """Nothing is left to do for the wish: show what there is."""

    def ask(self, wish: Wanted | Candidate | None) -> None:
        """Ask for a model; asking again for the same changes nothing.

        Args:
            wish: The model, or None for no wish, or a candidate that failed before it was even a model.
        """
        if wish != self._wish:
            self._wish = wish
            self._shelf.wanted[self._slot] = wish.sha256 if isinstance(wish, Wanted) else ""
            self.again()

    def again(self) -> None:
        """Try once more for what is asked for, at once."""
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._asked.set()

    def stop(self) -> None:
        """Let a fetch or check in progress end at its next step."""
        self._wish = None

    async def run(self) -> None:
        """Follow what is asked for, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            match self._wish:
                case Wanted() as wanted if not self._has(wanted):
                    await self._follow(wanted)
                case Candidate() as failed:
                    self._show(failed)
                case _:
                    self._rest()

    async def _follow(self, wanted: Wanted) -> None:
        try:
            async with self.pauses.watched():
                model = await asyncio.to_thread(self._prepare, wanted, asyncio.get_running_loop())
        except _Superseded:
            return
        except Unfit as problem:
            self._fail(wanted, "failed", problem)
        except Away as problem:
            self._fail(wanted, "fetching", problem)
            await self._wait_to_retry()
        except Exception as error:
            log.exception("model %s broke the device's code", wanted)
            self._fail(wanted, "failed", _unforeseen(error))
        else:
            if wanted == self._wish:
                await self._place(model)

    async def _wait_to_retry(self) -> None:
        if not await self._disturbed(self._retry_seconds):
            self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)
            self._asked.set()

    async def _disturbed(self, seconds: float) -> bool:
        """Wait, at most so long, for another wish; True if it came."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        return True

    def _has(self, wanted: Wanted) -> bool:
        """Whether the model is in its place already."""
        return self.model is not None and self.model.wanted.identity == wanted.identity

    def _prepare(self, wanted: Wanted, loop: asyncio.AbstractEventLoop) -> Model:
        def enter(stage: Stage) -> None:
            keep_going()
            loop.call_soon_threadsafe(self._enter, wanted, stage)

        def keep_going() -> None:
            if wanted != self._wish:
                raise _Superseded

        return self._preparation.prepare(wanted, enter=enter, keep_going=keep_going)

    def _enter(self, wanted: Wanted, stage: Stage) -> None:
        if wanted == self._wish and not self._has(wanted):
            self._show(Candidate(wanted.version, stage))

    def _fail(self, wanted: Wanted, state: State, problem: Unfit | Away) -> None:
        log.warning("%s %s does not take over: %s", self._slot, wanted, problem.reason)
        if wanted == self._wish:
            self._show(Candidate(wanted.version, state, problem.reason))

    def _show(self, candidate: Candidate | None) -> None:
        self.candidate = candidate
        self._on_change()


def _unforeseen(error: Exception) -> Unfit:
    return Unfit(
        "the model could not be taken over",
        why=f"{type(error).__name__}: {error}",
        fix="look into the device's log for the traceback, and report it",
    )
