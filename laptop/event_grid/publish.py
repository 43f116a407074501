"""What a custom topic accepts from a publisher, and how it refuses the rest."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from laptop.event_grid.envelope import Published, Schema, timestamp
from laptop.identity import Identity, Unauthorized

AUDIENCE = "https://eventgrid.azure.net"
REQUEST_BYTES_MAX = 1_536_000  # what the service really takes; its documentation says 1 MB
EVENT_BYTES_MAX = 1_049_600
_SCHEMA_NAMES: Mapping[Schema, str] = {"cloud": "CloudEventV10", "eventgrid": "EventGridEvent"}
_REQUIRED: Mapping[Schema, Sequence[str]] = {
    "cloud": ("specversion", "id", "source", "type"),
    "eventgrid": ("subject", "id", "eventType", "eventTime"),
}
_STATUS_NAMES: Mapping[int, str] = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
}


class Refusal(Exception):
    """A publish request the service would not take.

    Args:
        status: HTTP status.
        code: The code in the error's details.
        message: What the service says.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def answer(self) -> JSONResponse:
        """The service's error envelope."""
        request_id, now = uuid4(), datetime.now(UTC)
        report = f"Report '{request_id}:{now:%m/%d/%Y %I:%M:%S %p} (UTC)'"
        message = f"{self.message} {report} to our forums for assistance or raise a support ticket."
        error = {
            "code": _STATUS_NAMES[self.status],
            "message": message,
            "details": [{"code": self.code, "message": message}],
        }
        return JSONResponse({"error": error}, self.status, headers={"x-ms-request-id": str(request_id)})


def authorize(headers: Headers, identity: Identity, key: str) -> None:
    """Check who publishes: a bearer token for Event Grid, or the topic's key.

    Raises:
        Refusal: Neither is there, or it is wrong. ``aeg-sas-token`` is not supported by this relay.
    """
    if "authorization" in headers:
        try:
            identity.claims(headers["authorization"], AUDIENCE)
        except Unauthorized as problem:
            raise Refusal(401, "Unauthorized", f"The access token is not authorized: {problem.why}.") from problem
        return
    if "aeg-sas-key" not in headers:
        what = "Request must contain one of the following authorization signature: aeg-sas-token, aeg-sas-key."
        raise Refusal(401, "Unauthorized", what)
    if not secrets.compare_digest(headers["aeg-sas-key"].encode(), key.encode()):
        host = headers.get("host", "").upper()
        raise Refusal(401, "Unauthorized", f"The request authorization key is not authorized for {host}.")


def read_events(content: bytes, content_type: str, *, topic: str, schema: Schema) -> list[Published]:
    """The events of a publish request.

    Args:
        content: The request's body.
        content_type: Its Content-Type.
        topic: ARM id of the topic.
        schema: The one envelope the topic takes.

    Raises:
        Refusal: Too large, not JSON, or not in the topic's schema.
    """
    if len(content) > REQUEST_BYTES_MAX:
        raise _too_large(REQUEST_BYTES_MAX)
    raw = _elements(content, content_type.partition(";")[0].strip().lower(), schema)
    for one in raw:
        if len(one) > EVENT_BYTES_MAX:
            raise _too_large(EVENT_BYTES_MAX)
    return [Published(topic, schema, _checked(msgspec.json.decode(one), schema)) for one in raw]


def _elements(content: bytes, content_type: str, schema: Schema) -> list[msgspec.Raw]:
    batched = schema == "eventgrid" or content_type == "application/cloudevents-batch+json"
    known = {"application/json"} | ({"application/cloudevents+json"} if schema == "cloud" else set())
    if content_type not in known and not (schema == "cloud" and batched):
        raise Refusal(
            415, "InvalidContentType", "The Content-Type header is either missing or it doesn't have a valid value."
        )
    try:
        document = msgspec.json.decode(content, type=list[msgspec.Raw] if batched else dict[str, msgspec.Raw])
    except msgspec.ValidationError as problem:
        raise _unexpected(schema, expected="StartArray" if batched else "StartObject") from problem
    except msgspec.DecodeError as problem:
        raise Refusal(400, "InputJsonInvalid", f"The request's body is not JSON: {problem}.") from problem
    if not document:
        raise _unexpected(schema, expected="StartObject")
    return document if isinstance(document, list) else [msgspec.Raw(content)]


def _checked(body: object, schema: Schema) -> Mapping[str, object]:
    if not isinstance(body, dict):
        raise _unexpected(schema, expected="StartObject")
    for name in _REQUIRED[schema]:
        if not isinstance(body.get(name), str) or (not body[name] and name != "subject"):
            what = f"This resource is configured for '{_SCHEMA_NAMES[schema]}' schema"
            raise Refusal(400, "InputJsonInvalid", f"{what} and requires '{name}' property to be set.")
    if schema == "cloud" and body["specversion"] != "1.0":
        raise _unexpected(schema, expected="specversion 1.0")
    if schema == "cloud" and "time" not in body:
        return {**body, "time": timestamp(datetime.now(UTC))}
    return body


def _unexpected(schema: Schema, *, expected: str) -> Refusal:
    return Refusal(
        400,
        "InputJsonInvalid",
        f"This resource is configured to receive event in '{_SCHEMA_NAMES[schema]}' schema. "
        f"The JSON received does not conform to the expected schema. Token Expected: {expected}.",
    )


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal(413, "PayloadTooLarge", f"The maximum size ({limit_bytes}) has been exceeded.")
