"""Which model serves, and how the next one takes over: between two requests, when the site allows it.

Whatever fails, the old model keeps serving and the candidate says why.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from edge.errors import Unfit
from edge.following import Candidate, Following
from edge.hold import LOOK_SECONDS, Hold
from edge.model import Model, load_model
from edge.preparing import Preparation
from edge.shelf import Shunned
from edge.wanted import Wanted

log = logging.getLogger(__name__)

TRUSTED_SECONDS = 60.0  # a model that ends the process on live rows does so with one of the first
MOST_STARTS = 3  # with a model that ended the process each time; then the one before it serves


class NothingBefore(Exception):
    """There is no earlier model on this device's disk to go back to."""


class Serving(Following):
    """The model that serves.

    Args:
        preparation: Gets models ready.
        hold: Whether the site lets the model change.
        on_change: Called when what serves or what is asked for has changed.
    """

    def __init__(self, preparation: Preparation, *, hold: Hold, on_change: Callable[[], None]) -> None:
        super().__init__(preparation, slot="model", on_change=on_change)
        self.swaps = 0
        self._hold = hold
        self._shunned: Shunned | None = None

    def start_from_disk(self) -> None:
        """Serve what served last, or what served before it: if its files are damaged, or it keeps ending this process.

        Blocks; before any request.
        """
        served = self._shelf.served()
        self._shunned = self._shelf.shunned() or self._deadly(served)
        for wanted in sorted(served, key=self._shuns):  # one that is shunned is the last resort
            try:
                contents = self._shelf.take(wanted)
                if contents:
                    self.model = load_model(contents, wanted)
                    return
            except Unfit as problem:
                log.warning("%s on disk is not usable: %s", wanted, problem.reason)

    async def trust(self) -> None:
        """Believe in the model that serves once this process has lived with it for a while; for ever."""
        while True:
            model = self.model
            await asyncio.sleep(TRUSTED_SECONDS)
            if model is self.model:
                await asyncio.to_thread(self._shelf.trust)

    def stop(self) -> None:
        """Let a fetch or check in progress end; the process ends because it was asked to, and not by the model."""
        super().stop()
        with suppress(OSError):
            self._shelf.trust()

    def ask(self, wish: Wanted | Candidate | None) -> None:
        """Ask for a model; one that is shunned is not taken again until another one was asked for."""
        if isinstance(wish, Wanted) and self._shuns(wish):
            self.again()
            return
        self._shun(None)
        super().ask(wish)

    def roll_back(self) -> Wanted:
        """Go back to the model that served before this one, until another one is asked for.

        Returns:
            The model that will serve; it is loaded from disk in the background.

        Raises:
            NothingBefore: No earlier model is on disk, or this device has been rolled back already.
        """
        served = self._shelf.served()
        if self.model is None or self._shunned is not None or len(served) < 2:  # noqa: PLR2004 - this one and another
            raise NothingBefore
        left = self._wish if isinstance(self._wish, Wanted) else self.model.wanted
        self._shun(Shunned(left, "rolled back", "by a direct method on this device"))
        super().ask(served[1])
        return served[1]

    async def _place(self, model: Model) -> None:
        while self.model is not None and self._shunned is None and not self._hold.switchable:
            self._show(Candidate(model.wanted.version, "waiting", "it is ready; the site lets no model change now"))
            if await self._disturbed(LOOK_SECONDS):
                return
        await self._remember(model.wanted)  # first: what is reported as serving serves after a loss of power too
        if model.wanted == self._wish:
            self.model = model
            self.swaps += 1
            self._rest()
        elif self.model is not None:
            await self._remember(self.model.wanted)

    async def _remember(self, wanted: Wanted) -> None:
        try:
            await asyncio.to_thread(self._shelf.remember, wanted)
            await asyncio.to_thread(self._shelf.doubt, wanted)
        except OSError as problem:
            log.warning("%s cannot be kept on disk: %s", wanted, problem)

    def _rest(self) -> None:
        shunned = self._shunned
        self._show(Candidate(shunned.wanted.version, shunned.state, shunned.reason) if shunned else None)

    def _shuns(self, wanted: Wanted) -> bool:
        return self._shunned is not None and self._shunned.wanted.identity == wanted.identity

    def _shun(self, shunned: Shunned | None) -> None:
        if shunned != self._shunned:
            self._shunned = shunned
            self._shelf.shun(shunned)

    def _deadly(self, served: list[Wanted]) -> Shunned | None:
        """The model that served last, if this process ended soon after its start with it again and again."""
        try:
            if not served or self._shelf.doubt(served[0]) <= MOST_STARTS or len(served) == 1:
                return None
            reason = f"the process ended {MOST_STARTS} times within {TRUSTED_SECONDS:.0f} s of a start with this model"
            deadly = Shunned(served[0], "failed", reason)
            self._shelf.shun(deadly)
        except OSError as problem:
            log.warning("what happened at earlier starts cannot be kept on disk: %s", problem)
            return None
        log.error("%s is left for %s: %s", served[0], served[1], reason)
        return deadly
