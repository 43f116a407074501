"""What a device talks to, without a network: a model store in memory and a hub with one module."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

import msgspec

from edge.errors import Away, Unfit
from edge.store import path_inside
from edge.twin import Document


class FakeStore:
    """Model files by path; it can be out of reach, and it can be slow.

    Args:
        url: Where it claims to be.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.read_paths: list[str] = []
        self.away = False
        self.breaks: Exception | None = None  # what a bug in a client library would raise
        self.open = Event()  # cleared: every read waits
        self.open.set()

    def put(self, url: str, files: dict[str, bytes]) -> None:
        self.files.update({path_inside(self.url, url, name): content for name, content in files.items()})

    def read(self, url: str, name: str) -> Iterator[bytes]:
        path = path_inside(self.url, url, name)
        self.read_paths.append(path)
        if not self.open.wait(10):
            raise TimeoutError(f"the test never let anyone read {path}")
        if self.breaks:
            raise self.breaks
        if self.away:
            raise Away(f"the model store did not hand out {path}", why="no route to host", fix="wait")
        if path not in self.files:
            raise Unfit(f"the model store has no {path}", why="BlobNotFound", fix="promote the model again")
        content = self.files[path]
        for start in range(0, len(content), 1_000):
            yield content[start : start + 1_000]


@dataclass
class FakeHub:
    """One module's half of IoT Hub. It survives connections, as the real one does; `Line` is one connection."""

    desired: Document = field(default_factory=dict)
    version: int = 1
    reported: Document = field(default_factory=dict)
    reports: list[Document] = field(default_factory=list)
    messages: list[Document] = field(default_factory=list)
    away: bool = False
    breaks: Exception | None = None  # raised once, as a bug in the SDK would be
    connections: int = 0
    line: "Line | None" = None

    def connect(self) -> "Line":
        return Line(self)

    def deploy(self, model: object, *, heard: bool = True) -> None:
        """Set the desired property; `heard` says whether the push reaches the device."""
        self.desired, self.version = {**self.desired, "model": model}, self.version + 1
        if heard and self.line:
            self.line.on_desired({"model": model, "$version": self.version})

    def repeat(self) -> None:
        """Push what is desired once more, as after a reconnect."""
        if self.line:
            self.line.on_desired({**self.desired, "$version": self.version})

    def hang_up(self) -> None:
        """Drop the connection."""
        if self.line:
            self.line.dead = True
            self.line.on_lost()


class Line:
    """One connection to a FakeHub."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub, self.dead = hub, False
        self.on_desired: Callable[[Document], None] = _nobody
        self.on_lost: Callable[[], None] = _nobody_lost

    async def open(self, *, on_desired: Callable[[Document], None], on_lost: Callable[[], None]) -> None:
        breaks, self.hub.breaks = self.hub.breaks, None
        if breaks:
            raise breaks
        await self._answer()
        self.on_desired, self.on_lost = on_desired, on_lost
        self.hub.line, self.hub.connections = self, self.hub.connections + 1

    async def twin(self) -> Document:
        await self._answer()
        return {**self.hub.desired, "$version": self.hub.version}

    async def report(self, properties: Document) -> None:
        await self._answer()
        self.hub.reports.append(properties)
        self.hub.reported = {
            name: value for name, value in (self.hub.reported | properties).items() if value is not None
        }

    async def send(self, message: bytes) -> None:
        await self._answer()
        self.hub.messages.append(msgspec.json.decode(message))

    async def close(self) -> None:
        self.dead = True
        if self.hub.line is self:
            self.hub.line = None

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.hub.away or self.dead:
            raise Away("IoT Hub did not answer", why="no route to host", fix="wait")


def _nobody(_: Document) -> None:
    raise AssertionError("a patch arrived on a connection that was never opened")


def _nobody_lost() -> None:
    raise AssertionError("a connection was lost that was never opened")
