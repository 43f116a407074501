"""What devices send, from bytes to a checked message: the wire of telemetry, whichever envelope brought it."""

import base64
import re
import zlib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from functions.field import LATENCIES
from functions.outcomes import MOST_STRETCHES, Outcomes
from functions.unusable import shown, unusable

TELEMETRY_LIMIT = 256 * 1024  # bytes; IoT Hub's own limit for a device message
INFLATED_LIMIT = 1024 * 1024  # bytes of a message that came compressed
COMPRESSED = (b"\x1f\x8b", b"x")  # how gzip and zlib begin, and no JSON does
RAW = re.compile(rb'"kind"\s*:\s*"rows"')
NO_NUMBER = re.compile(rb'[:\[,]\s*"?[+-]?(?:nan|inf|infinity)"?\s*[,\]}]', re.IGNORECASE)
DEEP = re.compile(rb"(?:[\[{][^\[{\]}]*+){64}")
OLDEST = timedelta(days=366)  # what happened longer ago than this did not: the clock that says so is wrong
_NOW = timedelta(0)

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
SHORT, VERSION, HASH = r"^[!-~]{1,128}\Z", r"^[0-9]{1,9}\Z", r"^[0-9a-f]{16}\Z"
Short = Annotated[str, msgspec.Meta(pattern=SHORT)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
NOTHING = msgspec.Raw()


class _Versioned(msgspec.Struct):
    v: int = 0  # An object without one is of another format.


class Shadowed(msgspec.Struct, frozen=True):
    """How a version that scores silently differs from the one that answers, over the rows it saw."""

    version: Annotated[str, msgspec.Meta(pattern=VERSION)]
    rows: Count
    moved: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    flipped: Count


class Telemetry(msgspec.Struct, frozen=True):
    """One window's sketch and counters, as edge/telemetry.py writes them.

    Times are UTC; latencies are milliseconds; sketch is base64 of Sketch.to_bytes().
    """

    v: int
    loop: Short
    model: Short
    version: Annotated[str, msgspec.Meta(pattern=VERSION)]
    profile: Annotated[str, msgspec.Meta(pattern=HASH)]
    epoch: Short
    sequence: Count
    rows: Count
    requests: Count
    failed: Count
    sketch: str
    opened_at: Moment = msgspec.field(name="from")
    closed_at: Moment = msgspec.field(name="to")
    latency_counts: Annotated[list[Count], msgspec.Meta(min_length=LATENCIES, max_length=LATENCIES)] | None = None
    shadow: Shadowed | None = None
    outcomes: Annotated[tuple[Outcomes, ...], msgspec.Meta(max_length=MOST_STRETCHES)] = ()
    claimed: str = msgspec.field(name="deviceId", default="")  # by the device's own word, which must be the hub's


class RawTelemetry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Rows as they were scored, of a device that makes no sketches: `rows`, or `columns` and `scores`.

    What is inside of them depends on the model: functions/drift/rows.py reads it. Names are checked once each, not once
    a message, by `_check_names`.
    """

    v: int
    loop: str
    model: str
    version: str
    epoch: str
    sequence: Count
    closed_at: Moment = msgspec.field(name="to")
    kind: Literal["rows"]
    profile: str = ""
    rows: msgspec.Raw = NOTHING
    columns: msgspec.Raw = NOTHING
    scores: msgspec.Raw = NOTHING
    requests: Count | None = None
    failed: Count = 0
    latency_counts: Annotated[list[Count], msgspec.Meta(min_length=LATENCIES, max_length=LATENCIES)] | None = None
    outcomes: Annotated[tuple[Outcomes, ...], msgspec.Meta(max_length=MOST_STRETCHES)] = ()
    claimed: str = msgspec.field(name="deviceId", default="")  # by the device's own word, which must be the hub's


_sketches, _raws = msgspec.json.Decoder(Telemetry), msgspec.json.Decoder(RawTelemetry)


type Told = Telemetry | RawTelemetry


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A device's message as it came, and what IoT Hub says of it.

    Args:
        body: JSON, or gzip or zlib of it.
        device: Who sent it, by the hub's word; "" where the hub named no device.
        sender: Device and module, such as "lga/inference".
        enqueued: When the hub took it over, by the hub's clock; None where the envelope does not say.
    """

    body: bytes
    device: str
    sender: str
    enqueued: datetime | None

    def happened(self, told: Told) -> datetime:
        """When it happened: what the device says, unless its clock is ahead of the hub's or a year behind."""
        said, taken = told.closed_at, self.enqueued
        return said if taken is None or _NOW <= taken - said <= OLDEST else taken


def read(came: Arrived) -> Told:
    """Check what a device sent.

    Raises:
        Poison: TEL_* for a body that can never be counted.
    """
    body, device = came.body, came.device
    if not device:
        raise unusable("telemetry", "?", why="IoT Hub named no device", code="TEL_SPOOF")
    if len(body) > TELEMETRY_LIMIT:
        raise unusable("telemetry", device, why=f"{len(body)} bytes", code="TEL_SIZE")
    if body.startswith(COMPRESSED):
        body = _inflated(body, device)
    told = _decoded(body, device)
    if told.claimed and told.claimed != device:
        raise unusable("telemetry", device, why=f"it says it is of {shown(told.claimed)}", code="TEL_SPOOF")
    if told.v != 1:
        raise unusable("telemetry", device, why=f"its version is {told.v}", code="TEL_SCHEMA_VERSION")
    return told


def sketch_bytes(told: Telemetry, device: str) -> bytes:
    """The sketch as bytes.

    Raises:
        Poison: It is not base64.
    """
    try:
        return base64.b64decode(told.sketch, validate=True)
    except ValueError as problem:
        raise unusable("telemetry", device, why=f"sketch: {problem}", code="TEL_TYPE") from problem


def _inflated(body: bytes, device: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # by its own word gzip or zlib
    try:
        plain = unpacker.decompress(body, INFLATED_LIMIT + 1)
    except zlib.error as problem:
        raise unusable("telemetry", device, why=f"it begins as if compressed: {problem}", code="TEL_JSON") from problem
    if len(plain) > INFLATED_LIMIT:
        raise unusable("telemetry", device, why=f"more than {INFLATED_LIMIT} bytes when inflated", code="TEL_SIZE")
    if not unpacker.eof or unpacker.unused_data:
        why = "something follows what was compressed" if unpacker.eof else "what was compressed is cut off"
        raise unusable("telemetry", device, why=why, code="TEL_JSON")
    return plain


def _decoded(body: bytes, device: str) -> Telemetry | RawTelemetry:
    try:
        if b'"kind":"rows"' not in body and not RAW.search(body):
            return _sketches.decode(body)
        raw = _raws.decode(body)
        _check_names(raw.loop, raw.model, raw.version, raw.profile or "0" * 16, raw.epoch)
    except msgspec.ValidationError as problem:
        raise unusable("telemetry", device, why=str(problem), code=_code(body, problem)) from problem
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise unusable("telemetry", device, why=str(problem), code=_code(body, problem)) from problem
    return raw


@lru_cache(maxsize=4096)
def _check_names(*names: str) -> None:
    """Loop, model, version, profile and epoch, as `Telemetry` has them; ValidationError for one that is none."""
    for form, name in zip((SHORT, SHORT, VERSION, HASH, SHORT), names, strict=True):
        if not re.match(form, name):
            raise msgspec.ValidationError(f"{shown(name)!r} is not of the form {form}")


def _code(body: bytes, problem: Exception) -> str:
    """Why a body is no telemetry, in one word."""
    if DEEP.search(body) or isinstance(problem, RecursionError):
        return "TEL_DEPTH"
    if "out of range" in str(problem) or NO_NUMBER.search(body):
        return "TEL_NUMBER"
    if not isinstance(problem, msgspec.ValidationError) or not _is_whole(body):
        return "TEL_JSON"
    return "TEL_TYPE" if _version(body) in (1, None) else "TEL_SCHEMA_VERSION"


def _is_whole(body: bytes) -> bool:
    """Whether it is JSON to its end; that it is no telemetry may be seen before."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def _version(body: bytes) -> int | None:
    """The version a body claims; None if it claims none."""
    try:
        return msgspec.json.decode(body, type=_Versioned).v
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
