"""Which model serves, and how the next one takes over: between two requests, when the site allows it.

Whatever fails, the old model keeps serving and the candidate says why.
"""

import asyncio
import logging
from collections.abc import Callable

from edge.errors import Unfit
from edge.following import Candidate, Following
from edge.hold import LOOK_SECONDS, Hold
from edge.model import Model, load_model
from edge.preparing import Preparation
from edge.wanted import Wanted

log = logging.getLogger(__name__)


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
        self._shunned: Wanted | None = None

    def start_from_disk(self) -> None:
        """Serve what served last, or, if its files are damaged, what served before it. Blocks; before any request."""
        self._shunned = self._shelf.shunned()
        for wanted in self._shelf.served():
            try:
                contents = self._shelf.take(wanted)
                if contents:
                    self.model = load_model(contents, wanted)
                    return
            except Unfit as problem:
                log.warning("%s on disk is not usable: %s", wanted, problem.reason)

    def ask(self, wish: Wanted | Candidate | None) -> None:
        """Ask for a model; what this device was rolled back from is not taken again until another one was asked for."""
        if self._shunned is not None and isinstance(wish, Wanted) and wish.identity == self._shunned.identity:
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
        self._shun(self._wish if isinstance(self._wish, Wanted) else self.model.wanted)
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
        except OSError as problem:
            log.warning("%s cannot be kept on disk: %s", wanted, problem)

    def _rest(self) -> None:
        shunned = self._shunned
        self._show(Candidate(shunned.version, "rolled back", "by a direct method on this device") if shunned else None)

    def _shun(self, wanted: Wanted | None) -> None:
        if wanted != self._shunned:
            self._shunned = wanted
            self._shelf.shun(wanted)
