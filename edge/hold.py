"""Whether this site lets its model change right now: a file that the site puts there says that it does not.

A file needs no client and no network, outlives a restart, and can be looked at: a machine's controller touches it
before a run and removes it after.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Hold:
    """The site's say.

    Args:
        file: While it exists, the device keeps the model it has.
        on_change: Called when the say has changed.
    """

    def __init__(self, file: Path, on_change: Callable[[], None]) -> None:
        self._file, self._on_change = file, on_change
        self.switchable = not file.exists()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Read the site's say."""
        before, self.switchable = self.switchable, not self._file.exists()
        if before != self.switchable:
            log.info("%s: the model %s change", self._file, "may" if self.switchable else "must not")
            self._on_change()

    def say(self, *, switchable: bool) -> None:
        """Say it for the site.

        Raises:
            OSError: The file cannot be made or removed.
        """
        if switchable:
            self._file.unlink(missing_ok=True)
        else:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()
        self.look()
