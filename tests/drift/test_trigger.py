"""Telemetry as the host hands it over, in batches and one by one: counted once, or set aside with its reason."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import azure.functions as func
import numpy as np
import pytest

from functions import field
from functions.drift.perform import TRIES
from functions.drift.state import DeviceState
from functions.drift.trigger import score_drift_on_device_event, score_drift_on_telemetry
from functions.errors import Transient
from functions.events import DriftDetected
from functions.journal import entries
from functions.ports import Row, Stored
from functions.wiring import using
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch
from tests.fakes.cloud import ENVIRONMENT, FakeCloud, FakeRows
from tests.messages import message

KINDS: Mapping[str, Kind] = {"temp": "number", "wind_speed": "number", "visib": "number"}
WINDOW = 2_000  # rows: the window of loops/flight-delays.toml


def profile_of(seed: int) -> Profile:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(50, 10, 20_000) for name in KINDS}
    return Profile.build(columns, kinds=KINDS, scores=rng.random(20_000))


PROFILE, OTHER_PROFILE = profile_of(1), profile_of(2)


def sketch_of(rows: int, *, warmer_by: float = 0, profile: Profile = PROFILE) -> str:
    rng = np.random.default_rng(rows)
    columns = {name: rng.normal(50, 10, rows) for name in KINDS}
    columns["temp"] += warmer_by
    sketch = Sketch(profile)
    sketch.add(columns, rng.random(rows))
    return base64.b64encode(sketch.to_bytes()).decode()


SKETCH = sketch_of(100)


def told(sequence: int = 0, **changes: object) -> dict[str, object]:
    """A device's message; each change replaces one member."""
    closed = datetime(2026, 3, 1, 12, 1, tzinfo=UTC) + timedelta(seconds=sequence)
    window = {"from": "2026-03-01T12:00:00Z", "to": closed.isoformat()}
    names = {"loop": "flight-delays", "model": "flight-delays", "version": "1", "profile": PROFILE.hash}
    counts = {"v": 1, "epoch": "e1", "sequence": sequence, "rows": 100, "requests": 10, "failed": 0, "sketch": SKETCH}
    return {**names, **counts, **window, "latency_ms_p50": 1.2, "latency_ms_max": 9.0, **changes}


def routed(body: bytes | dict[str, object], **identity: str) -> func.EventHubEvent:
    """The message as IoT Hub routes it: the hub's word on the sender is not in the body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sender = {"connection-device-id": "lga", "connection-module-id": "inference", **identity}
    return func.EventHubEvent(body=raw, iothub_metadata={name: value for name, value in sender.items() if value})


def by_event_grid(body: object, **changes: object) -> func.EventGridEvent:
    """The same message as Event Grid's DeviceTelemetry."""
    system = {"iothub-connection-device-id": "lga", "iothub-connection-module-id": "inference"}
    data = {"body": body, "systemProperties": system, "properties": {}, **changes}
    kind, topic = "Microsoft.Devices.DeviceTelemetry", ENVIRONMENT["IOTHUB_ID"]
    return message(kind, data, subject="devices/lga", topic=topic)


@contextmanager
def with_two_models() -> Iterator[FakeCloud]:
    """A cloud that knows the profiles of two versions."""
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        for version, profile in (("1", PROFILE), ("2", OTHER_PROFILE)):
            cloud.blobs.put("models", f"flight-delays/{version}/profile.json", profile.to_json().encode())
        yield cloud


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with with_two_models() as cloud:
        yield cloud


def pending_rows(here: FakeCloud, device: str = "lga/inference") -> int:
    stored = here.rows.get("devices", "flight-delays", device)
    if stored is None:
        return 0
    state = stored.row["state"]
    assert isinstance(state, bytes)
    return DeviceState.from_bytes(state).pending_rows


def quarantined(here: FakeCloud, entry: str = "score_drift_on_telemetry") -> list[str]:
    """Codes of what was set aside by an entry point."""
    names = [name for container, name in here.blobs.blobs if container == "quarantine"]
    assert all(name.startswith(f"{entry}/") for name in names)
    return sorted(name.split("/")[1] for name in names)


DEEP = b"[" * 100_000
POISON: Mapping[str, tuple[func.EventHubEvent, str]] = {
    "nothing": (routed(b""), "TEL_JSON"),
    "a page": (routed(b"<html>404</html>"), "TEL_JSON"),
    "half a list": (routed(b"[1,2"), "TEL_JSON"),
    "half a message": (routed(json.dumps(told(rows="?")).encode()[:-30]), "TEL_JSON"),
    "a list": (routed(b"[1,2]"), "TEL_TYPE"),
    "bytes that are no text": (routed(b'{"loop":"\xff\xfe"}'), "TEL_JSON"),
    "a lone surrogate": (routed(b'{"loop":"\\ud800"}'), "TEL_JSON"),
    "not a number": (routed(json.dumps(told(rows=float("nan"))).encode()), "TEL_NUMBER"),
    "infinity": (routed(json.dumps(told(rows=float("-inf"))).encode()), "TEL_NUMBER"),
    "not a number in words": (routed(told(rows="NaN")), "TEL_NUMBER"),
    "a number without end": (
        routed(json.dumps(told(rows=0)).replace('"rows": 0', '"rows": 1e999').encode()),
        "TEL_NUMBER",
    ),
    "text for a number": (routed(told(rows="100")), "TEL_TYPE"),
    "truth for a number": (routed(told(rows=True)), "TEL_TYPE"),
    "null for a number": (routed(told(rows=None)), "TEL_TYPE"),
    "less than nothing": (routed(told(sequence=-1)), "TEL_TYPE"),
    "a missing member": (routed({name: value for name, value in told().items() if name != "sketch"}), "TEL_TYPE"),
    "a time without a zone": (routed({**told(), "from": "2026-03-01T12:00:00"}), "TEL_TYPE"),
    "a version with a line": (routed(told(version="1\n")), "TEL_TYPE"),
    "a version that is a path": (routed(told(version="../../x")), "TEL_TYPE"),
    "control characters": (routed(told(epoch="\x1b[2J\r\n")), "TEL_TYPE"),
    "a format to come": (routed(told(v=99)), "TEL_SCHEMA_VERSION"),
    "no format": (routed({name: value for name, value in told().items() if name != "v"}), "TEL_SCHEMA_VERSION"),
    "a format that looks different": (routed({"v": 2, "windows": []}), "TEL_SCHEMA_VERSION"),
    "no sender": (routed(told(), **{"connection-device-id": ""}), "TEL_SPOOF"),
    "another device's name": (routed(told(deviceId="ewr")), "TEL_SPOOF"),
    "a model nobody made": (routed(told(version="77")), "TEL_MODEL"),
    "another model's profile": (routed(told(version="2")), "TEL_MODEL"),
    "a profile nobody made": (routed(told(profile="0" * 16)), "TEL_MODEL"),
    "a sketch that is no base64": (routed(told(sketch="%%%")), "TEL_TYPE"),
    "a sketch that is not even ASCII": (routed(told(sketch="Skizze: äöü")), "TEL_TYPE"),
    "half a sketch": (routed(told(sketch=SKETCH[: len(SKETCH) // 8 * 4])), "TEL_SKETCH"),
    "an empty sketch": (routed(told(sketch="")), "TEL_SKETCH"),
    "another profile's sketch": (routed(told(sketch=sketch_of(9, profile=OTHER_PROFILE))), "TEL_SKETCH"),
    "too much": (routed(told(sketch="A" * 300_000)), "TEL_SIZE"),
    "a list in a list in a list": (routed(DEEP), "TEL_DEPTH"),
    "depth where nobody looks": (routed(b'{"v":1,"more":' + DEEP), "TEL_DEPTH"),
}


@pytest.mark.parametrize("kind", POISON)
def test_a_message_that_can_never_be_counted_is_set_aside_and_its_neighbours_count(here: FakeCloud, kind: str) -> None:
    poison, code = POISON[kind]
    for _ in range(2):
        score_drift_on_telemetry([routed(told(0)), poison, routed(told(1))])
    assert quarantined(here) == [code]
    assert pending_rows(here) == 200
    ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
    document = json.loads(here.blobs.blobs["quarantine", name])
    assert document["original"] == poison.get_body().decode("utf-8", "backslashreplace")
    assert document["why"]
    assert document["fix"]
    assert here.announcer.kinds() == ["DataQuarantined"]


def test_a_batch_of_every_poison_there_is_counts_the_one_good_message(here: FakeCloud) -> None:
    score_drift_on_telemetry([*(poison for poison, _ in POISON.values()), routed(told())])
    assert pending_rows(here) == 100
    assert quarantined(here) == sorted(code for _, code in POISON.values())
    reasons = [entry.reason for entry in entries(here.rows, ["-"])]
    assert len(reasons) == len(POISON)
    assert all(reason.isprintable() and len(reason) < 1_000 for reason in reasons)


def test_a_device_is_who_the_hub_says_it_is(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(deviceId="lga", device="ewr"))])
    assert pending_rows(here, "lga/inference") == 100
    assert here.rows.get("devices", "flight-delays", "ewr/inference") is None


def test_telemetry_of_somebody_else_s_loop_is_passed_over(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(loop="another")), routed(told(model="another"))])
    assert not quarantined(here)
    assert not here.rows.tables


def test_a_damaged_profile_sets_its_own_telemetry_aside_and_no_other(here: FakeCloud) -> None:
    here.blobs.put("models", "flight-delays/3/profile.json", b"{}")
    score_drift_on_telemetry([routed(told(0, version="3")), routed(told(1))])
    assert quarantined(here) == ["TEL_MODEL"]
    assert pending_rows(here) == 100


def test_a_message_delivered_three_times_counts_once_in_one_batch_and_over_several(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(0))] * 3)
    for _ in range(3):
        score_drift_on_telemetry([routed(told(1)), routed(told(0))])
    assert pending_rows(here) == 200


def test_a_redelivery_writes_nothing_and_leaves_what_the_newest_window_said(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(0))])
    before, writes = here.rows.get("devices", "flight-delays", "lga/inference"), here.rows.writes
    score_drift_on_telemetry([routed(told(0))] * 5)
    assert here.rows.writes == writes
    assert here.rows.get("devices", "flight-delays", "lga/inference") == before
    assert before is not None
    assert before.row["reason"] == "100 of 2000 rows of window 1"


def test_devices_and_modules_are_counted_apart(here: FakeCloud) -> None:
    senders: list[dict[str, str]] = [{}, {"connection-device-id": "ewr"}, {"connection-module-id": "b"}]
    score_drift_on_telemetry([routed(told(), **sender) for sender in senders])
    assert [pending_rows(here, name) for name in ("lga/inference", "ewr/inference", "lga/b")] == [100, 100, 100]


class Contended(FakeRows):
    """Somebody else counts a message of the same device between every look and the write that follows."""

    rivals = 0

    def get(self, table: str, partition: str, key: str) -> Stored | None:
        seen = super().get(table, partition, key)
        if table == "devices" and self.rivals:
            self.rivals -= 1
            score_drift_on_telemetry([routed(told(100 + self.rivals))])
        return seen


@pytest.mark.parametrize("before", [0, 1])
def test_two_owners_of_one_partition_count_every_message_once(here: FakeCloud, before: int) -> None:
    here.rows = Contended()
    score_drift_on_telemetry([routed(told(sequence)) for sequence in range(before)])
    here.rows.rivals = 2
    score_drift_on_telemetry([routed(told(50))])
    assert pending_rows(here) == 100 * (before + 1 + 2)


class Lost(FakeRows):
    """Every compare-and-swap comes too late."""

    def replace(self, table: str, partition: str, *, stored: Stored, row: Row) -> bool:
        super().change(table, partition, keys=[stored.key], values={"touched": self.writes})
        return super().replace(table, partition, stored=stored, row=row)


def test_a_device_that_is_never_free_is_a_reason_to_deliver_again(here: FakeCloud) -> None:
    here.rows = Lost()
    score_drift_on_telemetry([routed(told(0))])
    writes = here.rows.writes
    with pytest.raises(ExceptionGroup, match="1 of 1 devices") as raised:
        score_drift_on_telemetry([routed(told(1))])
    assert isinstance(raised.value.exceptions[0], Transient)
    assert here.rows.writes == writes + TRIES


def use_of(here: FakeCloud) -> field.Use:
    """What the device did with version 1."""
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored
    return field.from_bytes(stored.row[field.COLUMN])["1"]


def warm_windows(first: int, count: int) -> list[func.EventHubEvent]:
    """Full windows of a summer the model was not trained on."""
    sketch = sketch_of(WINDOW, warmer_by=40)
    return [routed(told(number, rows=WINDOW, sketch=sketch)) for number in range(first, first + count)]


def test_a_drift_is_announced_once_with_its_feature_and_its_reason(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(n, rows=WINDOW, sketch=sketch_of(WINDOW))) for n in range(3)])
    assert not here.announcer.announced
    for _ in range(2):
        score_drift_on_telemetry(warm_windows(3, 3))
    score_drift_on_telemetry(warm_windows(6, 3))
    (drift,) = here.announcer.announced.values()
    assert isinstance(drift, DriftDetected)
    assert (drift.loop, drift.device, drift.version, drift.feature) == ("flight-delays", "lga", "1", "temp")
    assert drift.explanation.startswith("temp, share above")
    first, *others = entries(here.rows, ["flight-delays"])
    assert (first.decision, first.subject, first.links) == ("Drifted", "lga", ("flight-delays:1",))
    assert [(entry.decision, entry.subject) for entry in others] == [
        ("Open", "flight-delays~1"),
        ("Tell", "flight-delays~1"),
    ]


def test_a_drift_stays_in_the_row_s_columns_whatever_follows(here: FakeCloud) -> None:
    calm = [routed(told(n, rows=WINDOW, sketch=sketch_of(WINDOW))) for n in range(3)]
    score_drift_on_telemetry([*calm, *warm_windows(3, 3)])
    score_drift_on_telemetry([routed(told(6))])
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored is not None
    assert (stored.row["decision"], stored.row["feature"], stored.row["rising"]) == ("TooFew", "temp", True)
    assert stored.row["episode"]
    assert float(str(stored.row["log_peak"])) > 0


def test_that_a_version_saw_drift_is_remembered_when_it_is_over(here: FakeCloud) -> None:
    calm_again = here.settings.loops["flight-delays"].drift.calm_windows
    score_drift_on_telemetry(warm_windows(0, 3))
    alarmed = use_of(here)
    mild = sketch_of(WINDOW)
    score_drift_on_telemetry(
        [routed(told(3 + n, rows=WINDOW, sketch=mild, to=f"2026-03-02T12:{n:02}:00Z")) for n in range(calm_again + 1)]
    )
    after = use_of(here)
    assert (alarmed.drift[:4], after.drift) == ("temp", "")
    assert alarmed.drifted_at == after.drifted_at == alarmed.periods[-1].at < after.periods[-1].at


def test_an_announcement_repeated_after_a_crash_has_the_same_id(here: FakeCloud) -> None:
    batch = [routed(told(n, rows=WINDOW, sketch=sketch_of(WINDOW))) for n in range(3)] + warm_windows(3, 3)
    score_drift_on_telemetry(batch)
    here.rows = FakeRows()  # as if nothing had been written
    score_drift_on_telemetry(batch)
    assert len(here.announcer.messages) == 2
    assert here.announcer.kinds() == ["DriftDetected"]


@pytest.mark.parametrize("encoded", [False, True])
def test_event_grid_s_envelope_counts_the_same_and_with_the_other_once(here: FakeCloud, *, encoded: bool) -> None:
    body = told(0)
    wire = base64.b64encode(json.dumps(body).encode()).decode() if encoded else body
    for _ in range(2):
        score_drift_on_device_event(by_event_grid(wire))
    score_drift_on_telemetry([routed(told(0))])
    assert pending_rows(here) == 100


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (by_event_grid("<html>"), "TEL_JSON"),
        (by_event_grid("Skizze: äöü"), "TEL_JSON"),
        (by_event_grid(None), "TEL_TYPE"),
        (by_event_grid([]), "TEL_TYPE"),
        (by_event_grid(told(rows=float("nan"))), "TEL_NUMBER"),
        (by_event_grid(told(), systemProperties=None), "EG_SCHEMA"),
        (by_event_grid(told(), systemProperties={}), "TEL_SPOOF"),
        (by_event_grid(told(version="77")), "TEL_MODEL"),
    ],
)
def test_event_grid_s_envelope_is_set_aside_as_well(here: FakeCloud, event: func.EventGridEvent, code: str) -> None:
    score_drift_on_device_event(event)
    assert quarantined(here, "score_drift_on_device_event") == [code]


def test_a_message_from_another_hub_is_set_aside(here: FakeCloud) -> None:
    event = message("Microsoft.Devices.DeviceTelemetry", {"body": told()}, subject="devices/lga", topic="/other/hub")
    score_drift_on_device_event(event)
    assert quarantined(here, "score_drift_on_device_event") == ["EG_TOPIC_NOT_ALLOWED"]


def test_the_row_says_which_model_and_when(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told())])
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored is not None
    assert (stored.row["version"], stored.row["decision"]) == ("1", "TooFew")
    assert isinstance(stored.row["at"], datetime)
    assert stored.row["at"].tzinfo is UTC


def test_the_field_s_evidence_is_counted_with_the_window_and_once(here: FakeCloud) -> None:
    shadow = {"version": "2", "rows": 50, "moved": 0.1, "flipped": 3}
    message = routed(told(0, failed=2, latency_counts=[10, *[0] * 15], shadow=shadow))
    for _ in range(3):
        score_drift_on_telemetry([message, message])
    score_drift_on_telemetry([routed(told(1, to="2026-03-01T12:01:00Z"))])
    stored = here.rows.get("devices", "flight-delays", "lga/inference")
    assert stored
    uses = field.from_bytes(stored.row[field.COLUMN])
    (period,) = uses["1"].periods
    assert (uses["1"].rows, uses["1"].requests) == (period.rows, period.requests) == (200, 20)
    assert (period.failed, period.latencies[0], sum(period.scores)) == (2, 10, 200)
    assert (uses["2"].shadow_rows, uses["2"].shadow_flipped, uses["2"].requests) == (50, 3, 0)
    assert uses["2"].shadow_moved == pytest.approx(5.0)
