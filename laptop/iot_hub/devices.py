"""What IoT Hub does with a device's MQTT topics: twins, direct methods, telemetry."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote, unquote
from uuid import uuid4

from laptop.event_grid.envelope import Emit, Event
from laptop.iot_hub import sas
from laptop.iot_hub.errors import MethodError, device_error
from laptop.iot_hub.mqtt import Broker, NotAuthorized
from laptop.iot_hub.mqtt_codec import Publish
from laptop.iot_hub.registry import Entry, Name, Registry, now
from laptop.iot_hub.store import Store
from laptop.iot_hub.telemetry_log import TelemetryLog
from laptop.iot_hub.twins import TwinError
from laptop.stack import HUB, HUB_ID, Stack

Json = dict[str, object]

_USERNAME = re.compile(r"(?P<host>[^/]+)/(?P<client>.+)/\?(?P<query>.*)")
_TWIN_FILTERS = ("$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#")
_OWN_FILTERS = ("messages/devicebound/#", "inputs/#", "#")
_READ = re.compile(r"\$iothub/twin/GET/\?\$rid=(?P<request>[^&]*)")
_REPORT = re.compile(
    r"\$iothub/twin/PATCH/properties/reported/\?\$rid=(?P<request>[^&]*)(&\$version=(?P<version>\d+))?"
)
_ANSWER = re.compile(r"\$iothub/methods/res/(?P<status>-?\d+)/\?\$rid=(?P<request>[^&]*)")
_SYSTEM_PROPERTIES = {
    "$.mid": "message-id",
    "$.cid": "correlation-id",
    "$.uid": "user-id",
    "$.ct": "iothub-content-type",
    "$.ce": "iothub-content-encoding",
    "$.ctime": "iothub-creation-time-utc",
    "$.ifid": "iothub-interface-id",
}


class Devices:
    """The gate behind the MQTT endpoint.

    Args:
        stack: Where the hub is.
        registry: Who is known.
        telemetry: Where telemetry goes.
        emit: Takes events to Event Grid.
        reported: Called when a module or device has reported properties.
    """

    def __init__(
        self,
        stack: Stack,
        registry: Registry,
        *,
        store: Store,
        telemetry: TelemetryLog,
        emit: Emit,
        reported: Callable[[Name], None],
    ) -> None:
        self._hosts = (stack.address, stack.hub_hostname)
        self._registry = registry
        self._telemetry = telemetry
        self._emit = emit
        self._reported = reported
        self._answers: dict[str, asyncio.Future[tuple[int, object]]] = {}
        self._arrived = asyncio.Condition()
        self.broker = Broker(self, store)

    def admit(self, client_id: str, username: str, password: str) -> float:
        """See `laptop.mqtt.Gate`: the password is a signature with the identity's own key."""
        name, match = Name.of(client_id), _USERNAME.fullmatch(username)
        if match is None or match["client"] != client_id or match["host"] not in self._hosts:
            raise NotAuthorized(f"username {username!r} is not <host>/{client_id}/?api-version=…")
        entry = self._registry.find(name)
        if entry is None or not entry.enabled or not self._registry.get(Name(name.device)).enabled:
            raise NotAuthorized("the identity is unknown or disabled")
        try:
            signature = sas.parse(password)
            resources = [f"{host}/{name.path}" for host in self._hosts]
            signature.check((entry.primary_key, entry.secondary_key), resources=resources, now=time.time())
        except sas.BadSignature as problem:
            raise NotAuthorized(str(problem)) from problem
        return float(signature.expires)

    def may_subscribe(self, client_id: str, topic_filter: str) -> bool:
        """See `laptop.mqtt.Gate`."""
        own = f"{Name.of(client_id).path}/"
        return topic_filter in _TWIN_FILTERS or topic_filter in [own + last for last in _OWN_FILTERS]

    async def connected(self, client_id: str) -> None:
        """See `laptop.mqtt.Gate`."""
        await self._connection(Name.of(client_id), connected=True)
        await self.subscribed(client_id)

    async def subscribed(self, client_id: str) -> None:  # noqa: ARG002 - all who wait look for themselves
        """See `laptop.mqtt.Gate`."""
        async with self._arrived:
            self._arrived.notify_all()

    async def disconnected(self, client_id: str) -> None:
        """See `laptop.mqtt.Gate`."""
        await self._connection(Name.of(client_id), connected=False)

    async def received(self, client_id: str, message: Publish) -> None:
        """See `laptop.mqtt.Gate`."""
        name, topic = Name.of(client_id), message.topic
        telemetry = f"{name.path}/messages/events/"
        if f"{topic}/".startswith(telemetry):
            await self._telemetered(name, topic.removeprefix(telemetry).rstrip("/"), message.payload)
        elif match := _READ.fullmatch(topic):
            twin = self._registry.get(name).twin
            document = {"desired": twin.desired.device_document(), "reported": twin.reported.device_document()}
            self._respond(client_id, 200, match["request"], document)
        elif match := _REPORT.fullmatch(topic):
            self._report(name, match, message.payload)
        elif match := _ANSWER.fullmatch(topic):
            self._answered(match, message.payload)
        else:
            raise NotAuthorized(f"topic {topic!r} is not one of the client's own")

    def push_desired(self, name: Name, patch: Json) -> None:
        """Tell a device what has changed in its desired properties.

        One that is not connected hears nothing, as with the service: it reads its twin when it comes back.
        """
        version = self._registry.get(name).twin.desired.version
        topic = f"$iothub/twin/PATCH/properties/desired/?$version={version}"
        self.broker.publish(name.client_id, topic, json.dumps({**patch, "$version": version}).encode(), qos=1)

    async def invoke(
        self, name: Name, method: str, payload: object, *, connect_seconds: float, answer_seconds: float
    ) -> tuple[int, object]:
        """Run a direct method on a device or module.

        Returns:
            The status and the payload of its answer.

        Raises:
            MethodError: It is not connected (404), or does not answer in time (504).
        """
        request = uuid4().hex
        topic = f"$iothub/methods/POST/{quote(method, safe='')}/?$rid={request}"
        await self._await_listener(name, topic, connect_seconds)
        answer: asyncio.Future[tuple[int, object]] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        try:
            self.broker.publish(name.client_id, topic, json.dumps(payload).encode())
            async with asyncio.timeout(answer_seconds):
                return await answer
        except TimeoutError as problem:
            why = "Timed out waiting for the response from device."
            raise MethodError(504, "GatewayTimeout", 504101, why) from problem
        finally:
            del self._answers[request]

    async def _await_listener(self, name: Name, topic: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds), self._arrived:
                await self._arrived.wait_for(lambda: self.broker.listens(name.client_id, topic))
        except TimeoutError as problem:
            if not self.broker.listens(name.client_id, topic):
                why = "Timed out waiting for device to connect."
                raise MethodError(404, "DeviceNotOnline", 404103, why) from problem

    async def _connection(self, name: Name, *, connected: bool) -> None:
        entry = self._registry.find(name)
        if entry is None:  # deleted while it was connected
            return
        self._registry.put(replace(entry, connected=connected, active=now(), changed=now()))
        kind = "Microsoft.Devices.DeviceConnected" if connected else "Microsoft.Devices.DeviceDisconnected"
        state: Json = {"sequenceNumber": f"{time.time_ns():064X}"}
        data: Json = {"deviceConnectionStateEventInfo": state, "hubName": HUB, "deviceId": name.device}
        if name.module:
            data["moduleId"] = name.module
        await self._emit(Event(HUB_ID, _subject(name), kind, data))

    async def _telemetered(self, name: Name, text: str, body: bytes) -> None:
        at, entry = now(), self._registry.get(name)
        properties, system = _split(text), _provenance(entry, at)
        for wire, meaning in _SYSTEM_PROPERTIES.items():
            if value := properties.pop(wire, ""):
                system[meaning] = value
        properties = {key: value for key, value in properties.items() if not key.startswith("$.")}
        await self._telemetry.append(name.device, system, properties=properties, body=body)
        data: Json = {"properties": properties, "systemProperties": system, "body": _event_body(body, system)}
        await self._emit(Event(HUB_ID, _subject(name), "Microsoft.Devices.DeviceTelemetry", data))

    def _report(self, name: Name, match: re.Match[str], payload: bytes) -> None:
        entry = self._registry.get(name)
        version = entry.twin.reported.version
        if match["version"] and int(match["version"]) != version:
            message = f"Precondition failed: reported properties are at version {version}"
            self._respond(name.client_id, 412, match["request"], device_error(412001, message))
            return
        try:
            patch = json.loads(payload)
            if not isinstance(patch, dict):
                raise TwinError("reported properties must be a JSON object")
            twin = entry.twin.with_reported(patch, datetime.now(UTC))
        except ValueError as problem:  # not JSON, not UTF-8, or against the rules of twins
            self._respond(name.client_id, 400, match["request"], device_error(400004, str(problem)))
            return
        self._registry.put(replace(entry, twin=twin, active=now()))
        self._respond(name.client_id, 204, match["request"], None, version=twin.reported.version)
        self._reported(name)

    def _respond(self, client_id: str, status: int, request: str, document: object, *, version: int = 0) -> None:
        suffix = f"&$version={version}" if version else ""
        payload = b"" if document is None else json.dumps(document).encode()
        self.broker.publish(client_id, f"$iothub/twin/res/{status}/?$rid={request}{suffix}", payload)

    def _answered(self, match: re.Match[str], payload: bytes) -> None:
        answer = self._answers.get(match["request"])
        if answer is None or answer.done():
            return  # the caller has given up
        try:
            answer.set_result((int(match["status"]), json.loads(payload or b"null")))
        except ValueError:
            answer.set_exception(MethodError(502, "InvalidResponse", 502001, "The device's answer is not JSON."))


def _split(text: str) -> dict[str, str]:
    """The properties at the end of a telemetry topic: percent-encoded, where plus is a plus."""
    pairs = (part.partition("=")[::2] for part in text.removeprefix("?").split("&") if part)
    return {unquote(key): unquote(value) for key, value in pairs}


def _provenance(entry: Entry, at: str) -> dict[str, str]:
    scope = "module" if entry.name.module else "device"
    method = {"scope": scope, "type": "sas", "issuer": "iothub", "acceptingIpFilterRule": None}
    module = {"iothub-connection-module-id": entry.name.module} if entry.name.module else {}
    return {
        "iothub-connection-device-id": entry.name.device,
        **module,
        "iothub-connection-auth-method": json.dumps(method, separators=(",", ":")),
        "iothub-connection-auth-generation-id": entry.generation,
        "iothub-enqueuedtime": at,
        "iothub-message-source": "Telemetry",
    }


def _event_body(body: bytes, system: Mapping[str, str]) -> object:
    """Event Grid gets JSON where the device says that it is JSON in UTF-8, and base64 otherwise."""
    kind = system.get("iothub-content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" and system.get("iothub-content-encoding", "").lower() == "utf-8":
        try:
            return json.loads(body)
        except ValueError:
            pass  # it does not keep its word
    return base64.b64encode(body).decode()


def _subject(name: Name) -> str:
    return f"devices/{name.client_id}"
