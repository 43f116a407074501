"""`python -m edge`: the scoring endpoint and the module client, in one process and one event loop."""

import logging
import os
import signal
import sys
from collections.abc import Callable

import uvicorn
import uvloop

from edge.app import ScoringApp
from edge.device import Device
from edge.errors import Misconfigured
from edge.hub import Hub, hub_of
from edge.sandbox import Sandbox
from edge.settings import Settings, settings_from
from edge.store import BlobStore

CONNECTIONS = 1_000  # more at once are told to come back: each may hold a body of 16 MiB
GRACE_SECONDS = 5  # for requests in flight; container runtimes kill after 10


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        connect = hub_of(os.environ)
        settings = settings_from(os.environ)
    except Misconfigured as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - a person at a console reads this
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # before and after uvicorn's own handlers: being asked to stop is no failure
    with Sandbox(mebibytes=settings.check_mebibytes, seconds=settings.check_seconds) as sandbox:
        uvloop.run(_serve(settings, sandbox, connect))
    return 0


async def _serve(settings: Settings, sandbox: Sandbox, connect: Callable[[], Hub]) -> None:
    device = Device(settings, store=BlobStore(settings.model_store_url), checker=sandbox, connect=connect)
    config = uvicorn.Config(
        ScoringApp(device),
        host=settings.http_host,
        port=settings.http_port,
        http="httptools",
        ws="none",
        lifespan="on",
        limit_concurrency=CONNECTIONS,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    await uvicorn.Server(config).serve()


def _leave(_: int, __: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
