"""What must happen before a model may take over: fetch, check, try in a sandbox, load, warm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.errors import Away, Unfit
from edge.fetch import fetch
from edge.keys import Keyring
from edge.model import Model, load_model
from edge.sandbox import Checker
from edge.shelf import Shelf
from edge.store import Store
from edge.wanted import Wanted

Stage = Literal["fetching", "checking", "loading"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """Gets models ready; blocks, and is called from threads, so that scoring never waits.

    Args:
        store: Where models come from.
        shelf: Where they are kept on this device.
        keys: Whose models are taken.
        checker: Tries a model before it is loaded here.
        model_bytes: The largest file of a model this device takes, bytes.
    """

    store: Store
    shelf: Shelf
    keys: Keyring
    checker: Checker
    model_bytes: int

    def prepare(self, wanted: Wanted, *, enter: Callable[[Stage], None], keep_going: Callable[[], None]) -> Model:
        """Get a model ready, from this device's disk if it is there.

        Args:
            wanted: The model asked for.
            enter: Told which stage begins.
            keep_going: Called again and again; raises what should end the work.

        Raises:
            Unfit: The model will never do.
            Away: Something is out of reach right now.
        """
        enter("fetching")
        try:
            contents = self.shelf.take(wanted)
            if contents is None:
                self._bring(wanted, enter=enter, keep_going=keep_going)
                contents = self.shelf.take(wanted)
        except Unfit:
            self.shelf.give_up(wanted)
            raise
        except OSError as problem:
            raise _no_disk(wanted, str(problem)) from problem
        if contents is None:
            raise _no_disk(wanted, "its files changed on the disk")
        keep_going()
        enter("loading")
        return load_model(contents, wanted)

    def _bring(self, wanted: Wanted, *, enter: Callable[[Stage], None], keep_going: Callable[[], None]) -> None:
        folder = self.shelf.arriving(wanted)
        fetch(wanted, folder, store=self.store, keys=self.keys, at_most_bytes=self.model_bytes, keep_going=keep_going)
        enter("checking")
        self.checker.check(folder, wanted)
        keep_going()
        self.shelf.settle(wanted)


def _no_disk(wanted: Wanted, why: str) -> Away:
    return Away(
        f"model {wanted} cannot be kept on disk",
        why=why,
        fix="make room on the device's disk; the device tries again by itself",
    )
