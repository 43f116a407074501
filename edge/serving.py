"""Which model serves and how the next one takes over: fetch, check, load, warm, and only then swap.

The newest wish wins, also while an older one still loads. Whatever fails, the old model keeps serving and the
candidate says why.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.errors import Away, Unfit
from edge.model import Model, check_model, load_model
from edge.pauses import Pauses
from edge.shelf import Contents, Shelf, fetch
from edge.store import Store
from edge.wanted import Wanted

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0

State = Literal["fetching", "checking", "loading", "failed"]


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


class Serving:
    """The model that serves, and the one that was asked for last.

    Everything but `_prepare` runs on the event loop; `_prepare` runs in a thread, so that scoring never waits.

    Args:
        store: Where models come from.
        shelf: Where the last two are kept.
        model_bytes: The largest file of a model this device takes, bytes.
        on_change: Called when what serves or what is asked for has changed.
    """

    def __init__(self, *, store: Store, shelf: Shelf, model_bytes: int, on_change: Callable[[], None]) -> None:
        self.model: Model | None = None
        self.candidate: Candidate | None = None
        self.swaps, self.pauses = 0, Pauses()
        self._store, self._shelf, self._model_bytes, self._on_change = store, shelf, model_bytes, on_change
        self._wish: Wanted | Candidate | None = None
        self._asked = asyncio.Event()
        self._retry_seconds = FIRST_RETRY_SECONDS

    def start_from_disk(self) -> None:
        """Serve what served last, or, if its files are damaged, what served before it. Blocks; before any request."""
        for wanted in self._shelf.served():
            try:
                contents = self._shelf.take(wanted)
                if contents:
                    self.model = load_model(contents, wanted, *check_model(contents, wanted))
                    return
            except Unfit as problem:
                log.warning("%s:%s on disk is not usable: %s", wanted.model, wanted.version, problem.reason)

    def ask(self, wish: Wanted | Candidate | None) -> None:
        """Ask for a model; asking again for the same changes nothing.

        Args:
            wish: The model, or None to leave what serves, or a candidate that failed before it was even a model.
        """
        if wish != self._wish:
            self._wish, self._retry_seconds = wish, FIRST_RETRY_SECONDS
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
                case Wanted() as wanted if not self._serves(wanted):
                    await self._follow(wanted)
                case Candidate() as failed:
                    self._show(failed)
                case _:
                    self._show(None)

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
            log.exception("model %s:%s broke the device's code", wanted.model, wanted.version)
            self._fail(wanted, "failed", _unforeseen(error))
        else:
            if wanted == self._wish:
                await self._swap(model)

    async def _swap(self, model: Model) -> None:
        self.model = model
        self.swaps += 1
        self._show(None)
        try:
            await asyncio.to_thread(self._shelf.remember, model.wanted)
        except OSError as problem:
            log.warning("%s serves, but cannot be kept on disk: %s", model.wanted.version, problem)

    async def _wait_to_retry(self) -> None:
        try:
            async with asyncio.timeout(self._retry_seconds):
                await self._asked.wait()
        except TimeoutError:
            self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)
            self._asked.set()

    def _prepare(self, wanted: Wanted, loop: asyncio.AbstractEventLoop) -> Model:
        def enter(state: State) -> None:
            keep_going()
            loop.call_soon_threadsafe(self._enter, wanted, state)

        def keep_going() -> None:
            if wanted != self._wish:
                raise _Superseded

        enter("fetching")
        contents = self._shelf.take(wanted)
        fetched = contents is None
        if contents is None:
            contents = fetch(wanted, store=self._store, at_most_bytes=self._model_bytes, keep_going=keep_going)
        enter("checking")
        signature, profile = check_model(contents, wanted)
        enter("loading")
        model = load_model(contents, wanted, signature, profile)
        if fetched:
            self._keep(wanted, contents)
        return model

    def _keep(self, wanted: Wanted, contents: Contents) -> None:
        try:
            self._shelf.put(wanted, contents)
        except OSError as problem:
            raise Away(
                f"model {wanted.model}:{wanted.version} cannot be kept on disk",
                why=str(problem),
                fix="make room on the device's disk; the device tries again by itself",
            ) from problem

    def _serves(self, wanted: Wanted) -> bool:
        return self.model is not None and self.model.wanted.identity == wanted.identity

    def _enter(self, wanted: Wanted, state: State) -> None:
        if wanted == self._wish and not self._serves(wanted):
            self._show(Candidate(wanted.version, state))

    def _fail(self, wanted: Wanted, state: State, problem: Unfit | Away) -> None:
        log.warning("model %s:%s does not take over: %s", wanted.model, wanted.version, problem.reason)
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
