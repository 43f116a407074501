"""`python -m laptop.device`: one edge device as a process.

It does what the IoT Edge runtime does for a module: makes its identity, reads the environment the deployment gives it,
remembers both for the days without a cloud, and then becomes the module, unchanged: `python -m edge`.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from laptop.identity import Identity
from laptop.iot_hub.api import API_VERSION, AUDIENCE
from laptop.stack import Stack
from laptop.tls import client_context

MODULE = "inference"
PATIENCE_SECONDS = 60.0


class NoDeployment(Exception):
    """The device has nothing to run.

    Args:
        what: What is missing.
        why: The cause as observed.
        fix: What the reader can do next.
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}\n  because: {why}\n  fix: {fix}")


def module_environment(stack: Stack, device: str, *, port: int) -> dict[str, str]:
    """What the IoT Edge runtime of a device sets for its inference module.

    Args:
        stack: The cloud the device belongs to; it need not be up if the device has run before.
        device: The device's id, registered in the stack's hub.
        port: Where the module answers scoring requests, on the stack's address.

    Raises:
        NoDeployment: The hub gives this device nothing to run, and never has.
    """
    home = stack.home / "devices" / device
    given = _given(stack, device, remembered=home / "given.json")
    connection = {
        "HostName": stack.address,
        "DeviceId": device,
        "ModuleId": MODULE,
        "SharedAccessKey": given["key"],
        "GatewayHostName": stack.address,
    }
    return {
        **given["environment"],
        "EdgeHubConnectionString": ";".join(f"{name}={value}" for name, value in connection.items()),
        "EdgeModuleCACertificateFile": str(stack.authority),
        "HTTP_HOST": stack.address,
        "HTTP_PORT": str(port),
        "MODEL_FOLDER": str(home / "models"),
    }


def _given(stack: Stack, device: str, *, remembered: Path) -> dict[str, Any]:
    """The module's key and environment as the hub gives them, or gave them last when it is away."""
    try:
        with _hub(stack) as hub:
            given = {"key": _module_key(hub, device), "environment": _await_environment(hub, device)}
    except httpx.TransportError as problem:
        if not remembered.exists():
            raise NoDeployment(
                f"device {device} has nothing to run",
                why=f"it never ran before, and the hub does not answer: {problem}",
                fix="start the stack first: refluent up",
            ) from problem
        known: dict[str, Any] = json.loads(remembered.read_text())
        return known
    remembered.parent.mkdir(parents=True, exist_ok=True)
    draft = remembered.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(given))
    draft.replace(remembered)
    return given


def _hub(stack: Stack) -> httpx.Client:
    return httpx.Client(
        base_url=f"https://{stack.hub_hostname}",
        params={"api-version": API_VERSION},
        headers={"authorization": f"Bearer {Identity(stack).token(AUDIENCE)}"},
        verify=client_context(stack),
        trust_env=False,
    )


def _module_key(hub: httpx.Client, device: str) -> str:
    """The key of the device's inference module, whose identity is made if need be."""
    path = f"/devices/{device}/modules/{MODULE}"
    made = hub.put(path, json={"deviceId": device, "moduleId": MODULE, "managedBy": "IotEdge"})
    answer = hub.get(path) if made.status_code == httpx.codes.CONFLICT else made
    if not answer.is_success:
        raise NoDeployment(
            f"device {device} cannot have a module {MODULE!r}",
            why=f"the hub answered {answer.status_code}: {answer.text}",
            fix="register the device first: refluent up does",
        )
    key: str = answer.json()["authentication"]["symmetricKey"]["primaryKey"]
    return key


def _await_environment(hub: httpx.Client, device: str) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        twin: dict[str, Any] = hub.get(f"/twins/{device}/modules/$edgeAgent").raise_for_status().json()
        module = twin["properties"]["desired"].get("modules", {}).get(MODULE)
        if module:
            return {name: str(entry["value"]) for name, entry in module.get("env", {}).items()}
        time.sleep(0.1)
    raise NoDeployment(
        f"device {device} has nothing to run",
        why=f"no deployment gave it a module {MODULE!r} within {PATIENCE_SECONDS:.0f} s",
        fix="check the target condition of the base deployment against the device's tags",
    )


def main() -> None:
    """Become the device's inference module."""
    parser = argparse.ArgumentParser(prog="laptop.device")
    parser.add_argument("--address", required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    stack = Stack(given.address, given.home.resolve())
    try:
        environment = module_environment(stack, given.id, port=given.port)
    except NoDeployment as problem:
        sys.exit(str(problem))
    os.execve(  # noqa: S606 - the module takes over this process, and with it the owner's hold on it
        sys.executable, [sys.executable, "-m", "edge"], {**os.environ, **stack.sdk_environment(), **environment}
    )


if __name__ == "__main__":
    main()
