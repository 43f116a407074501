"""`python -m edge`: the scoring endpoint and the module client, in one process and one event loop."""

import asyncio
import logging
import os
import signal
import sys

import uvicorn

from edge.app import scoring_app
from edge.device import Device
from edge.errors import Misconfigured
from edge.hub import EdgeHub, check_edge_environment
from edge.settings import Settings, settings_from
from edge.store import BlobStore

GRACE_SECONDS = 5  # for requests in flight; container runtimes kill after 10


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        check_edge_environment(os.environ)
        settings = settings_from(os.environ)
    except Misconfigured as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - a person at a console reads this
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # before and after uvicorn's own handlers: being asked to stop is no failure
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    device = Device(settings, store=BlobStore(settings.model_store_url), connect=EdgeHub)
    config = uvicorn.Config(
        scoring_app(device),
        host=settings.http_host,
        port=settings.http_port,
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    await uvicorn.Server(config).serve()


def _leave(_: int, __: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
