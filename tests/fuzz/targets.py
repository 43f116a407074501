"""What strangers' bytes reach: each parser takes any bytes, and either reads them or refuses them on purpose."""

import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import azure.functions as func
import numpy as np

from functions import envelope
from functions.drift.rows import Table, alike, reader_of
from functions.errors import Ignored, Poison
from functions.settings import Settings, load
from functions.telemetry import Arrived, RawTelemetry, read, sketch_bytes
from sketch.profile import Kind, Profile
from sketch.sketch import MAGIC, VERSION, Sketch
from tests.fakes.cloud import ENVIRONMENT

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KINDS: Mapping[str, Kind] = {"temp": "number", "carrier": "category"}


@cache
def profile() -> Profile:
    """A small reference."""
    rng = np.random.default_rng(1)
    columns = {"temp": rng.normal(50, 10, 500), "carrier": rng.choice(["AA", "B6"], 500).tolist()}
    return Profile.build(columns, kinds=KINDS, scores=rng.random(500))


@cache
def _settings() -> Settings:
    return load(ENVIRONMENT)


def events(data: bytes) -> None:
    """Any JSON as an Event Grid message, for every function that reads one."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return
    whole = content if isinstance(content, dict) else {"data": content}
    texts: dict[str, Any] = {name: whole.get(name) for name in ("id", "subject", "type", "source")}
    at = NOW if whole.get("time") else None
    message = func.CloudEvent(
        specversion="1.0",
        id=texts["id"],
        source=texts["source"],
        type=texts["type"],
        data=whole.get("data"),
        subject=texts["subject"],
        time=at,
    )
    for parse in (envelope.read_upload, envelope.read_run, envelope.read_registration, envelope.read_drift):
        with suppress(Poison, Ignored):
            parse(message, _settings())
    with suppress(Poison, Ignored):
        envelope.read_device_event(message, _settings())


def telemetry(data: bytes) -> None:
    """Any bytes as a device's message, with the rows or the sketch in it; decoded in one step, the same if at all."""
    with suppress(ValueError, RecursionError):
        once = alike(profile(), "flight-delays", "1", named="")(data)
        if once.epoch == "e1" and once.claimed in ("", "lga"):
            twice = read(Arrived(data, "lga", "lga/inference", NOW))
            assert isinstance(twice, RawTelemetry)
            assert once.rows == reader_of(profile()).rows_of(twice.rows)
            assert (once.sequence, once.closed_at, once.requests) == (twice.sequence, twice.closed_at, twice.requests)
    with suppress(Poison):
        came = Arrived(data, "lga", "lga/inference", NOW)
        told = read(came)
        assert came.happened(told) is not None
        with suppress(ValueError):
            if isinstance(told, RawTelemetry):
                table = Table(profile())
                table.contents(np.zeros(1, np.intp), np.array([table.read(told)]))
            else:
                Sketch.from_bytes(sketch_bytes(told, "lga"), profile())


def sketches(data: bytes) -> None:
    """Any bytes as a sketch: as they are, behind a right checksum, and packed behind one."""
    head = MAGIC + bytes([VERSION]) + bytes.fromhex(profile().hash)
    for body in (data, zlib.compress(data)):
        sealed = head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body
        for whole in (data, sealed):
            with suppress(ValueError):
                read_back = Sketch.from_bytes(whole, profile())
                assert Sketch.from_bytes(read_back.to_bytes(), profile()) == read_back


TARGETS: Mapping[str, Callable[[bytes], None]] = {"events": events, "telemetry": telemetry, "sketches": sketches}
