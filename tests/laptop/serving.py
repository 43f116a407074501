"""Real servers of a stack, in the test's own loop or, for the synchronous SDKs, in a thread of their own."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from laptop.stack import Stack
from tests.patience import HANGS_S

type Beside = Sequence[Callable[[], Coroutine[Any, Any, None]]]


def https_server(app: ASGIApp, stack: Stack, port: int) -> uvicorn.Server:
    """A server on one of the stack's TLS ports."""
    config = uvicorn.Config(app, host=stack.address, port=port, http="h11", ws="none", log_config=None)
    config.ssl_certfile, config.ssl_keyfile = str(stack.certificate), str(stack.private_key)
    return uvicorn.Server(config)


def http_server(app: ASGIApp, stack: Stack, port: int) -> uvicorn.Server:
    """A server on one of the stack's plain ports."""
    return uvicorn.Server(uvicorn.Config(app, host=stack.address, port=port, http="h11", ws="none", log_config=None))


def serving(*servers: uvicorn.Server, beside: Beside = ()) -> AbstractContextManager[asyncio.AbstractEventLoop]:
    """Run servers, and coroutines beside them, in a loop and thread of their own until the block ends."""
    return in_a_thread(running(*servers, beside=beside))


@contextmanager
def in_a_thread(opening: AbstractAsyncContextManager[object]) -> Iterator[asyncio.AbstractEventLoop]:
    """Hold something open in a loop and thread of its own until the block ends."""
    opened: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def hold_open() -> None:
        async with opening:
            ended = asyncio.Event()
            opened.set_result((asyncio.get_running_loop(), ended))
            await ended.wait()

    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(asyncio.run, hold_open())
        either: list[Future[Any]] = [opened, work]
        wait(either, return_when=FIRST_COMPLETED)
        if not opened.done():
            work.result()  # raises what kept it from opening
        loop, ended = opened.result()
        try:
            yield loop
        finally:
            loop.call_soon_threadsafe(ended.set)
        work.result()


@asynccontextmanager
async def running(*servers: uvicorn.Server, beside: Beside = ()) -> AsyncIterator[None]:
    """Run servers, and coroutines beside them, in this loop until the block ends."""
    helpers = [asyncio.ensure_future(run()) for run in beside]
    async with AsyncExitStack() as doors:
        try:
            for server in servers:
                await doors.enter_async_context(_open(server))
            yield
        finally:
            for helper in helpers:
                helper.cancel()
            outcomes = await asyncio.gather(*helpers, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failures:
        raise failures[0]


@asynccontextmanager
async def _open(server: uvicorn.Server) -> AsyncIterator[None]:
    """What uvicorn does to serve, without its signal handlers and its look at the clock ten times a second."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    await server.on_tick(0)  # gives the answers their date
    try:
        yield
    finally:
        for listener in server.servers:
            listener.close()
            listener.abort_clients()  # the SDKs, and what is left of an error, keep idle connections open
            await listener.wait_closed()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        await server.lifespan.shutdown()


def eventually(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds, and fail with a sentence when it does not in time."""
    deadline = time.monotonic() + HANGS_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.01)


def listens(address: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0
