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
    thread = threading.Thread(target=lambda: asyncio.run(_serve(servers, beside)))
    thread.start()
    try:
        eventually(lambda: all(server.started for server in servers), "the servers did not start")
        yield
    finally:
        for server in servers:
            server.should_exit = server.force_exit = True
        thread.join()


async def _serve(servers: Sequence[uvicorn.Server], beside: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    running = [asyncio.create_task(run()) for run in beside]
    await asyncio.gather(*(server.serve() for server in servers))
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # the client keeps it open: an SDK's error does, until it is collected
    for task in running:
        task.cancel()
    await asyncio.gather(*running, asyncio.sleep(0.01), return_exceptions=True)


def eventually(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds, and fail with a sentence when it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.01)
