"""Event Grid's two envelopes, CloudEvents 1.0 and its own schema, and what turns into what."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

type Schema = Literal["cloud", "eventgrid"]
SCHEMA_NAMES: Mapping[Schema, str] = {
    "cloud": "CloudEventV10",
    "eventgrid": "EventGridEvent",
}  # as the service's errors


def _random_id() -> str:
    return str(uuid4())


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """What a service raises, before it has an envelope.

    Args:
        source: ARM id of the resource it is about, such as `laptop.stack.ACCOUNT_ID`; also the topic it goes to.
        subject: What it is about within that resource, such as ``models/flight-delays:3``.
        type: Such as ``Microsoft.Storage.BlobCreated``.
        data: The payload; JSON values only.
        id: Unique; random unless given.
        time: When it happened, aware; now unless given.
    """

    source: str
    subject: str
    type: str
    data: Mapping[str, object]
    id: str = field(default_factory=_random_id)
    time: datetime = field(default_factory=_now)


type Emit = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Published:
    """One event as a topic accepted it.

    Args:
        topic: ARM id of the topic.
        schema: The envelope `body` has.
        body: The event as it was published.
    """

    topic: str
    schema: Schema
    body: Mapping[str, object]

    @property
    def type(self) -> str:
        """The event type, whatever the envelope calls it."""
        return str(self.body["type" if self.schema == "cloud" else "eventType"])

    @property
    def subject(self) -> str:
        """The subject; a CloudEvent may have none, which counts as empty."""
        return str(self.body.get("subject") or "")

    def as_delivered(self, schema: Schema) -> Mapping[str, object]:
        """The event in a subscriber's schema.

        Raises:
            ValueError: A published CloudEvent was asked for in Event Grid's schema, which the service does not offer.
        """
        if self.schema == schema:
            return self.body if schema == "cloud" else {**self.body, "topic": self.topic, "metadataVersion": "1"}
        if schema == "cloud":
            return _cloud_from_event_grid(self.topic, self.body)
        raise ValueError("a topic that takes CloudEvents cannot deliver Event Grid's schema")


def raised(event: Event) -> Published:
    """A system topic's event; system topics deliver both schemas."""
    body = {
        "id": event.id,
        "subject": event.subject,
        "eventType": event.type,
        "eventTime": timestamp(event.time),
        "data": event.data,
        "dataVersion": "",
    }
    return Published(event.source, "eventgrid", body)


def timestamp(at: datetime) -> str:
    """Event Grid's spelling of a time: UTC, seven decimals, ``Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def _cloud_from_event_grid(topic: str, body: Mapping[str, object]) -> Mapping[str, object]:
    cloud = {
        "id": body["id"],
        "source": topic,
        "subject": body["subject"],
        "type": body["eventType"],
        "time": body["eventTime"],
        "data": body.get("data"),
        "specversion": "1.0",
    }
    if body.get("dataVersion"):
        cloud["dataschema"] = f"#{body['dataVersion']}"
    return cloud
