"""The scoring endpoint: one small ASGI program for both hosts, uvicorn and the Azure Functions container.

Written against ASGI itself: a framework's routing and request objects would cost more than reading the rows does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import outcomes
from edge.device import Device
from edge.errors import Refusal, document
from edge.model import Model, ScoringFailed
from edge.signature import Batch

BODY_BYTES = 16 * 1024 * 1024
SMALL_BYTES = 64 * 1024  # a larger body waits for its turn and is worked on in a thread: small ones do not wait for it
LARGE = 8  # larger ones that are read or worked on at a time: what they take of the memory is bounded
THREADS = 2  # more would only make each other, and the small ones, wait for the interpreter
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
        self._large, self._threads = asyncio.Semaphore(LARGE), ThreadPoolExecutor(THREADS, "large")
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
        device, serving, started = self._device, self._device.serving.model, time.perf_counter()

        def score(body: bytes) -> tuple[Model, Batch, NDArray[np.float32]]:
            nonlocal started
            started = time.perf_counter()  # whether its body came fast or slowly, or waited for its turn, is not ours
            return _scored(serving, body)

        try:
            model, batch, scores = await self._done(score, scope, receive)
        except (Refusal, ScoringFailed) as problem:
            refusal = problem if isinstance(problem, Refusal) else _model_failed(problem)
            device.refused(serving, refusal.code, time.perf_counter() - started)
            await _refuse(send, refusal)
            return
        reply = model.head + _encode(scores.tolist()) + b"}"
        seconds = time.perf_counter() - started
        await _answer(send, 200, reply)
        device.answered(model, batch, scores, seconds)

    async def _learn(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            told = await self._done(outcomes.read, scope, receive)
        except Refusal as refusal:
            await _refuse(send, refusal)
            return
        await _answer(send, 200, _encode(await self._device.learn(told)))

    async def _done[Result](self, work: Callable[[bytes], Result], scope: Message, receive: Receive) -> Result:
        """Read a body, and do something with it: between two requests if it is small."""
        _check_headers(dict(scope["headers"]))
        body, more = await _read(receive, SMALL_BYTES)
        if not more and len(body) <= SMALL_BYTES:
            return work(body)
        async with self._large:
            if more:
                rest, _ = await _read(receive, BODY_BYTES - len(body))
                body += rest
            if len(body) > BODY_BYTES:
                raise _too_large()
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, body)

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


async def _read(receive: Receive, most_bytes: int) -> tuple[bytes, bool]:
    """What comes of a body until it has more than so many bytes, and whether there is more of it."""
    chunks, size_bytes, more = list[bytes](), 0, True
    while more and size_bytes <= most_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _incomplete()
        chunks.append(message.get("body", b""))
        size_bytes += len(chunks[-1])
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks), more


def _scored(model: Model | None, body: bytes) -> tuple[Model, Batch, NDArray[np.float32]]:
    if model is None:
        raise _no_model()
    batch = model.signature.read(body)
    return model, batch, model.score(batch)


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
    unread = refusal.code in ("TOO_LARGE", "INCOMPLETE", "UNSUPPORTED_MEDIA_TYPE")
    await _answer(send, refusal.status, document(refusal), more=SHUT if unread else more)


def _too_large() -> Refusal:
    return Refusal(
        "the request is too large",
        why=f"a request may have {BODY_BYTES} bytes",
        fix="split the rows over several requests",
        status=413,
        code="TOO_LARGE",
    )


def _incomplete() -> Refusal:
    return Refusal(
        "the request did not arrive", why="its sender hung up", fix="send it again", status=400, code="INCOMPLETE"
    )


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
