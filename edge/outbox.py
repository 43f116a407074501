"""Telemetry that waits for the hub, on this device's disk: it outlives days offline, a restart and a loss of power.

One file per message, named by its place in the queue and its id. The room is limited; the oldest goes first.
"""

import logging
import re
from collections import deque
from pathlib import Path
from threading import Lock

from edge.shelf import sync, write

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?P<place>\d{12})-(?P<id>[0-9a-f]+-\d+)\.json\Z")


class Outbox:
    """Messages in the order they were made. Thread-safe.

    Args:
        folder: Where they wait; made if need be.
        most_messages: Beyond it the oldest is dropped and counted.
        most_bytes: Likewise, over all messages.
    """

    def __init__(self, folder: Path, *, most_messages: int, most_bytes: int) -> None:
        self._folder, self._most_messages, self._most_bytes = folder, most_messages, most_bytes
        self.dropped = 0
        self._files = deque[tuple[str, int]]()  # name, size in bytes; the oldest first
        self._bytes = self._next = 0
        self._lock = Lock()

    def open(self) -> None:
        """Find what waits from before. Blocks; before anything else is called.

        A disk that fails costs telemetry, which is counted, and not the endpoint.
        """
        try:
            self._find()
        except OSError as problem:
            log.warning("telemetry cannot be kept: %s", problem)

    def __len__(self) -> int:
        return len(self._files)

    def put(self, id: str, message: bytes) -> None:  # noqa: A002 - what the hub calls it
        """Keep a message; if it cannot be written, it is dropped and counted. Blocks.

        Args:
            id: Epoch and sequence, such as `5f0c-17`: the same message sent twice has it twice.
            message: UTF-8 JSON.
        """
        with self._lock:
            self._make_room(len(message))
            self._append(id, message)

    def oldest(self) -> tuple[str, bytes] | None:
        """Id and content of the message that is next; None when none waits. It stays until `done`. Blocks."""
        with self._lock:
            return self._first()

    def done(self, id: str) -> None:  # noqa: A002 - likewise
        """The hub has the message: forget it, unless it was dropped meanwhile. Blocks."""
        with self._lock:
            if self._files and _id(self._files[0][0]) == id:
                self._forget()

    def _find(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.iterdir()):
            found = _NAME.match(path.name)
            if found and path.stat().st_size:
                self._files.append((path.name, path.stat().st_size))
                self._bytes += path.stat().st_size
                self._next = int(found["place"]) + 1
            else:
                path.unlink()  # cut off while it was written
        self._make_room(0)

    def _append(self, id: str, message: bytes) -> None:  # noqa: A002 - likewise
        name = f"{self._next:012}-{id}.json"
        self._next += 1
        try:
            write(self._folder / f".{name}", message)
            (self._folder / f".{name}").rename(self._folder / name)
            sync(self._folder)
        except OSError as problem:
            log.warning("telemetry message %s is lost, the disk does not take it: %s", id, problem)
            self.dropped += 1
            return
        self._files.append((name, len(message)))
        self._bytes += len(message)

    def _first(self) -> tuple[str, bytes] | None:
        while self._files:
            name, _ = self._files[0]
            try:
                return _id(name), (self._folder / name).read_bytes()
            except OSError as problem:
                log.warning("telemetry message %s is lost, the disk does not give it back: %s", name, problem)
                self.dropped += 1
                self._forget()
        return None

    def _make_room(self, coming_bytes: int) -> None:
        coming = 1 if coming_bytes else 0
        while self._files and (
            len(self._files) + coming > self._most_messages or self._bytes + coming_bytes > self._most_bytes
        ):
            self._forget()
            self.dropped += 1

    def _forget(self) -> None:
        name, size_bytes = self._files.popleft()
        self._bytes -= size_bytes
        (self._folder / name).unlink(missing_ok=True)


def _id(name: str) -> str:
    return name.removesuffix(".json").partition("-")[2]
