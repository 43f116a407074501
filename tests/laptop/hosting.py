"""A Functions host as a process of its own, and what a test asks it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from laptop.stack import Stack
from tests.addresses import free_port
from tests.laptop.serving import eventually
from tests.patience import HANGS_S

APPS = Path(__file__).parent / "apps"


@dataclass(frozen=True, slots=True)
class RunningHost:
    """A host that is up."""

    url: str
    home: Path
    process: subprocess.Popen[str]
    client: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, f"{self.url}{path}", content=body, headers=named)

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return self.send("POST", path, json.dumps(body), **headers)

    def notify(self, function: str, events: object, *, door: str = "eventgrid") -> httpx.Response:
        """Deliver events as Event Grid does."""
        return self.post(f"/runtime/webhooks/{door}?functionName={function}", events, aeg_event_type="Notification")

    def invoke(self, function: str, text: object) -> httpx.Response:
        return self.post(f"/admin/functions/{function}", {"input": text})

    def figures(self, function: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/laptop/invocations").json()[function]
        return found

    def seen(self, prefix: str = "api") -> Any:  # noqa: ANN401 - each sample app tells its own
        return self.get(f"/{prefix}/seen").json()

    def log(self) -> str:
        return (self.home / "logs" / "host.log").read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def running_host(app: str, stack: Stack, **settings: str) -> Iterator[RunningHost]:
    """Run one of the sample apps until the block ends; fails with the host's own words if it does not start."""
    port = free_port(stack.address)
    process = start_host(app, stack, port, settings)
    client = httpx.Client(trust_env=False, verify=False)  # noqa: S501 - plain HTTP: saves reading the system's authorities
    host = RunningHost(f"http://{stack.address}:{port}", stack.home, process, client)
    try:
        eventually(lambda: process.poll() is not None or _answers(host), "the host did not answer")
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        yield host
    finally:
        client.close()
        process.terminate()
        process.communicate(timeout=HANGS_S)


def start_host(app: str, stack: Stack, port: int, settings: Mapping[str, str]) -> subprocess.Popen[str]:
    place = ["--address", stack.address, "--port", str(port), "--home", str(stack.home)]
    environment = {**os.environ, **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "laptop.host", "--app", str(APPS / app), *place],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answers(host: RunningHost) -> bool:
    with suppress(httpx.TransportError, json.JSONDecodeError):
        return bool(host.get("/admin/host/status").json()["state"] == "Running")
    return False
