"""Dead letters and quarantined events: ordered by a person, taken once more by the same functions, counted once."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from functions.deadletters import ADDED, TELEMETRY, letters
from functions.deployed import SUBSCRIPTIONS
from functions.drift.trigger import score_drift_on_telemetry
from functions.errors import Refused, Transient
from functions.events import DriftDetected
from functions.journal import entries
from functions.operator.cli import app
from functions.ports import Row
from functions.replay.trigger import HANDLERS, replay_on_timer
from functions.retraining.ledger import UPLOADS
from functions.retraining.trigger import count_upload_on_blob_created
from functions.wiring import using
from tests.drift.test_trigger import PROFILE, routed, told
from tests.fakes.cloud import ENVIRONMENT, FakeCloud, FakeRows
from tests.messages import blob_created

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOP = "flight-delays"
COUNT = "count_upload_on_blob_created"


class Broken(FakeRows):
    """Rows of a store that does not take uploads, until it is mended."""

    broken = True

    def insert(self, table: str, partition: str, key: str, *, row: Row) -> bool:
        if self.broken and table == UPLOADS:
            raise Transient("row", why="the store is away", fix="wait")
        return super().insert(table, partition, key, row=row)


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud(rows=Broken(), clock=lambda: NOW)) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def mend(here: FakeCloud) -> None:
    assert isinstance(here.rows, Broken)
    here.rows.broken = False


def uploaded(name: str = "2013-01-01.parquet", **changes: object) -> dict[str, Any]:
    """A dead letter as Event Grid's documentation shows one."""
    blob = f"{LOOP}/ewr/{name}"
    data = {"api": "PutBlob", "eTag": "0x1", "contentLength": 5, "blobType": "BlockBlob"}
    event = {
        "id": f"e-{name}",
        "topic": ENVIRONMENT["DATA_ACCOUNT_ID"],
        "subject": f"/blobServices/default/containers/landing/blobs/{blob}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-03-01T10:00:00.0000000Z",
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {**data, "url": f"{ENVIRONMENT['DATA_BLOB_ENDPOINT']}/landing/{blob}"},
    }
    why = {
        "deadLetterReason": "MaxDeliveryAttemptsExceeded",
        "deliveryAttempts": 30,
        "lastDeliveryOutcome": "GenericError",
        "publishTime": "2026-03-01T10:00:00.0000000Z",
        "lastDeliveryAttemptTime": "2026-03-01T11:00:00.0000000Z",
        "lastHttpStatusCode": 500,
    }
    return {**event, **why, **changes}


def give_up(here: FakeCloud, *events: object, subscription: str = COUNT, name: str = "a") -> None:
    folder = subscription.upper().replace("_", "-")
    here.blobs.put("deadletter", f"{folder}/2026/3/1/11/{name}.json", json.dumps(events).encode())


def replay(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", "--wait", "0", *arguments])


def states(here: FakeCloud, container: str = "deadletter") -> list[tuple[str, str]]:
    return [(one.state, one.detail) for one in letters(here.rows, here.blobs, container)]


def uploads(here: FakeCloud) -> list[str]:
    return [str(stored.row["blob"]).rpartition("/")[2] for stored in here.rows.find(UPLOADS, LOOP)]


def test_every_function_that_wakes_on_event_grid_can_take_an_event_again() -> None:
    assert set(HANDLERS) == set(SUBSCRIPTIONS)


def test_what_was_given_up_on_is_taken_once_its_cause_is_mended(here: FakeCloud) -> None:
    give_up(here, uploaded("1.parquet"), uploaded("2.parquet"))
    assert replay().exit_code == 1
    assert [state for state, _ in states(here)] == ["ordered", "ordered"]
    mend(here)
    replay_on_timer(None)
    assert states(here) == [("replayed", "used")] * 2
    assert sorted(uploads(here)) == ["1.parquet", "2.parquet"]
    assert "nothing" in replay().output


def test_replaying_twice_has_one_effect_and_so_has_an_event_that_was_taken_after_all(here: FakeCloud) -> None:
    mend(here)
    give_up(here, uploaded())
    count_upload_on_blob_created(blob_created(f"{LOOP}/ewr/2013-01-01.parquet", eTag="0x1", contentLength=5))
    for _ in range(3):
        replay("--again")
        replay_on_timer(None)
    assert uploads(here) == ["2013-01-01.parquet"]
    assert states(here) == [("replayed", "used")]


def test_what_fails_again_stays_with_its_reason_and_may_be_ordered_again(here: FakeCloud) -> None:
    give_up(here, uploaded())
    replay()
    replay_on_timer(None)
    assert states(here) == [("failed", "failed: row: the store is away")]
    mend(here)
    replay()
    replay_on_timer(None)
    assert states(here) == [("replayed", "used")]


def test_the_counts_add_up(here: FakeCloud) -> None:
    mend(here)
    give_up(here, *(uploaded(f"{n}.parquet") for n in range(5)), name="a")
    give_up(here, uploaded("x.parquet", topic="/somebody/else"), uploaded("y.parquet", subject="nothing"), name="b")
    replay("--code", "MaxDeliveryAttemptsExceeded")
    replay_on_timer(None)
    told = json.loads(replay("--dry-run", "--again", "--json").stdout)
    assert told["summary"] == {"replayed": 5, "failed": 2}
    assert len(told["letters"]) == 7
    assert [one for one, _ in states(here)].count("failed") == 2
    assert states(here)[-1] == ("failed", "quarantined")


def test_a_dry_run_says_what_would_be_taken_and_changes_nothing(here: FakeCloud) -> None:
    give_up(here, uploaded())
    said = replay("--dry-run")
    assert said.exit_code == 0
    assert "1 would be replayed" in said.output
    assert states(here) == [("waiting", "")]
    assert (("replays", "deadletter")) not in here.rows.tables


def test_it_can_be_told_which(here: FakeCloud) -> None:
    old = "2026-02-01T11:00:00Z"
    drift = DriftDetected(loop=LOOP, device="jfk", version="1", feature="temp", explanation="rises", at=NOW)
    event = {"specversion": "1.0", "id": "d", "source": "/refluent", "type": "Refluent.DriftDetected", "subject": "jfk"}
    cloud = {
        **event,
        "time": NOW.isoformat(),
        "data": drift.model_dump(mode="json"),
        "deadletterreason": "TimeToLiveExceeded",
    }
    give_up(here, uploaded("new.parquet"), uploaded("old.parquet", lastDeliveryAttemptTime=old))
    give_up(here, cloud, subscription="request_retraining_on_drift")

    def chosen(*arguments: str) -> list[str]:
        return [one["event"]["id"] for one in json.loads(replay("--dry-run", "--json", *arguments).stdout)["letters"]]

    assert chosen("--function", "request_retraining_on_drift") == ["d"]
    assert chosen("--code", "TimeToLiveExceeded") == ["d"]
    assert chosen("--since", "2 hours") == ["e-new.parquet", "d"]
    assert chosen("--since", (NOW - timedelta(days=60)).isoformat()) == ["e-new.parquet", "e-old.parquet", "d"]
    assert chosen("--since", "2 hours", "--function", COUNT) == ["e-new.parquet"]


def test_a_cloud_event_of_ours_is_taken_again_too(here: FakeCloud) -> None:
    drift = DriftDetected(loop=LOOP, device="jfk", version="1", feature="temp", explanation="rises", at=NOW)
    event = {"specversion": "1.0", "id": "d", "source": "/refluent", "type": "Refluent.DriftDetected", "subject": "jfk"}
    give_up(
        here, {**event, "time": NOW.isoformat(), "data": drift.model_dump(mode="json")}, subscription="its-own-name"
    )
    replay()
    replay_on_timer(None)
    assert states(here) == [("replayed", "used")]
    assert len(list(here.rows.find("requests", LOOP))) == 1


def test_a_quarantined_event_is_used_once_its_site_is_known(here: FakeCloud) -> None:
    mend(here)
    blob = f"{LOOP}/atlantis/2013-01-01.parquet"
    count_upload_on_blob_created(blob_created(blob))
    assert [one.reason for one in letters(here.rows, here.blobs, "quarantine")] == ["BLOB_SITE"]
    replay("--quarantined")
    replay_on_timer(None)
    assert states(here, "quarantine") == [("failed", "quarantined")]
    loop = here.settings.loops[LOOP]
    known = loop.model_copy(update={"loop": loop.loop.model_copy(update={"sites": [*loop.loop.sites, "atlantis"]})})
    here.settings = _Settings(here.settings, {LOOP: known})  # type: ignore[assignment] # it has every setting
    replay("--quarantined", "--code", "BLOB_SITE")
    replay_on_timer(None)
    assert states(here, "quarantine") == [("replayed", "used")]
    assert uploads(here) == ["2013-01-01.parquet"]


class _Settings:
    def __init__(self, settings: object, loops: object) -> None:
        self._settings, self.loops = settings, loops

    def __getattr__(self, name: str) -> object:
        return getattr(self._settings, name)


def test_what_is_no_event_is_refused_and_says_what_to_do(here: FakeCloud) -> None:
    document = {"code": "TEL_JSON", "at": NOW.isoformat(), "original": "not json"}
    here.blobs.put("quarantine", "score_drift_on_telemetry/TEL_JSON/1.json", json.dumps(document).encode())
    replay("--quarantined")
    replay_on_timer(None)
    ((state, detail),) = states(here, "quarantine")
    assert (state, "has to be sent again" in detail) == ("failed", True)


def test_one_that_ends_the_function_unexpectedly_keeps_no_neighbour_waiting(
    here: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ill(_: object) -> None:
        raise ZeroDivisionError

    mend(here)
    monkeypatch.setattr("functions.replay.trigger.HANDLERS", {**HANDLERS, "judge_on_run_ended": ill})
    give_up(here, uploaded(), subscription="judge_on_run_ended", name="a")
    give_up(here, uploaded())
    replay()
    for _ in range(3):
        try:
            replay_on_timer(None)
        except ZeroDivisionError:
            continue
    assert sorted(states(here)) == [
        ("failed", "the function did not come to an end; see its log"), ("replayed", "used"),
    ]  # fmt: skip


def test_recorded_events_are_kept_beside_dead_letters_and_taken(here: FakeCloud, tmp_path: Path) -> None:
    mend(here)
    file = tmp_path / "events.json"
    plain = {name: value for name, value in uploaded().items() if name.lower() not in ADDED}
    file.write_text(json.dumps([plain]), encoding="utf-8")
    for _ in range(2):
        replay("--file", str(file), "--function", COUNT)
        replay_on_timer(None)
    assert states(here) == [("replayed", "used")]
    assert uploads(here) == ["2013-01-01.parquet"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--function", "nobody"), "nobody is none of them"),
        (("--since", "yesterday"), "no time"),
        (("--since", "2026-03-01"), "no zone"),
    ],
)
def test_what_cannot_be_meant_is_refused(here: FakeCloud, arguments: tuple[str, ...], why: str) -> None:
    give_up(here, uploaded())
    problem = replay(*arguments).exception
    assert isinstance(problem, Refused)
    assert why in str(problem)


def test_what_was_replayed_is_journalled_with_the_persons_reason(here: FakeCloud) -> None:
    mend(here)
    give_up(here, uploaded())
    replay("--because", "the table was locked")
    replay_on_timer(None)
    (entry,) = [one for one in entries(here.rows, ["-"]) if one.decision == "Replay"]
    assert entry.subject == f"{COUNT}/e-2013-01-01.parquet"
    assert entry.reason == "used; replayed because the table was locked"


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(("pack", "version"), [(bytes, "6"), (gzip.compress, "7")])
def test_a_gap_in_a_devices_messages_is_seen_and_closed_by_a_replay_of_what_was_set_aside(
    here: FakeCloud, pack: Callable[[bytes], bytes], version: str
) -> None:
    """BAD_INPUTS D21: the device spoke of its model before its profile was there; once it is, every message counts."""
    mend(here)
    score_drift_on_telemetry([routed(pack(json.dumps(told(0, version=version)).encode()))])
    here.blobs.put("models", f"{LOOP}/{version}/profile.json", PROFILE.to_json().encode())
    score_drift_on_telemetry([routed(told(sequence, version=version)) for sequence in (1, 2, 3)])
    assert "message 0 of epoch e1 did not come: lost on the way, or set aside" in shown("why", "lga")
    assert "; 1 message of it did not come yet" in shown("why", "lga")
    assert "; 1 message of it did not come yet" in shown("status")
    assert replay("--quarantined", "--function", TELEMETRY).exit_code == 1  # ordered; the app's next turn takes it
    replay_on_timer(None)
    assert states(here, "quarantine") == [("replayed", "used")]
    assert "did not come yet" not in shown("status")
    before = here.rows.tables["devices", LOOP]["lga/inference"].row["state"]
    replay("--quarantined", "--again")
    replay_on_timer(None)
    assert here.rows.tables["devices", LOOP]["lga/inference"].row["state"] == before


@pytest.mark.parametrize("beside", [None, {"connection-device-id": "lga", "enqueued": "yesterday"}])
def test_telemetry_that_says_not_who_sent_it_when_is_not_replayed(here: FakeCloud, beside: object) -> None:
    mend(here)
    document = {"code": "TEL_MODEL", "at": NOW.isoformat(), "original": json.dumps(told(0)), "beside": beside}
    here.blobs.put("quarantine", f"{TELEMETRY}/TEL_MODEL/1.json", json.dumps(document).encode())
    replay("--quarantined")
    replay_on_timer(None)
    ((state, detail),) = states(here, "quarantine")
    assert (state, detail.partition(":")[0]) == ("failed", "refused")
