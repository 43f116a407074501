"""The scoring endpoint: one small ASGI program for both hosts, uvicorn and the Azure Functions container.

Written against ASGI itself: a framework's routing and request objects would cost more than reading the rows does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import outcomes
from edge.device import Device
from edge.errors import Refusal
from edge.model import Model, ScoringFailed
from edge.signature import Batch

BODY_BYTES = 16 * 1024 * 1024
BODY_SECONDS = 30.0  # from the head of a request to the end of its body: nobody may hold a connection for ever
INLINE_BYTES = 64 * 1024  # a larger batch is scored in a thread, so that small ones need not wait for it
POSTS = ("/score", "/outcomes")
JSON = b"application/json"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
SHUT = ((b"connection", b"close"),)  # what is left of a body that nobody reads would be taken for the next request
_encode = msgspec.json.Encoder().encode

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Headers = tuple[tuple[bytes, bytes], ...]


class ScoringApp:
    """The endpoint of one device; the device runs while the program does.

    Args:
        device: What scores, and what is told about it.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._gets = {"/health": self._health, "/ready": self._ready, "/metrics": self._metrics}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or start and stop with the host.

        Source: ASGI 3.0, HTTP and Lifespan protocols.
        """
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/score" and scope["method"] == "POST":
            await self._score(scope, receive, send)
        elif scope["path"] == "/outcomes" and scope["method"] == "POST":
            await self._learn(scope, receive, send)
        else:
            await self._get(scope, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._device.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _score(self, scope: Message, receive: Receive, send: Send) -> None:
        device, model, started = self._device, self._device.serving.model, time.perf_counter()
        try:
            body = await _body(scope["headers"], receive)
            started = time.perf_counter()
            if model is None:
                raise _no_model()
            batch, scores = await _scored(model, body)
        except (Refusal, ScoringFailed) as problem:
            refusal = problem if isinstance(problem, Refusal) else _model_failed(problem)
            device.refused(model, refusal.code, time.perf_counter() - started)
            await _refuse(send, refusal)
            return
        reply = model.head + _encode(scores.tolist()) + b"}"
        seconds = time.perf_counter() - started
        await _answer(send, 200, reply)
        device.answered(model, batch, scores, seconds)

    async def _learn(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            told = outcomes.read(await _body(scope["headers"], receive))
        except Refusal as refusal:
            await _refuse(send, refusal)
            return
        await _answer(send, 200, _encode(await self._device.learn(told)))

    async def _get(self, scope: Message, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path in self._gets and method in ("GET", "HEAD"):
            await self._gets[path](send)
        elif path in self._gets or path in POSTS:
            allowed = "POST" if path in POSTS else "GET, HEAD"
            await _refuse(send, _nothing_here(405, f"{method} {path} is not served"), ((b"allow", allowed.encode()),))
        else:
            await _refuse(send, _nothing_here(404, f"there is no {path}"))

    async def _health(self, send: Send) -> None:
        await _answer(send, 200, _encode({"status": "alive"}))

    async def _ready(self, send: Send) -> None:
        model = self._device.serving.model
        if model is None:
            await _refuse(send, _no_model())
        else:
            ready = {"status": "ready", "model": model.wanted.model, "version": model.wanted.version}
            await _answer(send, 200, _encode(ready))

    async def _metrics(self, send: Send) -> None:
        await _answer(send, 200, self._device.metrics.text(), kind=PROMETHEUS)


async def _scored(model: Model, body: bytes) -> tuple[Batch, NDArray[np.float32]]:
    def score() -> tuple[Batch, NDArray[np.float32]]:
        batch = model.signature.read(body)
        return batch, model.score(batch)

    return score() if len(body) <= INLINE_BYTES else await asyncio.to_thread(score)


async def _body(headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes:
    _check_headers({name.lower(): value for name, value in headers})
    chunks, size_bytes = list[bytes](), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _incomplete("its sender hung up", status=400)
                chunk: bytes = message.get("body", b"")
                size_bytes += len(chunk)
                if size_bytes > BODY_BYTES:
                    raise _too_large()
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunk if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError:
        raise _incomplete(f"its body had {BODY_SECONDS:.0f} s to arrive", status=408) from None


def _check_headers(headers: dict[bytes, bytes]) -> None:
    kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if kind != JSON or coding != b"identity":
        raise Refusal(
            "the request's body is of a kind that is not read here",
            why=f"content-type is {_shown(kind)}, content-encoding {_shown(coding)}",
            fix="send application/json, not compressed",
            status=415,
            code="UNSUPPORTED_MEDIA_TYPE",
        )
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and (len(length) > len(str(BODY_BYTES)) or int(length) > BODY_BYTES):
        raise _too_large()


def _shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))


async def _answer(send: Send, status: int, body: bytes, *, kind: bytes = JSON, more: Headers = ()) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(send: Send, refusal: Refusal, more: Headers = ()) -> None:
    error = {"code": refusal.code, "message": str(refusal)}
    if refusal.field:
        error["field"] = refusal.field
    unread = refusal.code in ("TOO_LARGE", "INCOMPLETE", "UNSUPPORTED_MEDIA_TYPE")
    await _answer(send, refusal.status, _encode({"error": error}), more=SHUT if unread else more)


def _too_large() -> Refusal:
    return Refusal(
        "the request is too large",
        why=f"a request may have {BODY_BYTES} bytes",
        fix="split the rows over several requests",
        status=413,
        code="TOO_LARGE",
    )


def _incomplete(why: str, *, status: int) -> Refusal:
    return Refusal("the request did not arrive", why=why, fix="send it again", status=status, code="INCOMPLETE")


def _no_model() -> Refusal:
    return Refusal(
        "no model serves on this device yet",
        why="none was on disk, and none has arrived",
        fix="deploy a model to this device; GET /ready answers 200 once it serves",
        status=503,
        code="NO_MODEL",
    )


def _model_failed(problem: ScoringFailed) -> Refusal:
    return Refusal(problem.what, why=problem.why, fix=problem.fix, status=500, code="MODEL_FAILED")


def _nothing_here(status: int, why: str) -> Refusal:
    return Refusal(
        "there is nothing to answer here",
        why=why,
        fix="POST /score, POST /outcomes, GET /health, GET /ready or GET /metrics",
        status=status,
        code="NOT_FOUND" if status == 404 else "NOT_ALLOWED",  # noqa: PLR2004 - as HTTP has them
    )
