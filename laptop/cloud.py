"""`python -m laptop.cloud`: every service of a stack but storage and the host, in one process and one loop."""

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Generator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from laptop.arm import ResourceManager
from laptop.event_grid.relay import EventGrid
from laptop.identity import Identity
from laptop.iot_hub.hub import IotHub
from laptop.ml.workspace import MlWorkspace
from laptop.registry import Registry
from laptop.stack import BLOB_PORT, EVENT_GRID_PORT, HUB_PORT, IDENTITY_PORT, ML_PORT, REGISTRY_PORT, Stack
from laptop.storage.front import front
from laptop.subscriptions import subscriptions


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to the process, which runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(stack: Stack, *, telemetry_by_event_grid: bool) -> None:
    """Run the services until cancelled.

    Args:
        stack: Whose services; certificates must be there.
        telemetry_by_event_grid: Deliver device telemetry by Event Grid too, for a host that reads no Event Hubs.
    """
    identity = Identity(stack)
    grid = EventGrid(stack, subscriptions(stack, telemetry=telemetry_by_event_grid), identity)
    workspace, hub = MlWorkspace(stack, identity, grid.emit), IotHub(stack, identity, grid.emit)
    registry = Registry(stack, identity, stack.registry_url)
    manager = ResourceManager(stack, identity, grid, others=[registry.app(), workspace.app()])
    servers = [
        _server(stack, front(stack, grid.emit), BLOB_PORT),
        _server(stack, grid.app(), EVENT_GRID_PORT),
        _server(stack, workspace.app(), ML_PORT),
        _server(stack, hub.app(), HUB_PORT),
        _server(stack, manager.app(), REGISTRY_PORT),
        _server(stack, identity.app(), IDENTITY_PORT, tls=False),
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(server.serve())
            for service in (grid, workspace, hub):
                tasks.create_task(service.run())
    finally:
        grid.close()


def _server(stack: Stack, app: ASGIApp, port: int, *, tls: bool = True) -> _Server:
    certificate = {"ssl_certfile": str(stack.certificate), "ssl_keyfile": str(stack.private_key)} if tls else {}
    return _Server(
        uvicorn.Config(
            app,
            host=stack.address,
            port=port,
            http="h11",
            access_log=False,
            log_config=None,
            timeout_keep_alive=300,
            timeout_graceful_shutdown=2,
            **certificate,  # type: ignore[arg-type] # mypy takes the mapping for every argument's type
        )
    )


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="laptop.cloud")
    parser.add_argument("--address", required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--telemetry-by-event-grid", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "azure"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(_until_stopped(Stack(given.address, given.home), by_event_grid=given.telemetry_by_event_grid))


async def _until_stopped(stack: Stack, *, by_event_grid: bool) -> None:
    services = asyncio.create_task(serve(stack, telemetry_by_event_grid=by_event_grid))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, services.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await services


if __name__ == "__main__":
    main()
