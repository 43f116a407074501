"""Real servers in a thread of their own, so that the synchronous SDKs can be tried against them."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from laptop.stack import Stack

DEADLINE_S = 20.0


def https_server(app: ASGIApp, stack: Stack, port: int) -> uvicorn.Server:
    """A server on one of the stack's TLS ports."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=stack.address,
            port=port,
            ws="none",
            log_level="warning",
            ssl_certfile=stack.certificate,
            ssl_keyfile=stack.private_key,
        )
    )


def http_server(app: ASGIApp, stack: Stack, port: int) -> uvicorn.Server:
    """A server on one of the stack's plain ports."""
    return uvicorn.Server(uvicorn.Config(app, host=stack.address, port=port, ws="none", log_level="warning"))


@contextmanager
def serving(*servers: uvicorn.Server, beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()) -> Iterator[None]:
    """Run servers, and coroutines beside them in the same loop, until the block ends."""
    enough = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(servers, beside, enough)))
    thread.start()
    try:
        eventually(lambda: all(server.started for server in servers), "the servers did not start")
        yield
    finally:
        enough.set()
        thread.join()


async def _serve(
    servers: Sequence[uvicorn.Server],
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    enough: threading.Event,
) -> None:
    running = [asyncio.create_task(run()) for run in beside]
    serving = [asyncio.create_task(server.serve()) for server in servers]
    await asyncio.to_thread(enough.wait)
    for task in running:
        task.cancel()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # an SDK's error keeps its connection open until it is collected
        server.should_exit = True
    await asyncio.gather(*serving)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failures:
        raise failures[0]


def eventually(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds, and fail with a sentence when it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.01)
