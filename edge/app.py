"""The scoring endpoint: one small ASGI program for both hosts, uvicorn and the Azure Functions container."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.device import Device
from edge.errors import Refusal
from edge.model import Model, ScoringFailed

BODY_BYTES = 16 * 1024 * 1024
INLINE_BYTES = 64 * 1024  # a larger batch is scored in a thread, so that small ones need not wait for it
_encode = msgspec.json.Encoder().encode


def scoring_app(device: Device) -> Starlette:
    """The endpoint of one device; the device runs while the program does."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with device.running():
            yield

    endpoint = _Endpoint(device)
    return Starlette(
        routes=[
            Route("/score", endpoint.score, methods=["POST"]),
            Route("/health", endpoint.health),
            Route("/ready", endpoint.ready),
            Route("/metrics", endpoint.metrics),
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )


class _Endpoint:
    def __init__(self, device: Device) -> None:
        self._device = device

    async def score(self, request: Request) -> Response:
        device, model, started = self._device, self._device.serving.model, time.perf_counter()
        try:
            body = await _body(request)
            started = time.perf_counter()
            if model is None:
                raise _no_model()
            rows, scores = await _scored(model, body)
        except (Refusal, ScoringFailed) as problem:
            return self._refuse(problem, model, time.perf_counter() - started)
        reply = _json({"model": model.wanted.model, "version": model.wanted.version, "scores": scores.tolist()})
        seconds = time.perf_counter() - started
        device.telemetry.record(model, rows, scores, seconds)
        device.metrics.answered(len(rows), seconds)
        return reply

    async def health(self, _: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        model = self._device.serving.model
        if model is None:
            return _error(_no_model())
        return _json({"status": "ready", "model": model.wanted.model, "version": model.wanted.version})

    async def metrics(self, _: Request) -> Response:
        return Response(self._device.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _refuse(self, problem: Refusal | ScoringFailed, model: Model | None, seconds: float) -> Response:
        refusal = problem if isinstance(problem, Refusal) else _model_failed(problem)
        self._device.metrics.refused(refusal.code)
        if model is not None:
            self._device.telemetry.fail(model, seconds)
        return _error(refusal)


async def _scored(model: Model, body: bytes) -> tuple[list[Any], NDArray[np.float32]]:
    def score() -> tuple[list[Any], NDArray[np.float32]]:
        rows = model.signature.read(body)
        return rows, model.score(rows)

    return score() if len(body) <= INLINE_BYTES else await asyncio.to_thread(score)


async def _body(request: Request) -> bytes:
    chunks, size_bytes, more = list[bytes](), 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refusal(
                "the request did not arrive",
                why="its sender hung up",
                fix="send it again",
                status=400,
                code="INCOMPLETE",
            )
        chunks.append(message.get("body", b""))
        size_bytes, more = size_bytes + len(chunks[-1]), message.get("more_body", False)
        if size_bytes > BODY_BYTES:
            raise Refusal(
                "the request is too large",
                why=f"a request may have {BODY_BYTES} bytes",
                fix="split the rows over several requests",
                status=413,
                code="TOO_LARGE",
            )
    return b"".join(chunks)


def _json(content: object, status: int = 200) -> Response:
    return Response(_encode(content), status, media_type="application/json")


def _error(refusal: Refusal) -> Response:
    error = {"code": refusal.code, "message": str(refusal)}
    if refusal.field:
        error["field"] = refusal.field
    return _json({"error": error}, refusal.status)


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


async def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(
        Refusal(
            "there is nothing to answer here",
            why=str(error),
            fix="POST /score, GET /health, GET /ready or GET /metrics",
            status=status,
            code="NOT_FOUND" if status == HTTPStatus.NOT_FOUND else "NOT_ALLOWED",
        )
    )
