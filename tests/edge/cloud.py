"""The cloud a device needs, for real and on this computer: IoT Hub, identity, and Azurite behind its front."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from azure.core.credentials import AccessToken

from laptop.event_grid.envelope import Event
from laptop.identity import Identity
from laptop.iot_hub.api import API_VERSION, AUDIENCE
from laptop.iot_hub.hub import IotHub
from laptop.stack import BLOB_PORT, HUB_PORT, IDENTITY_PORT, MQTT_PORT, Stack
from laptop.storage.front import front
from laptop.tls import client_context
from tests.edge.device import until
from tests.laptop.serving import http_server, https_server, listens, running
from tests.patience import HANGS_S

DEVICE = "ewr"
KEY = b64encode(b"k" * 32).decode()


class LaptopCredential:
    """The stack's own tokens, without the detour through the identity endpoint."""

    def __init__(self, stack: Stack) -> None:
        self._identity = Identity(stack)

    def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken(self._identity.token("https://storage.azure.com"), int(time.time()) + 3600)


class Cloud:
    """What an operator does to the hub, over its service API.

    Args:
        stack: Where the hub is.
        events: What the hub has raised so far.
    """

    def __init__(self, stack: Stack, events: list[Event]) -> None:
        self.stack, self.events = stack, events

    async def register(self, *, module: bool = True) -> None:
        """An IoT Edge device, and its inference module unless the device makes it."""
        keys = {"primaryKey": KEY, "secondaryKey": KEY}
        who = {"deviceId": DEVICE, "authentication": {"type": "sas", "symmetricKey": keys}}
        await self._ask("PUT", f"/devices/{DEVICE}", who | {"capabilities": {"iotEdge": True}})
        if module:
            await self._ask("PUT", f"/devices/{DEVICE}/modules/inference", who | {"moduleId": "inference"})

    async def deploy(self, environment: dict[str, str]) -> None:
        """The base deployment, which gives the module its environment."""
        env = {name: {"value": value} for name, value in environment.items()}
        agent = {"schemaVersion": "1.1", "modules": {"inference": {"type": "docker", "env": env}}}
        modules = {"$edgeAgent": {"properties.desired": agent}, "$edgeHub": {"properties.desired": {}}}
        body = {"schemaVersion": "2.0", "content": {"modulesContent": modules}, "targetCondition": "*", "priority": 0}
        await self._ask("PUT", "/configurations/base", {"id": "base", **body})

    async def desire(self, model: object) -> None:
        """Ask the device for a model."""
        patch = {"properties": {"desired": {"model": model}}}
        await self._ask("PATCH", f"/twins/{DEVICE}/modules/inference", patch)

    async def call(self, method: str, payload: object) -> dict[str, Any]:
        """Call a direct method of the device's module."""
        body = {"methodName": method, "payload": payload, "responseTimeoutInSeconds": 10}
        return await self._ask("POST", f"/twins/{DEVICE}/modules/inference/methods", body)

    async def reported(self) -> dict[str, Any]:
        """What the device says about itself."""
        twin = await self._ask("GET", f"/twins/{DEVICE}/modules/inference")
        reported: dict[str, Any] = twin["properties"]["reported"]
        return reported

    async def serves(self, version: str) -> None:
        """Wait until the device says that this version serves."""
        async with asyncio.timeout(HANGS_S):
            while (await self.reported()).get("model", {}).get("version") != version:  # noqa: ASYNC110 - see `until`
                await asyncio.sleep(0.05)

    def telemetry(self) -> list[dict[str, Any]]:
        """Bodies of the telemetry messages that arrived."""
        found = [event.data["body"] for event in self.events if event.type == "Microsoft.Devices.DeviceTelemetry"]
        return [body for body in found if isinstance(body, dict)]

    async def _ask(self, verb: str, path: str, body: object = None) -> dict[str, Any]:
        async with httpx.AsyncClient(
            base_url=f"https://{self.stack.hub_hostname}",
            headers={"authorization": f"Bearer {Identity(self.stack).token(AUDIENCE)}"},
            verify=client_context(self.stack),
            trust_env=False,
        ) as client:
            answer = await client.request(verb, path, params={"api-version": API_VERSION}, json=body)
            document: dict[str, Any] = answer.raise_for_status().json()
            return document


@asynccontextmanager
async def running_cloud(stack: Stack) -> AsyncIterator[Cloud]:
    """IoT Hub, the identity endpoint and the front of the blob service, in this loop."""
    events: list[Event] = []

    async def keep(event: Event) -> None:
        events.append(event)

    identity = Identity(stack)
    hub = IotHub(stack, identity, keep)
    servers = [
        https_server(hub.app(), stack, HUB_PORT),
        http_server(identity.app(), stack, IDENTITY_PORT),
        https_server(front(stack, keep), stack, BLOB_PORT),
    ]
    async with running(*servers, beside=[hub.run]):
        await until(lambda: listens(stack.address, MQTT_PORT))
        yield Cloud(stack, events)
