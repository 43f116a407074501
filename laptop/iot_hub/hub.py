"""IoT Hub on a laptop: the registry, twins, automatic deployments and telemetry of one hub, put together."""

import asyncio
import json
import logging
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette

from laptop.event_grid.envelope import Emit
from laptop.identity import Identity
from laptop.iot_hub.api import Api
from laptop.iot_hub.bodies import ConfigurationBody, IdentityBody, TwinBody
from laptop.iot_hub.configurations import Configurations
from laptop.iot_hub.deployments import Configuration, InvalidConfiguration, Resolution, check_content, resolve
from laptop.iot_hub.devices import Devices
from laptop.iot_hub.errors import HubError
from laptop.iot_hub.query import parse_query, parse_target_condition
from laptop.iot_hub.registry import AGENT, Entry, Name, Registry, check_precondition
from laptop.iot_hub.sas import new_key
from laptop.iot_hub.store import Store
from laptop.iot_hub.telemetry_log import TelemetryLog
from laptop.iot_hub.throttle import Throttle
from laptop.iot_hub.twins import TwinError, difference
from laptop.iot_hub.values import Document
from laptop.stack import MQTT_PORT, Stack

Json = dict[str, object]

POLICY = "iothubowner"

log = logging.getLogger(__name__)


class IotHub:
    """One hub, for everybody who uses it over HTTP or MQTT.

    Args:
        stack: Where it listens and keeps its state.
        identity: Checks bearer tokens.
        emit: Takes its events to Event Grid.
        units: S1 units whose throttles hold; None for no throttles.
    """

    def __init__(self, stack: Stack, identity: Identity, emit: Emit, *, units: int | None = None) -> None:
        home = stack.home / "hub"
        store = Store(home / "hub.db")
        self._stack = stack
        self._identity = identity
        self._store = store
        self._throttle = Throttle(units, time.monotonic)
        self.registry = Registry(store)
        self.configurations = Configurations(store, self.documents)
        self.telemetry = TelemetryLog(home / "telemetry.db")
        self.devices = Devices(
            stack, self.registry, store=store, telemetry=self.telemetry, emit=emit, reported=self._reported
        )

    def app(self) -> Starlette:
        """The service API, and the event hub's messages."""
        return Api(self, self._identity, hostname=self._stack.hub_hostname, policy_key=policy_key(self._stack)).app()

    async def serve_mqtt(self) -> asyncio.Server:
        """Listen for devices; `run` does, and also ends it in good order.

        Raises:
            OSError: The port is taken, or the certificate is missing.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._stack.certificate, self._stack.private_key)
        return await self.devices.broker.start(self._stack.address, MQTT_PORT, context)

    async def run(self) -> None:
        """Serve devices until cancelled; then disconnect them and close the files."""
        server = await self.serve_mqtt()
        try:
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            await self.devices.broker.stop(server)
            self.close()

    def close(self) -> None:
        """Close the files; nothing may be asked of the hub afterwards."""
        self._store.close()
        self.telemetry.close()

    def throttle(self, kind: str) -> None:
        """Count an operation of a kind; HubError (429) when there have been too many."""
        self._throttle.take(kind)

    def documents(self, source: str) -> Iterable[Document]:
        """A collection that can be queried: ``devices`` or ``devices.modules``."""
        entries = self.registry.devices() if source == "devices" else self.registry.modules()
        return (entry.twin_document() for entry in entries)

    def query(self, text: str) -> tuple[list[Document], str]:
        """The rows of a query, and what the service calls their type.

        Raises:
            QueryError: It is no valid query.
        """
        query = parse_query(text)
        return query.run(self.documents(query.source)), query.item_type

    def write_identity(self, name: Name, body: IdentityBody, *, if_match: str | None) -> Entry:
        """Create or change a device or module; what is deployed to it reaches it at once. HubError as for Registry."""
        entry = self.registry.write(name, body, if_match=if_match)
        if not entry.enabled:
            for one in [name, *(module.name for module in self.registry.modules(name.device) if not name.module)]:
                self.devices.broker.disconnect(one.client_id)
        self._deploy([name.device])
        return self.registry.get(name)

    def delete_identity(self, name: Name, *, if_match: str | None) -> None:
        """Delete a device with its modules, or a module, and end its connections. HubError as for Registry."""
        for gone in self.registry.delete(name, if_match=if_match):
            self.devices.broker.disconnect(gone.client_id)

    def write_twin(self, name: Name, body: TwinBody, *, whole: bool, if_match: str | None) -> Entry:
        """Patch or replace tags and desired properties; changed tags may change what is deployed.

        Raises:
            HubError: The identity is unknown (404), the etag is another (412), or a limit is broken (400).
        """
        entry = self.registry.get(name)
        check_precondition(if_match, entry.twin.etag)
        tags = body.tags if body.tags is not None or not whole else {}
        desired = body.properties.desired if body.properties else None
        if whole:
            tags = difference(entry.twin.tags, tags or {})
            desired = difference(entry.twin.desired.values, desired or {})
        self._write(entry, tags=tags, desired=desired)
        if tags:
            self._deploy([name.device])
        return self.registry.get(name)

    def write_configuration(
        self, name: str, body: ConfigurationBody, *, if_match: str | None
    ) -> tuple[Configuration, bool]:
        """Create or retarget a configuration, and deploy; whether it is new. HubError as for Configurations."""
        configuration, new = self.configurations.write(name, body, if_match=if_match)
        self._deploy()
        return configuration, new

    def delete_configuration(self, name: str, *, if_match: str | None) -> None:
        """Delete a configuration, and deploy what is left. HubError as for Configurations."""
        self.configurations.delete(name, if_match=if_match)
        self._deploy()

    def apply_content(self, device: str, modules: Mapping[str, Mapping[str, object]]) -> None:
        """Set the modules of one device, until the next automatic deployment does.

        Raises:
            HubError: The device is unknown, or the content breaks a rule.
        """
        self.registry.get(Name(device))
        try:
            check_content(modules)
        except InvalidConfiguration as problem:
            raise HubError(400, problem.code, str(problem)) from problem
        only = Configuration("single-device", modules, "*", 0, 0)
        self._set_modules(device, Resolution((), (only,)))

    def statistics(self) -> Json:
        """How many devices there are."""
        enabled = [entry.enabled for entry in self.registry.devices()]
        return {
            "totalDeviceCount": len(enabled),
            "enabledDeviceCount": sum(enabled),
            "disabledDeviceCount": len(enabled) - sum(enabled),
        }

    def _deploy(self, devices: Iterable[str] | None = None) -> None:
        """Work out what is deployed to some devices, or to all, and tell their modules what changes."""
        configurations = self.configurations.all()
        for device in [entry.name.device for entry in self.registry.devices()] if devices is None else devices:
            entry = self.registry.get(Name(device))
            if entry.edge:
                self._set_modules(device, resolve(entry.twin_document(), configurations))

    def _set_modules(self, device: str, resolution: Resolution) -> None:
        for entry in list(self.registry.modules(device)):
            status = resolution.status(entry.name.module)
            if entry.name.module != AGENT and "Applied" not in status.values():
                status = {}
            desired = resolution.desired(entry.name.module, entry.twin.desired.values)
            patch = {} if desired is None else difference(entry.twin.desired.values, desired)
            try:
                self._write(entry, desired=patch, status=status)
            except HubError as problem:  # each part fits, together they are too large
                log.warning("%s keeps its desired properties: %s", entry.name.client_id, problem)
                self._write(entry, status=dict.fromkeys(status, "Targeted"))

    def _write(
        self,
        entry: Entry,
        *,
        tags: Json | None = None,
        desired: Json | None = None,
        status: Mapping[str, str] | None = None,
    ) -> None:
        """Change a twin, all of it or nothing, and tell the device."""
        twin = entry.twin
        try:
            twin = twin.tagged(tags) if tags else twin
            twin = twin.with_desired(desired, datetime.now(UTC)) if desired else twin
        except TwinError as problem:
            raise HubError(400, "ArgumentInvalid", str(problem)) from problem
        new = replace(entry, twin=twin, configurations=entry.configurations if status is None else status)
        if new != entry:
            self.registry.put(new)
        if desired:
            self.devices.push_desired(entry.name, desired)

    def _reported(self, name: Name) -> None:
        """A device that reports may come under another target condition."""
        conditions = [one.target_condition for one in self.configurations.all() if one.target_condition]
        if not name.module and any(parse_target_condition(text).reads_reported for text in conditions):
            self._deploy([name.device])


def policy_key(stack: Stack) -> str:
    """The key of the iothubowner policy, base64; made when first asked for, then the same for every process."""
    path: Path = stack.home / "hub" / "policy.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"name": POLICY, "key": new_key()}))
        draft.replace(path)
    return str(json.loads(path.read_text())["key"])


def connection_string(stack: Stack) -> str:
    """How the service SDK reaches the hub with the policy's key instead of a token."""
    return f"HostName={stack.hub_hostname};SharedAccessKeyName={POLICY};SharedAccessKey={policy_key(stack)}"
