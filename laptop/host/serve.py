"""The Functions host: what `func start` is, on Microsoft's own Python worker library.

Run as `python -m laptop.host --app DIR --address A --home H`. It serves one app at
func start's addresses, without keys.
"""

import argparse
import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from laptop.host import worker
from laptop.host.admin import Admin
from laptop.host.bindings import bind
from laptop.host.blobs import blob_triggers
from laptop.host.client import Client
from laptop.host.http_trigger import HttpFunctions
from laptop.host.invocations import Invocations
from laptop.host.lifetime import leave_with_parent
from laptop.host.listeners import Listen, Listeners
from laptop.host.log import open_log
from laptop.host.outputs import Outputs
from laptop.host.queues import QueueOptions
from laptop.host.routes import FunctionRoute, Routes
from laptop.host.settings import CannotStart, Settings, apply_local_settings, read_host_json
from laptop.host.state import State
from laptop.host.web import table, web
from laptop.host.webhooks import BlobWebhook, EventGridWebhook
from laptop.host.work import Work
from laptop.host.worker import Function
from laptop.stack import HOST_PORT, Stack

_GRACE_SECONDS = 5
_KEEP_ALIVE_SECONDS = 300  # longer than any caller's pool, so that no delivery meets a connection that is just closing
_log = logging.getLogger("host")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one host runs.

    Args:
        app: The app's folder.
        home: The stack's folder.
        address: The loopback address it listens on.
        port: The port it listens on.
    """

    app: Path
    home: Path
    address: str
    port: int

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Host:
    """One app, wired.

    Args:
        web: Its HTTP side.
        listeners: What waits for timers, queues and event hubs.
        invocations: What runs its functions.
        client: Its connections to the rest of the stack.
        table: One line per function, to print.
    """

    web: Starlette
    listeners: Sequence[Listen]
    invocations: Invocations
    client: Client
    table: Sequence[str]


def assemble(functions: Sequence[Function], place: Place) -> Host:
    """Wire an app.

    Raises:
        CannotStart: host.json or a binding is unusable, or a setting is missing.
    """
    settings, host_json = Settings(), read_host_json(place.app)
    client = Client(settings)
    disabled = [one.name for one in functions if settings.is_disabled(one.name)]
    outputs = Outputs(settings, client, host_json)
    enabled = bind([one for one in functions if one.name not in disabled], settings, outputs.check)
    invocations = Invocations(functions, Work(), outputs, timeout_seconds=host_json.timeout_seconds)
    prefix, options = host_json.extensions.http.route_prefix, QueueOptions.of(host_json)
    routes = [FunctionRoute.of(one, prefix) for one in enabled if one.trigger.kind == "httpTrigger"]
    blobs = blob_triggers(enabled, invocations, client, settings=settings, options=options)
    listeners = Listeners(settings, host_json, invocations, client, State(place.home / "host")).of(enabled)
    known = {one.name: one for one in [*functions, *enabled]}
    admin = Admin(
        known,
        invocations,
        blobs=blobs,
        disabled=disabled,
        urls={route.function.name: f"{place.url}{route.path}" for route in routes},
        host_id=hashlib.sha256(str(place.app).encode()).hexdigest()[:32],
    )
    return Host(
        web=web(
            admin,
            EventGridWebhook(enabled, invocations),
            BlobWebhook(blobs),
            HttpFunctions(Routes(routes), invocations),
        ),
        listeners=[*listeners, *([blobs.listen] if blobs else [])],
        invocations=invocations,
        client=client,
        table=table([*known.values()], routes, place.url, disabled),
    )


async def serve(host: Host, door: socket.socket) -> bool:
    """Serve until SIGINT or SIGTERM, then finish what is running.

    Returns:
        Whether everything ended in time.
    """
    server = _Server(
        uvicorn.Config(
            host.web,
            http="h11",
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    async with asyncio.TaskGroup() as group:
        listeners = [group.create_task(_keep_listening(listen)) for listen in host.listeners]

        def stop() -> None:
            for listener in listeners:
                listener.cancel()
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        await server.serve(sockets=[door])
    await host.invocations.work.stop(_GRACE_SECONDS)
    host.client.close()
    return await worker.stop(_GRACE_SECONDS)


async def _keep_listening(listen: Listen) -> None:
    await listen()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process by the signal instead of with a status."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the host."""
        yield


def open_door(address: str, port: int) -> socket.socket:
    """Take the port before the app loads.

    Raises:
        CannotStart: It is taken.
    """
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((address, port))
        door.listen(1)  # without it a second host could bind the same port
    except OSError as problem:
        door.close()
        raise CannotStart(
            f"the Functions host cannot listen on {address}:{port}",
            why=str(problem),
            fix="stop the process that has the port, or choose another with --port",
        ) from problem
    return door


async def _run(place: Place, *, verbose: bool) -> bool:
    if not place.app.is_dir():
        raise CannotStart(f"there is no app in {place.app}", why="no such folder", fix="name it with --app")
    door = open_door(place.address, place.port)
    _prepare_environment(place)
    open_log(place.home, worker.current, verbose=verbose)
    host = assemble(await worker.load(place.app), place)
    print("\nFunctions:\n", *host.table, sep="\n  ", end="\n\n", flush=True)
    return await serve(host, door)


def _prepare_environment(place: Place) -> None:
    """Settings as the app will see them: the environment first, then local.settings.json, then the stack's own."""
    apply_local_settings(place.app, os.environ)
    stack = Stack(place.address, place.home)
    own = {"WEBSITE_HOSTNAME": f"{place.address}:{place.port}", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    for name, value in (own | (stack.sdk_environment() if stack.authority.exists() else {})).items():
        os.environ.setdefault(name, value)
    os.chdir(place.app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the host; the exit status says whether it started and ended well."""
    parser = argparse.ArgumentParser(prog="laptop.host", description="Run a function app as `func start` would.")
    parser.add_argument("--app", type=Path, required=True, help="folder with function_app.py")
    parser.add_argument("--address", required=True, help="loopback address to listen on")
    parser.add_argument("--home", type=Path, required=True, help="folder with the stack's state, certificates and logs")
    parser.add_argument("--port", type=int, default=HOST_PORT)
    parser.add_argument("--verbose", action="store_true", help="show the log on the terminal too")
    given = parser.parse_args(arguments)
    place = Place(given.app.resolve(), given.home.resolve(), given.address, given.port)
    leave_with_parent(_GRACE_SECONDS * 3)
    try:
        ended = asyncio.run(_run(place, verbose=given.verbose))
    except CannotStart as problem:
        print(f"\n{problem}\n{problem.details}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # while the app was loading
    if not ended:
        _log.warning("a function is still running; leaving without it")
        logging.shutdown()
        os._exit(0)
    return 0
