"""Devices as they are: with odd names, wrong clocks, and neighbours whose rows cannot be written just now."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from functions.drift.state import DeviceState
from functions.drift.trigger import blueprint, score_drift_on_device_event, score_drift_on_telemetry
from functions.errors import Transient
from functions.ports import Row, Write
from functions.wiring import using
from tests.drift.test_trigger import PROFILE, by_event_grid, routed, told
from tests.fakes.cloud import FakeCloud, FakeRows

TAKEN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        cloud.blobs.put("models", "flight-delays/1/profile.json", PROFILE.to_json().encode())
        yield cloud


def newest(here: FakeCloud, device: str = "lga/inference") -> datetime:
    stored = here.rows.get("devices", "flight-delays", device)
    assert stored
    assert isinstance(stored.row["state"], bytes)
    micro = DeviceState.from_bytes(stored.row["state"]).newest_us
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)


def enqueued(at: datetime, closed: datetime) -> func.EventHubEvent:
    event = routed(told(0, to=closed.isoformat()))
    return func.EventHubEvent(body=event.get_body(), iothub_metadata=event.iothub_metadata, enqueued_time=at)


@pytest.mark.parametrize("device", ["x' or PartitionKey ne '", "<script>alert(1)</script>", '"; drop table X', "a//b"])
def test_a_device_may_have_any_name(here: FakeCloud, device: str) -> None:
    sender = {"connection-device-id": device, "connection-module-id": '"><img src=x>'}
    score_drift_on_telemetry([routed(told(0), **sender), routed(told(0))])
    assert sorted(row.key for row in here.rows.find("devices", "flight-delays")) == sorted(
        [f'{device}/"><img src=x>', "lga/inference"]
    )


@pytest.mark.parametrize("wrong", [timedelta(days=3_650), timedelta(seconds=5), timedelta(days=-3_650)])
def test_a_clock_that_cannot_be_right_is_replaced_by_the_hub_s(
    here: FakeCloud, wrong: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    score_drift_on_telemetry([enqueued(TAKEN, TAKEN + wrong)])
    assert newest(here) == TAKEN
    assert ("the clock of lga/inference is off" in caplog.text) == (abs(wrong) > timedelta(days=1))


def test_what_a_device_kept_for_weeks_is_counted_when_it_happened(here: FakeCloud) -> None:
    score_drift_on_telemetry([enqueued(TAKEN, TAKEN - timedelta(days=40))])
    assert newest(here) == TAKEN - timedelta(days=40)


def test_by_event_grid_the_hub_s_time_is_known_too(here: FakeCloud) -> None:
    ahead = (TAKEN + timedelta(days=9_000)).isoformat()
    system = {"iothub-connection-device-id": "lga", "iothub-connection-module-id": "inference"}
    score_drift_on_device_event(
        by_event_grid(told(0, to=ahead), systemProperties={**system, "iothub-enqueuedtime": TAKEN.isoformat()})
    )
    assert newest(here) == TAKEN


class OneFails(FakeRows):
    """A store that cannot take one device's row."""

    broken = True

    def insert(self, table: str, partition: str, key: str, *, row: Row) -> bool:
        if self.broken and key == "jfk/inference":
            raise Transient("the table", why="503", fix="wait")
        return super().insert(table, partition, key, row=row)

    def write_all(self, table: str, partition: str, writes: Sequence[Write]) -> bool:
        if self.broken and any(one.key == "jfk/inference" for one in writes):
            raise Transient("the table", why="503", fix="wait")
        return super().write_all(table, partition, writes)


def test_a_device_that_cannot_be_written_keeps_no_other_waiting_and_is_not_forgotten(here: FakeCloud) -> None:
    here.rows = OneFails()
    senders: list[dict[str, str]] = [{"connection-device-id": name} for name in ("ewr", "jfk", "lga")]
    batch = [routed(told(0), **sender) for sender in senders]
    with pytest.raises(ExceptionGroup, match="1 of 3 devices"):
        score_drift_on_telemetry(batch)
    assert [row.key for row in here.rows.find("devices", "flight-delays")] == ["ewr/inference", "lga/inference"]
    here.rows.broken = False
    score_drift_on_telemetry(batch)
    rows = {row.key: row.row["reason"] for row in here.rows.find("devices", "flight-delays")}
    assert set(rows.values()) == {"100 of 2000 rows of window 1"}
    assert len(rows) == 3


class Meddled(FakeRows):
    """A store in which somebody is faster, just before rows are written together."""

    before: Callable[[], None] = staticmethod(lambda: None)

    def write_all(self, table: str, partition: str, writes: Sequence[Write]) -> bool:
        meddle, self.before = self.before, lambda: None
        meddle()
        return super().write_all(table, partition, writes)


def test_another_instance_that_counted_one_of_the_devices_first_costs_no_device_a_message(here: FakeCloud) -> None:
    here.rows = Meddled()
    senders: list[dict[str, str]] = [{"connection-device-id": name} for name in ("ewr", "jfk", "lga")]
    score_drift_on_telemetry([routed(told(0), **sender) for sender in senders])
    first, second = routed(told(1), **senders[1]), routed(told(2), **senders[1])
    here.rows.before = lambda: score_drift_on_telemetry([first])
    others = [routed(told(1), **senders[0]), routed(told(1), **senders[2])]
    score_drift_on_telemetry([*others, first, second])
    reasons = {row.key: row.row["reason"] for row in here.rows.find("devices", "flight-delays")}
    assert reasons == {
        "ewr/inference": "200 of 2000 rows of window 1",
        "jfk/inference": "300 of 2000 rows of window 1",
        "lga/inference": "200 of 2000 rows of window 1",
    }


def test_devices_of_many_are_written_a_hundred_at_a_time(here: FakeCloud) -> None:
    score_drift_on_telemetry([routed(told(0), **{"connection-device-id": f"d{n}"}) for n in range(205)])
    assert len(list(here.rows.find("devices", "flight-delays"))) == 205


def test_a_batch_that_cannot_be_written_is_tried_for_ever_and_never_passed_over(here: FakeCloud) -> None:
    """BAD_INPUTS D30: the host's policy, and no success until the table answers."""
    (function,) = [one for one in _functions() if one.get_function_name() == "score_drift_on_telemetry"]
    policy = function.get_settings_dict("retry_policy")
    assert policy
    assert policy["max_retry_count"] == "-1"
    here.rows = OneFails()
    batch = [routed(told(0), **{"connection-device-id": "jfk"})]
    for _ in range(20):
        with pytest.raises(ExceptionGroup):
            score_drift_on_telemetry(batch)
    here.rows.broken = False
    score_drift_on_telemetry(batch)
    assert [row.row["reason"] for row in here.rows.find("devices", "flight-delays")] == ["100 of 2000 rows of window 1"]


def _functions() -> list[func.Function]:
    app = func.FunctionApp()
    app.register_functions(blueprint)
    return list(app.get_functions())
