"""A whole IoT Hub on this computer, with the stack's certificates and identity, for the tests that talk to it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest
from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics

from laptop.event_grid.envelope import Event
from laptop.identity import Identity
from laptop.iot_hub.bodies import Authentication, Capabilities, IdentityBody, SymmetricKey, TwinBody
from laptop.iot_hub.hub import IotHub, connection_string
from laptop.iot_hub.registry import Name
from laptop.stack import HUB_PORT, IDENTITY_PORT, MQTT_PORT, Stack
from laptop.tls import write_certificates
from tests.addresses import claimed_address
from tests.laptop.serving import eventually, http_server, https_server, in_a_thread, listens, running

KEY = base64.b64encode(b"k" * 32).decode()


class RunningHub:
    """The hub in its own thread and event loop, as in the cloud process; what it emits is kept."""

    def __init__(self, stack: Stack, *, units: int | None = None) -> None:
        self.stack = stack
        self.events: list[Event] = []
        self.units = units
        self._ending = ExitStack()

    def start(self) -> None:
        """Return once every port is open."""
        self.loop = self._ending.enter_context(in_a_thread(self._open()))
        eventually(lambda: listens(self.stack.address, MQTT_PORT), "the hub does not listen for devices")

    def stop(self) -> None:
        """Return once every port is closed."""
        self._ending.close()

    def restart(self) -> None:
        """Stop, and start again from what is on disk."""
        self.stop()
        self.start()

    @cached_property
    def configurations(self) -> IoTHubConfigurationManager:
        return IoTHubConfigurationManager.from_connection_string(connection_string(self.stack))

    @cached_property
    def registry(self) -> IoTHubRegistryManager:
        return IoTHubRegistryManager.from_connection_string(connection_string(self.stack))

    def add(self, device: str, *modules: str, tags: dict[str, object] | None = None) -> None:
        """An IoT Edge device with modules, all of them with the same key."""
        keys = Authentication(symmetric_key=SymmetricKey(primary_key=KEY, secondary_key=KEY))
        edge = IdentityBody(authentication=keys, capabilities=Capabilities(iot_edge=True))
        module = IdentityBody(authentication=keys, managed_by="iotEdge")

        async def write() -> None:
            self.hub.write_identity(Name(device), edge, if_match=None)
            for name in modules:
                self.hub.write_identity(Name(device, name), module, if_match=None)
            self.hub.write_twin(Name(device), TwinBody(tags=tags or {}), whole=False, if_match=None)

        self.within(write())

    def empty(self) -> None:
        """No device and no configuration any more."""

        async def delete() -> None:
            for configuration in self.hub.configurations.all():
                self.hub.configurations.delete(configuration.id, if_match=None)
            for entry in list(self.hub.registry.devices()):
                self.hub.delete_identity(entry.name, if_match=None)

        self.within(delete())

    def within[Result](self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """What a coroutine returns that runs in the hub's own thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def edge_environment(self, device: str, module: str, *, key: str = KEY) -> dict[str, str]:
        """What IoT Edge's development tools set for a module."""
        return {
            "EdgeHubConnectionString": f"HostName={self.stack.address};DeviceId={device};ModuleId={module};"
            f"SharedAccessKey={key};GatewayHostName={self.stack.address}",
            "EdgeModuleCACertificateFile": str(self.stack.authority),
        }

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        identity = Identity(self.stack)
        self.hub = IotHub(self.stack, identity, self._emit, units=self.units)  # here: SQLite wants one thread
        servers = (
            https_server(self.hub.app(), self.stack, HUB_PORT),
            http_server(identity.app(), self.stack, IDENTITY_PORT),
        )
        async with running(*servers, beside=[self.hub.run]):
            yield

    async def _emit(self, event: Event) -> None:
        self.events.append(event)


@contextmanager
def running_hub(home: Path, *, units: int | None = None) -> Iterator[RunningHub]:
    """A hub on an address of its own that is stopped at the end, with the SDKs' environment pointing at it."""
    with claimed_address(home) as address, pytest.MonkeyPatch.context() as patch:
        stack = Stack(address, home)
        write_certificates(stack)
        for name, value in stack.sdk_environment().items():
            patch.setenv(name, value)
        hub = RunningHub(stack, units=units)
        hub.start()
        try:
            yield hub
        finally:
            hub.stop()


def base(identity: str = "base", *, priority: int = 0, condition: str = "*") -> Configuration:
    """A base deployment with an inference module whose desired properties are empty."""
    agent: dict[str, object] = {"schemaVersion": "1.1", "modules": {"inference": {"type": "docker"}}}
    content = {
        "$edgeAgent": {"properties.desired": agent},
        "$edgeHub": {"properties.desired": {"schemaVersion": "1.1", "routes": {}}},
        "inference": {"properties.desired": {}},
    }
    return configuration(identity, content, priority=priority, condition=condition)


def model(identity: str, version: str, *, priority: int, condition: str = "*") -> Configuration:
    """A layer that only sets the model of the inference module."""
    content = {"$edgeAgent": {}, "inference": {"properties.desired.model": {"model": "m", "version": version}}}
    ready = f"properties.reported.model.version='{version}'"
    failed = f"properties.reported.candidate.version='{version}' AND properties.reported.candidate.state='failed'"
    return configuration(
        identity,
        content,
        priority=priority,
        condition=condition,
        metrics={
            name: f"SELECT deviceId FROM devices.modules WHERE moduleId='inference' AND {test}"  # noqa: S608 - no SQL
            for name, test in (("ready", ready), ("failed", failed))
        },
    )


def configuration(
    identity: str,
    content: object,
    *,
    priority: int = 0,
    condition: str = "*",
    metrics: dict[str, str] | None = None,
) -> Configuration:
    """A configuration as the SDK sends it."""
    return Configuration(
        id=identity,
        schema_version="2.0",
        content=ConfigurationContent(modules_content=content),
        target_condition=condition,
        priority=priority,
        metrics=ConfigurationMetrics(queries=metrics or {}),
    )


def desired(hub: RunningHub, device: str, module: str = "inference") -> dict[str, object]:
    """A module's desired properties, without what the hub adds."""
    values = cast("dict[str, object]", hub.registry.get_module_twin(device, module).properties.desired)
    return {name: value for name, value in values.items() if not name.startswith("$")}
