"""Wire message -> typed event, or Poison, or Ignored: the only untyped border."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote, urlsplit

import azure.functions as func
from pydantic import ValidationError

from functions.errors import Ignored
from functions.events import (
    DataUploaded,
    DriftDetected,
    Event,
    ModelRegistered,
    RunEnded,
    TrainingCodeChanged,
)
from functions.settings import Settings
from functions.telemetry import Arrived
from functions.unusable import shown, unusable

type Message = func.EventGridEvent | func.CloudEvent

DEVICE, MODULE = "connection-device-id", "connection-module-id"  # of the hub's properties: who sent a message
UPLOAD_APIS = {"PutBlob", "PutBlockList", "CopyBlob", "PutBlobFromUrl", "FlushWithClose", "SftpCommit"}
BLOB_SUBJECT = re.compile(r"^/blobServices/default/containers/([a-z0-9$-]{3,63})/blobs/(.{1,1024})$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Header:
    id: str
    source: str
    type: str
    subject: str
    at: datetime
    data: Mapping[str, object]


def read_upload(message: Message, settings: Settings) -> DataUploaded:
    """BlobCreated -> DataUploaded; only `subject` is parsed, against the configured account and containers.

    Raises:
        Poison: The event is malformed, of another account, or names a blob no site may write.
        Ignored: Sound, but not an upload into a landing container.
    """
    header = _header(message)
    _of(header, settings.account_id)
    if header.type != "Microsoft.Storage.BlobCreated":
        raise Ignored(f"event {header.id} is a {header.type}", why="only BlobCreated is an upload", fix="nothing to do")
    container, blob = _blob_subject(header)
    if container not in {loop.data.container for loop in settings.loops.values()}:
        raise Ignored(f"{container}/{blob} landed", why="no loop watches that container", fix="nothing to do")
    upload = _typed(DataUploaded, header, container=container, blob=blob)
    _same_blob(header, upload, settings)
    if upload.api not in UPLOAD_APIS:
        raise Ignored(f"{upload.api} on {blob}", why="it does not finish an upload", fix="nothing to do")
    return upload


def read_run(message: Message, settings: Settings) -> RunEnded:
    """RunCompleted or RunStatusChanged -> RunEnded."""
    header = _header(message)
    _of(header, settings.workspace_id)
    return _typed(RunEnded, header)


def read_registration(message: Message, settings: Settings) -> ModelRegistered:
    """Turn a ModelRegistered message into an event.

    Raises:
        Poison: Malformed, or of another workspace, or a name or version that cannot be deployed.
        Ignored: A model no loop owns.
    """
    header = _header(message)
    _of(header, settings.workspace_id)
    registered = _typed(ModelRegistered, header)
    if registered.model not in settings.loops:
        raise Ignored(f"model {registered.model} was registered", why="no loop owns it", fix="nothing to do")
    return registered


def read_drift(message: Message, settings: Settings) -> DriftDetected:
    """DriftDetected from our own topic."""
    drift = _typed(DriftDetected, _header(message))
    if drift.loop not in settings.loops:
        raise Ignored(f"drift in loop {drift.loop}", why="this app has no such loop", fix="nothing to do")
    return drift


def read_code_change(message: Message, settings: Settings) -> TrainingCodeChanged:
    """TrainingCodeChanged from our own topic, where continuous integration publishes it."""
    changed = _typed(TrainingCodeChanged, _header(message))
    if changed.loop not in settings.loops:
        raise Ignored(f"training code of loop {changed.loop}", why="this app has no such loop", fix="nothing to do")
    return changed.model_copy(update={"reason": shown(changed.reason)})


def arrived(event: func.EventHubEvent) -> Arrived:
    """One Event Hubs event, routed from IoT Hub, as a device's message."""
    return _sent(event.get_body(), event.iothub_metadata or {}, event.enqueued_time)


def read_device_event(message: Message, settings: Settings) -> Arrived:
    """An Event Grid DeviceTelemetry message, the same body in another envelope, as a device's message.

    Raises:
        Poison: Malformed, or of another hub.
    """
    header = _header(message)
    _of(header, settings.hub_id)
    body, system = header.data.get("body"), header.data.get("systemProperties")
    if not isinstance(system, Mapping):
        raise unusable("event", header.id, why="data.systemProperties is missing", code="EG_SCHEMA")
    identity = {str(name).removeprefix("iothub-"): str(value) for name, value in system.items()}
    try:
        raw = base64.b64decode(body, validate=True) if isinstance(body, str) else json.dumps(body).encode()
    except ValueError as problem:
        raise unusable("event", header.id, why="data.body is neither JSON nor base64", code="TEL_JSON") from problem
    return _sent(raw, identity, _moment(identity.get("enqueuedtime")) or header.at)


def original(message: Message | func.EventHubEvent) -> bytes:
    """The message as it came, for quarantine."""
    if isinstance(message, func.EventHubEvent):
        return bytes(message.get_body())
    kind = message.event_type if isinstance(message, func.EventGridEvent) else message.type
    source = message.topic if isinstance(message, func.EventGridEvent) else message.source
    at = message.event_time if isinstance(message, func.EventGridEvent) else message.time
    whole = {"id": message.id, "source": source, "type": kind, "subject": message.subject, "time": at}
    return json.dumps({**whole, "data": message.get_json()}, default=str, sort_keys=True).encode()


def around(message: Message | func.EventHubEvent) -> Mapping[str, str]:
    """What came beside an Event Hubs event's body, by the hub's word: who sent it, and when it came."""
    if not isinstance(message, func.EventHubEvent):
        return {}
    known = {str(name): str(value) for name, value in (message.iothub_metadata or {}).items()}
    came = {"enqueued": message.enqueued_time.isoformat()} if message.enqueued_time else {}
    return {name: known[name] for name in (DEVICE, MODULE) if name in known} | came


def traceparent(message: Message) -> object:
    """The trace that led to a message, if its publisher says so; only a CloudEvent can."""
    return getattr(message, "extension_attrs", {}).get("traceparent")


def _sent(body: bytes, identity: Mapping[str, object], enqueued: datetime | None) -> Arrived:
    device, module = str(identity.get(DEVICE, "")), str(identity.get(MODULE, ""))
    return Arrived(body, device, f"{device}/{module}", enqueued)


def _header(message: Message) -> _Header:
    if isinstance(message, func.CloudEvent):
        kind, source, at, data = message.type, message.source, message.time, message.get_json()
    else:
        kind, source, at, data = message.event_type, message.topic, message.event_time, message.get_json()
    named = {"id": message.id, "type": kind, "source": source, "subject": message.subject, "data": data}
    missing = [name for name, value in named.items() if not value or (name != "data" and not isinstance(value, str))]
    if missing or not isinstance(data, Mapping):
        why = f"missing or not usable: {', '.join(missing or ['data'])}"
        raise unusable("event", str(message.id), why=why, code="EG_SCHEMA")
    if at is None or at.tzinfo is None:
        raise unusable("event", str(message.id), why="its time is missing or has no zone", code="EG_TIME")
    return _Header(str(message.id), str(source), str(kind), str(message.subject), at, data)


def _of(header: _Header, owner: str) -> None:
    if header.source.casefold() != owner.casefold():
        why = f"it comes from {header.source}, this app listens to {owner}"
        raise unusable("event", header.id, why=why, code="EG_TOPIC_NOT_ALLOWED")


def _typed[E: Event](kind: type[E], header: _Header, **extra: object) -> E:
    try:
        return kind.model_validate({**header.data, **extra})
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        why = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise unusable(kind.__name__, header.id, why=why, code="EG_SCHEMA") from problem


def _blob_subject(header: _Header) -> tuple[str, str]:
    match = BLOB_SUBJECT.match(header.subject)
    if not match:
        raise unusable("event", header.id, why=f"subject {header.subject!r} names no blob", code="EG_SCHEMA")
    container, blob = match[1], match[2]
    for spelled in (blob, unquote(blob)):
        if "\\" in spelled or any(part in (".", "..") for part in spelled.split("/")) or not spelled.isprintable():
            raise unusable("blob", repr(blob), why="dot segments, backslashes and control characters", code="BLOB_NAME")
    return container, blob


def _same_blob(header: _Header, upload: DataUploaded, settings: Settings) -> None:
    try:
        url, ours = urlsplit(str(header.data.get("url", ""))), urlsplit(settings.blob_endpoint)
    except ValueError as problem:
        raise unusable("event", header.id, why=f"its url is none: {problem}", code="BLOB_HOST") from problem
    hosts = {ours.netloc, ours.netloc.replace(".blob.", ".dfs.", 1)}
    if url.scheme != "https" or url.netloc not in hosts:
        raise unusable("event", header.id, why=f"its url is on {url.netloc or 'no host'}", code="BLOB_HOST")
    if unquote(url.path) != unquote(f"{ours.path.rstrip('/')}/{upload.container}/{upload.blob}"):
        raise unusable("event", header.id, why="its url and subject name different blobs", code="BLOB_MISMATCH")


def _moment(text: str | None) -> datetime | None:
    """A time of the hub's; None if there is none, or one without a zone."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
