"""`python -m edge`: the scoring endpoint and the module client, in one process and one event loop."""

import logging
import os
import signal
import sys
from collections.abc import Callable

import uvloop

from edge.app import ScoringApp
from edge.device import Device
from edge.errors import Misconfigured
from edge.hub import Hub, hub_of
from edge.sandbox import Sandbox
from edge.server import server
from edge.settings import Settings, settings_from
from edge.store import BlobStore


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
    await server(ScoringApp(device), host=settings.http_host, port=settings.http_port).serve()


def _leave(_: int, __: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
