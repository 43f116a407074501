"""What a device talks to, without a network: a model store in memory and a hub with one module."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

import msgspec

from edge.errors import Away, Changed, Unfit
from edge.hub import Answer, OnMethod
from edge.store import Part, path_inside
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
        self.reads: list[tuple[str, int]] = []  # file name, first byte
        self.cut_after: int | None = None  # bytes of an answer after which the line breaks
        self.away = False
        self.breaks: Exception | None = None  # what a bug in a client library would raise
        self.open = Event()  # cleared: every read waits
        self.open.set()

    def put(self, url: str, files: dict[str, bytes]) -> None:
        self.files.update({path_inside(self.url, url, name): content for name, content in files.items()})

    def read(self, url: str, name: str, *, start: int = 0, etag: str | None = None) -> Part:
        path = path_inside(self.url, url, name)
        self.read_paths.append(path)
        self.reads.append((name, start))
        if not self.open.wait(10):
            raise TimeoutError(f"the test never let anyone read {path}")
        if self.breaks:
            raise self.breaks
        if self.away:
            raise _away(path)
        if path not in self.files:
            raise Unfit(f"the model store has no {path}", why="BlobNotFound", fix="promote the model again")
        content = self.files[path]
        state = hashlib.sha256(content).hexdigest()
        if etag not in (None, state):
            raise Changed(f"{path} changed while it was read", why="ConditionNotMet", fix="wait")
        return Part(state, self._chunks(path, content[start:]))

    def _chunks(self, path: str, content: bytes) -> Iterator[bytes]:
        for at in range(0, len(content), 1_000):
            if self.cut_after is not None and at >= self.cut_after:
                raise _away(path)
            yield content[at : at + 1_000]


def _away(path: str) -> Away:
    return Away(f"the model store did not hand out {path}", why="no route to host", fix="wait")


@dataclass
class FakeHub:
    """One module's half of IoT Hub. It survives connections, as the real one does; `Line` is one connection."""

    desired: Document = field(default_factory=dict)
    version: int = 1
    reported: Document = field(default_factory=dict)
    reports: list[Document] = field(default_factory=list)
    messages: list[Document] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    away: bool = False
    breaks: Exception | None = None  # raised once, as a bug in the SDK would be
    connections: int = 0
    line: "Line | None" = None

    def connect(self) -> "Line":
        return Line(self)

    def deploy(self, model: object, *, slot: str = "model", heard: bool = True) -> None:
        """Set a desired property; `heard` says whether the push reaches the device."""
        self.desired, self.version = {**self.desired, slot: model}, self.version + 1
        if heard and self.line:
            self.line.on_desired({slot: model, "$version": self.version})

    async def call(self, method: str, payload: object = None) -> Answer:
        """Call a direct method of the module."""
        assert self.line, "the module is not connected"
        return await self.line.on_method(method, payload)

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
        self.on_method: OnMethod = _nobody_answers
        self.on_lost: Callable[[], None] = _nobody_lost

    async def open(
        self, *, on_desired: Callable[[Document], None], on_method: OnMethod, on_lost: Callable[[], None]
    ) -> None:
        breaks, self.hub.breaks = self.hub.breaks, None
        if breaks:
            raise breaks
        await self._answer()
        self.on_desired, self.on_method, self.on_lost = on_desired, on_method, on_lost
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

    async def send(self, message: bytes, *, id: str) -> None:  # noqa: A002 - as the port has it
        await self._answer()
        self.hub.ids.append(id)
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


async def _nobody_answers(name: str, _: object) -> Answer:
    raise AssertionError(f"{name} was called on a connection that was never opened")


def _nobody_lost() -> None:
    raise AssertionError("a connection was lost that was never opened")
