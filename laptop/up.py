"""A whole stack, up and down: Azurite, the services, the Functions host and the devices, in the order they need."""

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import httpx

from laptop.processes import Processes
from laptop.provision import DEVICES, make_containers, register_devices
from laptop.settings import app_settings, secret_settings
from laptop.stack import CLAIM_PORT, PORTS, Stack
from laptop.storage.front import azurite
from laptop.tls import client_context, write_certificates

ADDRESSES = [f"127.0.0.{n}" for n in range(1, 21)]
PATIENCE_S = 120

type Progress = Callable[[str], None]


class CannotStart(Exception):
    """A stack cannot come up.

    Args:
        what: What failed.
        why: The cause as observed.
        fix: What the reader can do next.
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}\n  because: {why}\n  fix: {fix}")


@contextmanager
def claimed_stack(home: Path, address: str | None = None) -> Iterator[Stack]:
    """A stack on the given loopback address, or on the first one whose ports are all free; claimed while in the block.

    Raises:
        CannotStart: Ports are taken.
    """
    for candidate in [address] if address else ADDRESSES:
        stack = Stack(candidate, home)
        with socket.socket() as claim:
            try:
                claim.bind((candidate, CLAIM_PORT))
                claim.listen()
            except OSError:
                busy = [CLAIM_PORT]
            else:
                busy = stack.busy_ports()
            if not busy:
                yield stack
                return
        if address:
            why = f"these ports have another listener: {', '.join(map(str, busy))}"
            fix = "stop it (is another stack running?), or choose another address with --address 127.0.0.2"
            raise CannotStart(f"a stack cannot listen on {address}", why=why, fix=fix)
    why = f"on each of {ADDRESSES[0]} to {ADDRESSES[-1]} some of the ports {', '.join(map(str, PORTS))} are taken"
    raise CannotStart("no loopback address is free", why=why, fix="stop a stack that is running")


class Up:
    """A running stack; leaving the block ends every process it started.

    Args:
        stack: Where it lives; its state is kept there between runs.
        host: Run the Functions host too; without it, `func start` may.
        settings: App settings that differ from `laptop.settings`.
        progress: Told what comes up.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        host: bool = True,
        progress: Progress = print,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        stack.home.mkdir(parents=True, exist_ok=True)
        self._settings = {**app_settings(stack), **secret_settings(stack), **settings}
        self.stack, self._host, self._progress = stack, host, progress
        self.processes = Processes(stack)

    def __enter__(self) -> Self:
        """Start everything and wait until it answers."""
        try:
            self._start()
        except BaseException:
            self.processes.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """End everything, the last started first."""
        self.processes.stop()

    def check(self) -> None:
        """Raise if a process ended although nobody stopped it.

        Raises:
            CannotStart: It names the process and the end of its log.
        """
        name = self.processes.ended()
        if name:
            why, log = self.processes.tail(name), self.processes.log(name)
            raise CannotStart(f"{name} ended by itself", why=why, fix=f"read {log}, then start again")

    def _start(self) -> None:
        stack = self.stack
        write_certificates(stack)
        (stack.home / "azurite").mkdir(exist_ok=True)
        self._progress("storage: Azurite behind a front that emits events")
        self.processes.start("azurite", azurite(stack))
        self._progress("Event Grid, Azure Machine Learning, IoT Hub, identity")
        services = [] if self._host else ["--telemetry-by-event-grid"]
        self._python("cloud", "laptop.cloud", *services)
        self._wait(f"{stack.blob_url}?comp=list")
        self._wait(stack.table_url)
        self._wait(f"https://{stack.hub_hostname}/")
        if self._host:
            self._progress("the Functions host, with function_app.py")
            self._python("host", "laptop.host", "--app", ".", extra=self._settings)
        with ThreadPoolExecutor() as pool:
            self._progress("containers, devices, pipeline components: what a deployment does once")
            published = pool.submit(self.run, "components", "training.register_components")
            make_containers(stack)
            register_devices(stack)
            self._start_devices()
            published.result()
        if self._host:
            self._wait(f"{stack.host_url}/admin/host/status")

    def _start_devices(self) -> None:
        self._progress(f"devices: {', '.join(device.id for device in DEVICES)}")
        for device in DEVICES:
            self._python(f"device-{device.id}", "laptop.device", "--id", device.id, "--port", str(device.port))

    def run(self, name: str, module: str, *arguments: str) -> None:
        """Run a module of this project against the stack, to its end.

        Raises:
            RuntimeError: It failed.
        """
        self.processes.run(name, [sys.executable, "-m", module, *arguments], self._settings)

    def _python(self, name: str, module: str, *arguments: str, extra: dict[str, str] | None = None) -> None:
        place = ("--address", self.stack.address, "--home", str(self.stack.home))
        self.processes.start(name, [sys.executable, "-m", module, *place, *arguments], extra)

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        with httpx.Client(verify=client_context(self.stack), trust_env=False) as client:
            while time.monotonic() < deadline:
                self.check()
                try:
                    ready = not client.get(url).is_server_error  # a front answers 502 until what is behind it is up
                except httpx.TransportError:
                    ready = False
                if ready:
                    return
                time.sleep(0.05)
        raise CannotStart(
            f"{url} does not answer", why=f"tried for {PATIENCE_S} s", fix=f"read {self.stack.home}/logs/"
        )


def forget(home: Path) -> None:
    """Remove a stack's state."""
    shutil.rmtree(home, ignore_errors=True)
