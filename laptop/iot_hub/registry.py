"""IoT Hub's identity registry: devices, their modules, their keys and their twins."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

from laptop.iot_hub.bodies import Authentication, IdentityBody, SymmetricKey
from laptop.iot_hub.errors import HubError, not_supported
from laptop.iot_hub.sas import is_key, new_key
from laptop.iot_hub.store import Store
from laptop.iot_hub.twins import Section, Twin

Json = dict[str, object]

AGENT, HUB = "$edgeAgent", "$edgeHub"  # every IoT Edge device has these two modules
_NEVER = "0001-01-01T00:00:00Z"
_ID = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@$']{1,128}")
_MODULES_MAX = 50
_IDENTITY = "identity"


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """Who it is: a device, or one of its modules.

    Args:
        device: The device's id.
        module: The module's id; empty for the device itself.
    """

    device: str
    module: str = ""

    @property
    def client_id(self) -> str:
        """As MQTT names it."""
        return f"{self.device}/{self.module}" if self.module else self.device

    @property
    def path(self) -> str:
        """As signatures and topics name it."""
        return f"devices/{self.device}/modules/{self.module}" if self.module else f"devices/{self.device}"

    @classmethod
    def of(cls, client_id: str) -> Self:
        """The name behind an MQTT client id; a device id holds no slash."""
        device, _, module = client_id.partition("/")
        return cls(device, module)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the hub knows of one identity.

    Args:
        name: Who it is.
        primary_key: Base64.
        secondary_key: Base64.
        enabled: Whether it may connect.
        status_reason: Why not, in an operator's words.
        edge: Whether it is an IoT Edge device; False for modules.
        managed_by: Who looks after a module, such as iotEdge.
        generation: Tells it from an earlier identity of the same name.
        version: Counts the changes of the identity; its etag is made of it.
        twin: Its twin.
        configurations: Deployments by id, with their status in this module.
        connected: Whether it is connected now.
        active: When it last did something, UTC, ISO 8601.
        changed: When it last connected or disconnected, UTC, ISO 8601.
    """

    name: Name
    primary_key: str
    secondary_key: str
    enabled: bool = True
    status_reason: str | None = None
    edge: bool = False
    managed_by: str = ""
    generation: str = ""
    version: int = 1
    twin: Twin = field(default_factory=Twin)
    configurations: Mapping[str, str] = field(default_factory=dict)
    connected: bool = False
    active: str = _NEVER
    changed: str = _NEVER

    @property
    def etag(self) -> str:
        """Of the identity; the twin has its own."""
        return f"{self.version:08d}"

    def identity_document(self) -> Json:
        """As the registry API shows it."""
        document: Json = {
            "deviceId": self.name.device,
            "generationId": self.generation,
            "etag": self.etag,
            "connectionState": self.connection_state,
            "connectionStateUpdatedTime": self.changed,
            "lastActivityTime": self.active,
            "cloudToDeviceMessageCount": 0,
            "authentication": {
                "symmetricKey": {"primaryKey": self.primary_key, "secondaryKey": self.secondary_key},
                "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
                "type": "sas",
            },
        }
        if self.name.module:
            return {"moduleId": self.name.module, "managedBy": self.managed_by, **document}
        device: Json = {"status": self.status, "statusReason": self.status_reason, "statusUpdatedTime": _NEVER}
        return {**document, **device, "capabilities": {"iotEdge": self.edge}, "deviceScope": self._scope}

    def twin_document(self) -> Json:
        """As the twin API and queries show it."""
        twin = self.twin
        document: Json = {
            "deviceId": self.name.device,
            "etag": twin.etag,
            "deviceEtag": self.etag,
            "status": self.status,
            "statusUpdateTime": _NEVER,
            "connectionState": self.connection_state,
            "lastActivityTime": self.active,
            "cloudToDeviceMessageCount": 0,
            "authenticationType": "sas",
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "version": twin.version,
            "tags": twin.tags,
            "properties": {"desired": twin.desired.document(), "reported": twin.reported.document()},
            "configurations": {name: {"status": status} for name, status in self.configurations.items()},
        }
        if self.name.module:
            return {**document, "moduleId": self.name.module}
        return {**document, "capabilities": {"iotEdge": self.edge}, "deviceScope": self._scope}

    @property
    def status(self) -> str:
        """Enabled or disabled."""
        return "enabled" if self.enabled else "disabled"

    @property
    def connection_state(self) -> str:
        """Connected or Disconnected."""
        return "Connected" if self.connected else "Disconnected"

    @property
    def _scope(self) -> str:
        return f"ms-azure-iot-edge://{self.name.device}-{self.generation}" if self.edge else ""


def now() -> str:
    """The time of day, UTC, ISO 8601 with a Z."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def check_precondition(if_match: str | None, etag: str) -> None:
    """Accept ``*`` or the quoted etag, also when no precondition came.

    Raises:
        HubError: 412: someone has changed it in between, or the etag is not in quotes.
    """
    if if_match is not None and if_match not in ("*", '"*"', f'"{etag}"'):
        raise HubError(412, "PreconditionFailed", f"Precondition failed: etag is {etag}, If-Match is {if_match}")


class Registry:
    """All identities of the hub; every change is kept at once.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries = {entry.name: entry for entry in map(_from_json, store.all(_IDENTITY).values())}

    def devices(self) -> Iterator[Entry]:
        """All devices, by id."""
        return (self._entries[name] for name in sorted(self._entries) if not name.module)

    def modules(self, device: str = "") -> Iterator[Entry]:
        """All modules, or those of one device, by id."""
        names = (name for name in sorted(self._entries) if name.module and device in ("", name.device))
        return (self._entries[name] for name in names)

    def find(self, name: Name) -> Entry | None:
        """An identity, if there is one."""
        return self._entries.get(name)

    def get(self, name: Name) -> Entry:
        """An identity.

        Raises:
            HubError: 404.
        """
        if entry := self._entries.get(name):
            return entry
        if name.module and Name(name.device) in self._entries:
            raise HubError(404, "ModuleNotFound", f"Module {name.module} not found on device {name.device}")
        raise HubError(404, "DeviceNotFound", name.device)

    def put(self, entry: Entry) -> Entry:
        """Keep what has become of an identity."""
        self._entries[entry.name] = entry
        self._store.put(_IDENTITY, entry.name.client_id, _to_json(entry))
        return entry

    def write(self, name: Name, body: IdentityBody, *, if_match: str | None) -> Entry:
        """Create an identity, or with a precondition change it, from what the registry API takes.

        Raises:
            HubError: It exists and no precondition came; it does not and one came; or the body is not acceptable.
        """
        _check_names(name, body)
        old = self._entries.get(name)
        if old is None and if_match is None:
            if name.module:
                self.get(Name(name.device))
            return self._create(name, body)
        if old is not None and if_match is None:
            raise _exists(name)
        old = self.get(name)
        check_precondition(if_match, old.etag)
        return self.put(_written(replace(old, version=old.version + 1), body))

    def delete(self, name: Name, *, if_match: str | None) -> list[Name]:
        """Delete an identity, a device with its modules.

        Returns:
            Every name that is gone.

        Raises:
            HubError: 404, or 412.
        """
        check_precondition(if_match, self.get(name).etag)
        gone = [name, *(entry.name for entry in self.modules(name.device) if not name.module)]
        for one in gone:
            del self._entries[one]
            self._store.delete(_IDENTITY, one.client_id)
        return gone

    def _create(self, name: Name, body: IdentityBody) -> Entry:
        if name.module and len(list(self.modules(name.device))) >= _MODULES_MAX:
            raise HubError(403, "ModuleLimitExceeded", f"Device {name.device} has {_MODULES_MAX} modules already")
        blank = Entry(name, new_key(), new_key(), generation=str(uuid4().int % 10**18))
        entry = self.put(_written(blank, body))
        if entry.edge:
            for module in (AGENT, HUB):
                self._create(Name(name.device, module), IdentityBody(managed_by="iotEdge"))
        return entry


def _check_names(name: Name, body: IdentityBody) -> None:
    for what, value, given in (("deviceId", name.device, body.device_id), ("moduleId", name.module, body.module_id)):
        if value and not _ID.fullmatch(value):
            raise HubError(400, "ArgumentInvalid", f"{what} '{value}' is not a valid id")
        if value and given not in (None, value):
            raise HubError(400, "ArgumentInvalid", f"{what} in the body is {given}, in the path {value}")


def _written(entry: Entry, body: IdentityBody) -> Entry:
    authentication = body.authentication or Authentication()
    if authentication.type not in (None, "sas"):
        raise not_supported(f"authentication type {authentication.type}")
    keys = authentication.symmetric_key or SymmetricKey()
    for key in (keys.primary_key, keys.secondary_key):
        if key is not None and not is_key(key):
            raise HubError(400, "ArgumentInvalid", "A symmetric key must be base64 of 16 to 64 bytes")
    edge = body.capabilities.iot_edge if body.capabilities else None
    return replace(
        entry,
        primary_key=keys.primary_key or entry.primary_key,
        secondary_key=keys.secondary_key or entry.secondary_key,
        enabled=entry.enabled if body.status is None else body.status == "enabled",
        status_reason=body.status_reason,
        edge=(entry.edge if edge is None else edge) and not entry.name.module,
        managed_by=body.managed_by or entry.managed_by,
    )


def _exists(name: Name) -> HubError:
    if name.module:
        message = f"A module with ID '{name.module}' is already registered on device '{name.device}'."
        return HubError(409, "ModuleAlreadyExistsOnDevice", message)
    return HubError(409, "DeviceAlreadyExists", f"A device with ID '{name.device}' is already registered.")


def _to_json(entry: Entry) -> Json:
    return asdict(replace(entry, connected=False))  # nobody is connected to a hub that starts


def _from_json(document: dict[str, Any]) -> Entry:
    twin = document["twin"]
    sections = {part: Section(**twin[part]) for part in ("desired", "reported")}
    return Entry(**{**document, "name": Name(**document["name"]), "twin": Twin(**{**twin, **sections})})
