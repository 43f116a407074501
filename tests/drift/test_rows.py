"""Raw rows of devices without our sketching: checked, counted like a sketch of the same rows, and once."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import azure.functions as func
import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions import field
from functions.drift.perform import take
from functions.drift.profiles import Profiles
from functions.drift.rows import AT_ONCE, Counted, Table
from functions.drift.runs import Batch
from functions.drift.state import DeviceState
from functions.drift.trigger import score_drift_on_device_event, score_drift_on_telemetry
from functions.telemetry import NOTHING, Arrived, RawTelemetry
from functions.wiring import using
from sketch.profile import Profile
from sketch.sketch import Sketch, places_of
from tests.drift.devices import REFERENCE, Columns, draw
from tests.drift.test_trigger import by_event_grid, quarantined, routed, told
from tests.fakes.cloud import FakeCloud

ROWS = 40
DRAWN = draw(np.random.default_rng(1), ROWS)
COLUMNS: dict[str, list[object]] = {name: list(np.asarray(values, object)) for name, values in DRAWN.items()}
SCORES: list[float] = np.random.default_rng(2).random(ROWS).tolist()
BY_ROW: list[dict[str, object]] = [
    {**{name: values[n] for name, values in COLUMNS.items()}, "score": SCORES[n]} for n in range(ROWS)
]
EXPECTED = Sketch(REFERENCE)
EXPECTED.add(DRAWN, SCORES)


def raw(sequence: int = 0, **members: object) -> dict[str, object]:
    """A message of raw rows; without others, those above column by column."""
    common = {name: told(sequence)[name] for name in ("v", "loop", "model", "version", "epoch", "sequence", "to")}
    return {**common, "kind": "rows", **(members or {"columns": COLUMNS, "scores": SCORES})}


@contextmanager
def cloud() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as found:
        assert isinstance(found, FakeCloud)
        for version in ("1", "2"):
            found.blobs.put("models", f"flight-delays/{version}/profile.json", REFERENCE.to_json().encode())
        yield found


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with cloud() as found:
        yield found


def state(here: FakeCloud) -> DeviceState:
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored
    assert isinstance(stored.row["state"], bytes)
    return DeviceState.from_bytes(stored.row["state"])


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "zlib"])
def test_raw_rows_count_as_a_sketch_would_and_once(
    here: FakeCloud, *, by_row: bool, pack: Callable[[bytes], bytes]
) -> None:
    message = routed(pack(json.dumps(raw(rows=BY_ROW) if by_row else raw()).encode()))
    for _ in range(2):
        score_drift_on_telemetry([message, message])
    assert not quarantined(here)
    assert np.array_equal(state(here).pending, REFERENCE.by_stretch(EXPECTED.counts))
    assert state(here).profile == REFERENCE.hash


def test_raw_rows_come_by_event_grid_too(here: FakeCloud) -> None:
    score_drift_on_device_event(by_event_grid(raw()))
    assert np.array_equal(state(here).pending, REFERENCE.by_stretch(EXPECTED.counts))


def test_rows_columns_and_devices_may_be_mixed_in_one_batch(here: FakeCloud) -> None:
    other = {"connection-device-id": "ewr"}
    batch = [
        routed(raw(0)),
        routed(raw(7), **other),
        routed(raw(1, rows=BY_ROW)),
        routed(raw(2, rows=[])),
        routed(raw(3)),
    ]
    score_drift_on_telemetry(batch)
    assert np.array_equal(state(here).pending, 3 * REFERENCE.by_stretch(EXPECTED.counts))
    assert here.rows.get("devices", "flight-delays", "ewr/inference")


SKETCHED = told(version="2", profile=REFERENCE.hash, rows=ROWS, sketch=base64.b64encode(EXPECTED.to_bytes()).decode())
CHANGES: list[Callable[[dict[str, object]], dict[str, object] | bytes]] = [
    lambda told: told,
    lambda told: told,
    lambda told: json.dumps(told, indent=1).encode(),
    lambda told: gzip.compress(json.dumps(told).encode()),
    lambda told: json.dumps(told).encode()[:-1],
    lambda told: {**told, "epoch": "e2"},
    lambda told: {**told, "version": "2"},
    lambda told: {**told, "profile": REFERENCE.hash},
    lambda told: {**told, "profile": "0" * 16},
    lambda told: {**told, "deviceId": "lga"},
    lambda told: {**told, "deviceId": "jfk"},
    lambda told: {**told, "of no feature": {"deep": [1, "x"]}},
    lambda told: {**told, "scores": None},
    lambda told: {**told, "columns": COLUMNS, "scores": SCORES},
    lambda told: {**raw(), **{name: told[name] for name in ("sequence", "to")}},
    lambda told: {**told, "requests": 3, "failed": 1},
    lambda told: {**told, "rows": []},
    lambda told: {**told, "rows": [{**BY_ROW[0], "temp": None, "carrier": "a name to come"}]},
    lambda told: {**told, "rows": [{**BY_ROW[0], "temp": "1"}]},
    lambda told: {**told, "to": "2027-01-01T00:00:00Z"},
    lambda told: {**told, "to": "2026-03-01T12:00:00"},
    lambda told: {**told, "sequence": max(0, told["sequence"] - 1)},  # type: ignore[operator] # a number
    lambda told: {**told, "v": 2},
    lambda told: {**told, "kind": "columns"},
    lambda told: {**told, "of no feature": "x" * 300_000},
    lambda told: {**SKETCHED, **{name: told[name] for name in ("sequence", "to")}},
]


@example([(CHANGES[0], "lga"), (CHANGES[-1], "lga"), (CHANGES[0], "lga")])  # there and back between two versions
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.sampled_from(["lga", "ewr"])), max_size=12))
def test_messages_come_to_the_same_together_and_one_by_one(
    sent: list[tuple[Callable[[dict[str, object]], dict[str, object] | bytes], str]],
) -> None:
    messages = []
    for n, (change, device) in enumerate(sent):
        body = change(raw(n, rows=BY_ROW[n : n + 2]) | {"to": "2026-03-01T12:01:00Z"})
        raw_body = body if isinstance(body, bytes) else json.dumps(body).encode()
        sender, enqueued = {"connection-device-id": device}, datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
        messages.append(func.EventHubEvent(body=raw_body, enqueued_time=enqueued, iothub_metadata=sender))
    assert delivered([messages]) == delivered([[message] for message in messages])


def delivered(batches: list[list[func.EventHubEvent]]) -> tuple[object, ...]:
    """What is known of each device, and what was set aside, after these batches."""
    with cloud() as here:
        for batch in batches:
            score_drift_on_telemetry(batch)
        rows = {stored.key: stored.row for stored in here.rows.find("devices", "flight-delays")}
        states = {
            key: DeviceState.from_bytes(row["state"]) for key, row in rows.items() if isinstance(row["state"], bytes)
        }
        return states, {key: row[field.COLUMN] for key, row in rows.items()}, quarantined(here)


def test_a_run_has_the_number_rows_and_moment_of_each_message(here: FakeCloud) -> None:
    batch, profiles, moments = Batch(), Profiles(here), ["2026-03-01T12:00:00.000007Z", "1969-12-31T23:59:59.5Z"]
    for n, moment in enumerate(moments, 4):
        body = json.dumps(raw(n, rows=BY_ROW[:n]) | {"to": moment}).encode()
        came = Arrived(body, "lga", "lga/inference", None)
        if not batch.again(came):
            take(came, profiles, batch)
    ((stint,),) = batch.stints()
    assert stint.run.sequences.tolist() == [4, 5]
    assert stint.run.rows.tolist() == [4, 5]
    assert stint.run.at_us.tolist() == [1_772_366_400_000_007, -500_000]


def test_a_process_that_starts_again_and_again_is_counted_once_however_often_all_is_delivered(here: FakeCloud) -> None:
    starts = [routed(raw(0, rows=BY_ROW[:1]) | {"epoch": f"start-{n}"}) for n in range(40)]
    for _ in range(2):
        score_drift_on_telemetry(starts)
    assert state(here).pending_rows == 40


def test_a_missing_value_is_null(here: FakeCloud) -> None:
    columns = {**COLUMNS, "temp": [None] * ROWS, "carrier": [None] * ROWS}
    by_row = [{**row, "temp": None, "carrier": None} for row in BY_ROW]
    score_drift_on_telemetry([routed(raw(0, columns=columns, scores=SCORES)), routed(raw(1, rows=by_row))])
    expected = Sketch(REFERENCE)
    expected.add({**DRAWN, "temp": [None] * ROWS, "carrier": [None] * ROWS}, SCORES)
    assert np.array_equal(state(here).pending, 2 * REFERENCE.by_stretch(expected.counts))


def test_a_row_counts_as_a_request_unless_the_device_says_how_many_there_were(here: FakeCloud) -> None:
    again = {"columns": COLUMNS, "scores": SCORES, "requests": 2, "failed": 1, "to": told(0)["to"]}
    score_drift_on_telemetry([routed(raw(0)), routed(raw(1, **again))])
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored
    (period,) = field.from_bytes(stored.row[field.COLUMN])["1"].periods
    assert (period.rows, period.requests, period.failed) == (2 * ROWS, ROWS + 2, 1)


BAD = {
    "truth for a number": (raw(rows=[{**BY_ROW[0], "temp": True}]), "TEL_TYPE"),
    "text for a number": (raw(rows=[{**BY_ROW[0], "temp": "1"}]), "TEL_TYPE"),
    "an object for a number": (raw(rows=[{**BY_ROW[0], "temp": {}}]), "TEL_TYPE"),
    "a number for a category": (raw(rows=[{**BY_ROW[0], "carrier": 1}]), "TEL_TYPE"),
    "a feature that is absent": (raw(rows=[{"temp": 1.0, "score": 0.5}]), "TEL_TYPE"),
    "no score": (raw(rows=[{name: values[0] for name, values in COLUMNS.items()}]), "TEL_TYPE"),
    "a column that is absent": (raw(columns={"temp": [1.0]}, scores=[0.1]), "TEL_TYPE"),
    "a column too short": (raw(columns={**COLUMNS, "temp": [1.0]}, scores=SCORES), "TEL_TYPE"),
    "columns without scores": (raw(columns=COLUMNS), "TEL_TYPE"),
    "rows and columns": (raw(columns=COLUMNS, scores=SCORES, rows=BY_ROW), "TEL_TYPE"),
    "no rows at all": (raw(profile=REFERENCE.hash), "TEL_TYPE"),
    "not a number": (raw(rows=[{**BY_ROW[0], "temp": float("nan")}]), "TEL_NUMBER"),
    "not a number in words": (raw(rows=[{**BY_ROW[0], "temp": "NaN"}]), "TEL_TYPE"),
    "a version that is a path": (raw(version="../../x", rows=BY_ROW), "TEL_TYPE"),
    "a name with a line": (raw(epoch="e\n1", rows=BY_ROW), "TEL_TYPE"),
    "a format to come": ({**raw(rows=BY_ROW), "v": 99}, "TEL_SCHEMA_VERSION"),
    "no format": ({name: value for name, value in raw(rows=BY_ROW).items() if name != "v"}, "TEL_SCHEMA_VERSION"),
    "another device's name": ({**raw(rows=BY_ROW), "deviceId": "lga"}, "TEL_SPOOF"),
    "a model nobody made": ({**raw(rows=BY_ROW), "version": "77"}, "TEL_MODEL"),
    "another model's profile": (raw(rows=BY_ROW, profile="0" * 16), "TEL_MODEL"),
    "60,000 members": (raw(rows=BY_ROW, **{f"k{n}": n for n in range(60_000)}), "TEL_SIZE"),
}


@pytest.mark.parametrize("kind", BAD)
def test_raw_rows_that_cannot_be_counted_are_set_aside_and_their_neighbours_count(here: FakeCloud, kind: str) -> None:
    bad, code = BAD[kind]
    score_drift_on_telemetry([routed(raw(0)), routed(bad, **{"connection-device-id": "jfk"}), routed(raw(1))])
    assert state(here).pending_rows == 2 * ROWS
    assert here.rows.get("devices", "flight-delays", "jfk/inference") is None
    assert quarantined(here) == [code]


PACKED: dict[str, tuple[func.EventHubEvent, str]] = {
    "a number without end": (
        routed(json.dumps(raw(rows=[{**BY_ROW[0], "temp": 12345}])).replace("12345", "1e999").encode()),
        "TEL_NUMBER",
    ),
    "a bomb": (routed(gzip.compress(b" " * 2_000_000)), "TEL_SIZE"),
    "half of a gzip": (routed(gzip.compress(json.dumps(raw()).encode())[:-40]), "TEL_JSON"),
    "a gzip without its checksum": (routed(gzip.compress(json.dumps(raw()).encode())[:-8]), "TEL_JSON"),
    "two messages in one gzip": (routed(2 * gzip.compress(json.dumps(raw()).encode())), "TEL_JSON"),
    "a zlib with something behind": (routed(zlib.compress(json.dumps(raw()).encode()) + b"\n"), "TEL_JSON"),
    "no gzip at all": (routed(b"\x1f\x8b but no gzip"), "TEL_JSON"),
    "depth in a row": (routed(b'{"kind":"rows","rows":' + b"[" * 100_000), "TEL_DEPTH"),
}


@pytest.mark.parametrize("kind", PACKED)
def test_bytes_that_are_no_rows_are_set_aside(here: FakeCloud, kind: str) -> None:
    bad, code = PACKED[kind]
    score_drift_on_telemetry([bad, routed(raw(0))])
    assert quarantined(here) == [code]
    assert state(here).pending_rows == ROWS


@given(st.lists(st.lists(st.integers(0, ROWS - 1), max_size=6), min_size=1, max_size=6), st.data())
def test_any_messages_counted_at_once_are_the_sum_of_each(messages: list[list[int]], data: st.DataObject) -> None:
    table = Table(REFERENCE)
    chosen = [n for n in range(len(messages)) if data.draw(st.booleans())]
    order = [*chosen, *(n for n in range(len(messages)) if n not in chosen)]
    counted = taken(table, [message(rows, by_row=data.draw(st.booleans())) for rows in messages], order)
    expected = Sketch(REFERENCE)
    for rows in (messages[n] for n in chosen):
        expected.add_rows([BY_ROW[n] for n in rows], [SCORES[n] for n in rows])
    assert np.array_equal(counted.sum(np.arange(len(chosen))), REFERENCE.by_stretch(expected.counts))
    assert np.array_equal(counted.scores(np.arange(len(chosen))), expected.counts[REFERENCE.score_block])


def test_rows_of_more_messages_than_are_counted_at_once_stay_with_their_messages() -> None:
    table, many = Table(REFERENCE), [[n % ROWS] for n in range(2 * AT_ONCE + 7)]
    some = [2 * AT_ONCE + 3, AT_ONCE, 5]
    counted = taken(table, [message(rows, by_row=len(rows) == n % 2) for n, rows in enumerate(many)], some)
    expected = Sketch(REFERENCE)
    for n in some[1:]:
        expected.add_rows([BY_ROW[place] for place in many[n]], [SCORES[place] for place in many[n]])
    assert np.array_equal(counted.sum(np.array([1, 2])), REFERENCE.by_stretch(expected.counts))


def taken(table: Table, messages: list[RawTelemetry], order: list[int]) -> Counted:
    """What some messages counted, in an order, of all that a table has taken up."""
    rows = np.array([table.read(one) for one in messages])
    return table.contents(np.array(order, np.intp), rows)(slice(None))


def message(rows: list[int], *, by_row: bool) -> RawTelemetry:
    bare = msgspec.convert({**raw(), "columns": NOTHING, "scores": NOTHING, "rows": NOTHING}, RawTelemetry)
    if by_row:
        return msgspec.structs.replace(bare, rows=packed([BY_ROW[n] for n in rows]))
    columns = {name: [values[n] for n in rows] for name, values in COLUMNS.items()}
    return msgspec.structs.replace(bare, columns=packed(columns), scores=packed([SCORES[n] for n in rows]))


def packed(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_pairs_and_contexts_are_counted_too_and_a_context_need_not_be_told() -> None:
    rng = np.random.default_rng(4)
    columns: Columns = {**draw(rng, 2_000), "hour": rng.integers(0, 24, 2_000).astype(float)}
    kinds = {"temp": "number", "wind": "number", "carrier": "category"}
    profile = Profile.build(columns, kinds=kinds, scores=rng.random(2_000), pairs=[("temp", "wind")], contexts=["hour"])  # type: ignore[arg-type] # as written
    wide = {name: np.asarray(values, object)[:50].tolist() for name, values in columns.items()}
    narrow = {name: values for name, values in wide.items() if name != "hour"}
    expected = Sketch(profile)
    expected.add(wide, [0.5] * 50)
    table = Table(profile)
    bare = msgspec.convert({**raw(), "columns": NOTHING, "scores": packed([0.5] * 50), "rows": NOTHING}, RawTelemetry)
    counted = taken(table, [msgspec.structs.replace(bare, columns=packed(some)) for some in (wide, narrow)], [0, 1])
    assert np.array_equal(counted.sum(np.array([0])), profile.by_stretch(expected.counts))
    less = Sketch(profile)
    less.add(narrow, [0.5] * 50)
    assert np.array_equal(counted.sum(np.array([1])), profile.by_stretch(less.counts))


NAMED: dict[str, tuple[str, ...]] = {"carrier": ("AA", "B6", "", 'a "name"'), "site": ("lga", "ewr")}


def named_profile() -> Profile:
    """Of names: a feature that is no context, one that is and whose values were numbers, and a context alone.

    Store 3 is of no site, so that it is no context's.
    """
    rng = np.random.default_rng(3)
    stores = rng.integers(0, 4, 300)
    columns: Columns = {name: rng.choice(names, 300).tolist() for name, names in NAMED.items()}
    columns |= {"temp": rng.normal(50, 10, 300), "store": stores}
    columns["site"] = [None if store == 3 else site for store, site in zip(stores, columns["site"], strict=True)]
    kinds = {"temp": "number", "carrier": "category", "store": "category"}
    return Profile.build(columns, kinds=kinds, scores=rng.random(300), contexts=["store", "site"])  # type: ignore[arg-type] # as written


OF_NAMES = named_profile()
SOME_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "temp": st.none() | st.floats(0, 100),
            "carrier": st.none() | st.sampled_from([*NAMED["carrier"], "new"]) | st.text(max_size=3),
            "store": st.none() | st.sampled_from(["0", "1", "2", "3", "4", "1.0", "no number"]),
            "site": st.none() | st.sampled_from([*NAMED["site"], "lax"]),
        }
    ),
    min_size=1,
    max_size=8,
)


@given(SOME_ROWS, st.booleans())
def test_names_known_unknown_and_missing_count_as_in_a_sketch(rows: list[dict[str, object]], by_row: bool) -> None:  # noqa: FBT001  # drawn
    expected, table = Sketch(OF_NAMES), Table(OF_NAMES)
    expected.add_rows(rows, [0.25] * len(rows))
    bare = msgspec.convert({**raw(), "columns": NOTHING, "scores": NOTHING, "rows": NOTHING}, RawTelemetry)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    one = (
        msgspec.structs.replace(bare, rows=packed([{**row, "score": 0.25} for row in rows]))
        if by_row
        else msgspec.structs.replace(bare, columns=packed(columns), scores=packed([0.25] * len(rows)))
    )
    counted = taken(table, [one], [0])
    assert np.array_equal(counted.sum(np.array([0])), OF_NAMES.by_stretch(expected.counts))


def test_places_are_where_a_sketch_counts() -> None:
    places = places_of(REFERENCE, DRAWN, SCORES)
    assert places.shape == (ROWS, len(REFERENCE.blocks))
    assert np.array_equal(np.bincount(places.ravel(), minlength=len(EXPECTED.counts)), EXPECTED.counts)
