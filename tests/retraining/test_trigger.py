import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from functions.errors import Refused
from functions.journal import entries
from functions.operator.status import status
from functions.ports import JobOrder, Row
from functions.retraining.admit import admit_landed
from functions.retraining.decide import Decision, Launch, decide
from functions.retraining.look import look
from functions.retraining.perform import perform
from functions.retraining.trigger import (
    count_overlooked_on_timer,
    count_upload_on_blob_created,
    describe_training_sets_on_timer,
    request_retraining_on_drift,
)
from functions.wiring import using
from tests.fakes.cloud import FakeCloud, FakeTrainer
from tests.files import flights
from tests.messages import AT, blob_created, message
from tests.uploads import deliver, land

DAYS = range(1, 29)
SITES = ("ewr", "jfk", "lga")


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def january() -> list[str]:
    return [f"flight-delays/{site}/2013-01-{day:02}.parquet" for site in SITES for day in DAYS]


def turn(here: FakeCloud, now: datetime | None = None) -> Decision:
    loop, now = here.settings.loops["flight-delays"], now or datetime.now(UTC) + timedelta(seconds=10)
    admit_landed(here, loop)
    seen = look(here.rows, loop)
    decision = decide(seen.backlog, loop.retrain, now)
    perform(decision, here, loop, seen=seen, now=now)
    return decision


def test_a_burst_delivered_twice_and_out_of_order_starts_one_job(here: FakeCloud) -> None:
    land(here, *january())
    deliver(here, *reversed(january()))
    assert isinstance(turn(here), Launch)
    turn(here)
    (order,) = here.trainer.orders.values()
    manifest = json.loads(here.blobs.blobs["manifests", f"{order.training_set}/manifest.json"])
    assert [blob["name"] for blob in manifest["blobs"]] == sorted(january())
    assert here.announcer.kinds() == ["TrainingLaunched"]


def test_landing_is_not_quiet_while_files_come_that_nobody_has_looked_into(here: FakeCloud) -> None:
    loop, noon = here.settings.loops["flight-delays"], datetime(2026, 3, 1, 12, tzinfo=UTC)
    here.clock = lambda: noon
    land(here, *january())
    admit_landed(here, loop)
    here.clock = lambda: noon + timedelta(seconds=60)
    land(here, "flight-delays/ewr/2013-02-01.parquet")
    seen = look(here.rows, loop)
    assert decide(seen.backlog, loop.retrain, noon + timedelta(seconds=61)).reason == "files are still arriving"


def test_the_same_name_with_another_etag_is_another_upload(here: FakeCloud) -> None:
    for etag in ("0x1", '"0x1"', "0x2"):
        count_upload_on_blob_created(blob_created("flight-delays/ewr/a.parquet", eTag=etag))
    assert len(list(here.rows.find("uploads", "flight-delays"))) == 2


def test_what_lands_after_the_seal_belongs_to_the_next_generation(here: FakeCloud) -> None:
    land(here, *january())
    turn(here)
    land(here, "flight-delays/ewr/2013-02-01.parquet")
    generations = {
        stored.row["blob"]: stored.row["generation"] for stored in here.rows.find("uploads", "flight-delays")
    }
    assert generations["flight-delays/ewr/2013-01-01.parquet"] == 1
    assert generations["flight-delays/ewr/2013-02-01.parquet"] == 0
    assert turn(here).reason == "1 of 84 files"


def test_the_second_job_trains_on_everything_and_names_the_champion(here: FakeCloud) -> None:
    land(here, *january())
    turn(here)
    (first,) = here.trainer.orders
    here.rows.change("jobs", "flight-delays", keys=[first], values={"state": "registered", "version": "1"})
    land(here, *[name.replace("-01-", "-02-") for name in january()])
    turn(here, datetime.now(UTC) + timedelta(days=1, minutes=1))
    second = here.trainer.orders[next(name for name in here.trainer.orders if name != first)]
    manifest = json.loads(here.blobs.blobs["manifests", f"{second.training_set}/manifest.json"])
    assert len(manifest["blobs"]) == 2 * 84
    assert (second.champion, second.version) == ("flight-delays/1", "2")


class _Dies(FakeTrainer):
    """Starts the job, and the answer is lost."""

    def start(self, order: JobOrder) -> None:
        super().start(order)
        raise ConnectionError("the answer was lost")


def test_a_crash_after_the_job_started_is_resumed_without_a_second_job(here: FakeCloud) -> None:
    land(here, *january())
    here.trainer = _Dies()
    with pytest.raises(ConnectionError):
        turn(here)
    started = here.trainer.orders
    land(here, "flight-delays/ewr/2013-02-01.parquet")
    here.trainer = FakeTrainer(orders=started)
    turn(here)
    assert len(here.trainer.orders) == 1
    assert next(iter(here.rows.find("jobs", "flight-delays"))).key == next(iter(started))
    assert [s.row["blob"] for s in here.rows.find("uploads", "flight-delays", generation=0)] == [
        "flight-delays/ewr/2013-02-01.parquet"
    ]


def test_an_upload_whose_event_was_lost_is_found_by_listing_and_counted_once(here: FakeCloud) -> None:
    for blob in ("flight-delays/ewr/a.parquet", "flight-delays/boston/b.parquet", "other/ewr/c.parquet"):
        here.blobs.put("landing", blob, b"PAR1")
    for _ in range(2):
        count_overlooked_on_timer(None)
    deliver(here, "flight-delays/ewr/a.parquet")
    uploads = [stored.row["blob"] for stored in here.rows.find("uploads", "flight-delays")]
    assert uploads == ["flight-delays/ewr/a.parquet"]


def test_two_instances_that_seal_at_once_start_one_job(here: FakeCloud) -> None:
    land(here, *january())
    loop, now = here.settings.loops["flight-delays"], datetime.now(UTC) + timedelta(seconds=10)
    admit_landed(here, loop)
    first, second = look(here.rows, loop), look(here.rows, loop)
    for seen in (first, second):
        perform(Launch("data", "because"), here, loop, seen=seen, now=now)
    assert len(here.trainer.orders) == 1


def test_every_no_is_journalled_once(here: FakeCloud) -> None:
    land(here, "flight-delays/ewr/a.parquet")
    turn(here)
    turn(here)
    assert [(e.decision, e.reason) for e in entries(here.rows, ["flight-delays"])] == [("Wait", "1 of 84 files")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"topic": "/subscriptions/evil"}, "EG_TOPIC_NOT_ALLOWED"),
        ({"url": "https://evil.example.com/landing/flight-delays/ewr/2013-01-01.parquet"}, "BLOB_HOST"),
        ({"url": "https://refluent.blob.core.windows.net@evil.example.com/x"}, "BLOB_HOST"),
        ({"url": "https://refluent.blob.core.windows.net/landing/other"}, "BLOB_MISMATCH"),
        ({"blob": "flight-delays/../secret/x"}, "BLOB_NAME"),
        ({"blob": "flight-delays/%2e%2e/secret/x"}, "BLOB_NAME"),
        ({"blob": "flight-delays/boston/x.parquet"}, "BLOB_SITE"),
        ({"contentLength": -1}, "EG_SCHEMA"),
        ({"contentLength": "many"}, "EG_SCHEMA"),
        ({"blobType": "PageBlob"}, "BLOB_TYPE"),
        ({"eTag": ""}, "EG_SCHEMA"),
        ({"subject": "nonsense"}, "EG_SCHEMA"),
        ({"event_time": None}, "EG_TIME"),
        ({"id": None}, "EG_SCHEMA"),
    ],
)
def test_poison_is_set_aside_with_its_reason_and_acknowledged(
    here: FakeCloud, changes: dict[str, object], code: str
) -> None:
    poison = blob_created(**changes)  # type: ignore[arg-type] # "blob" is the first argument by name
    count_upload_on_blob_created(poison)
    count_upload_on_blob_created(poison)
    land(here, "flight-delays/ewr/neighbour.parquet")
    ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
    assert name.startswith(f"count_upload_on_blob_created/{code}/")
    document = json.loads(here.blobs.blobs["quarantine", name])
    assert document["why"]
    assert document["fix"]
    assert json.loads(document["original"])["type"] == "Microsoft.Storage.BlobCreated"
    assert len(list(here.rows.find("uploads", "flight-delays"))) == 1
    assert here.announcer.kinds() == ["DataQuarantined"]


@pytest.mark.parametrize(
    "changes",
    [
        {"event_type": "Microsoft.Storage.BlobRenamed"},
        {"container": "quarantine"},
        {"container": "$logs"},
        {"api": "CreateFile"},
        {"blob": "another-loop/ewr/x.parquet"},
    ],
)
def test_what_is_not_ours_is_passed_over(here: FakeCloud, changes: dict[str, object]) -> None:
    count_upload_on_blob_created(blob_created(**changes))  # type: ignore[arg-type] # as above
    assert not here.blobs.blobs
    assert not list(here.rows.find("uploads", "flight-delays"))


def test_a_job_the_platform_failed_is_started_once_more_on_the_same_training_set(here: FakeCloud) -> None:
    land(here, *january())
    turn(here)
    (first,) = here.trainer.orders.values()
    here.rows.change("jobs", "flight-delays", keys=[first.name], values={"state": "retry", "ended_at": here.now()})
    for _ in range(3):
        turn(here)
    assert list(here.trainer.orders) == [first.name, f"{first.name}-r2"]
    again = here.trainer.orders[f"{first.name}-r2"]
    assert (again.training_set, again.lineage, again.attempt) == (first.training_set, first.lineage, 2)
    assert here.announcer.kinds() == ["TrainingLaunched", "TrainingLaunched"]


def test_a_second_attempt_cut_off_after_the_job_started_is_one_job(here: FakeCloud) -> None:
    land(here, *january())
    turn(here)
    (first,) = here.trainer.orders
    here.rows.change("jobs", "flight-delays", keys=[first], values={"state": "retry", "ended_at": here.now()})
    started, here.trainer = here.trainer.orders, _Dies(orders=here.trainer.orders)
    with pytest.raises(ConnectionError):
        turn(here)
    here.trainer = FakeTrainer(orders=started)
    turn(here)
    assert [stored.key for stored in here.rows.find("jobs", "flight-delays")] == [first, f"{first}-r2"]
    assert list(started) == [first, f"{first}-r2"]


def test_what_a_job_trains_on_becomes_one_data_asset_after_the_launch(here: FakeCloud) -> None:
    land(here, *january())
    turn(here)
    (order,) = here.trainer.orders.values()
    assert not here.trainer.described
    for _ in range(2):
        describe_training_sets_on_timer(None)
    assert here.trainer.described == {"flight-delays-training-set:1": order}


class _Refuses(FakeTrainer):
    """A workspace without the component."""

    def start(self, order: JobOrder) -> None:
        raise Refused(f"job {order.name}", why="no component p:9", fix="publish it")


def test_a_launch_that_is_refused_stands_in_status_and_goes_on_once_somebody_mended_it(here: FakeCloud) -> None:
    land(here, *january())
    here.trainer = _Refuses()
    for _ in range(2):
        with pytest.raises(Refused):
            turn(here)
    (loop,) = status(here.rows, here.settings.loops)
    assert "no component p:9; publish it" in loop.retraining
    here.trainer = FakeTrainer()
    turn(here)
    assert len(here.trainer.orders) == 1


def test_each_file_of_a_training_set_says_where_its_version_is_kept(here: FakeCloud) -> None:
    land(here, *january())
    turn(here)
    (order,) = here.trainer.orders.values()
    listed = json.loads(here.blobs.blobs["manifests", f"{order.training_set}/manifest.json"])["blobs"]
    assert all(here.blobs.read("versions", f"{order.landing}/{blob['path']}") for blob in listed)


def test_files_beyond_a_full_generation_make_the_next_one(here: FakeCloud) -> None:
    loop = here.settings.loops["flight-delays"]
    policy = loop.retrain.model_copy(update={"at_least_files": 20, "at_most_files": 50, "jobs_at_once": 9})
    small = loop.model_copy(update={"retrain": policy})
    land(here, *january())
    now = here.now() + timedelta(seconds=10)
    for days in (0, 2, 4):
        admit_landed(here, small)
        seen = look(here.rows, small)
        perform(decide(seen.backlog, small.retrain, now + timedelta(days=days)), here, small, seen=seen, now=now)
    generations = [stored.row["generation"] for stored in here.rows.find("uploads", "flight-delays")]
    assert {number: generations.count(number) for number in set(generations)} == {1: 50, 2: 34}


def test_an_upload_that_an_earlier_release_counted_is_looked_into_and_trained_on(here: FakeCloud) -> None:
    here.blobs.put("landing", "flight-delays/ewr/old.parquet", flights())
    facts = here.blobs.facts("landing", "flight-delays/ewr/old.parquet")
    assert facts is not None
    key = sha256(f"landing\n{facts.name}\n{facts.etag}".encode()).hexdigest()[:32]
    old: Row = {"blob": facts.name, "etag": facts.etag, "size_bytes": facts.size_bytes, "site": "ewr"}
    here.rows.insert("uploads", "flight-delays", key, row={**old, "at": here.now(), "generation": 0})
    trained: Row = {**old, "etag": "0x0", "at": here.now(), "generation": 1}
    here.rows.insert("uploads", "flight-delays", "trained", row=trained)
    count_overlooked_on_timer(None)
    turn(here)
    rows = {stored.key: stored.row for stored in here.rows.find("uploads", "flight-delays")}
    assert (rows[key]["state"], rows["trained"]["state"]) == ("admitted", "taken")


def drifted(**changes: object) -> None:
    data = {"loop": "flight-delays", "device": "lga", "version": "1", "feature": "temp", "explanation": "warmer"}
    event = {**data, "at": AT.isoformat(), **changes}
    request_retraining_on_drift(message("Refluent.DriftDetected", event, subject="lga"))


def test_an_episode_asks_once_whatever_device_speaks_for_it_and_the_launch_names_it(here: FakeCloud) -> None:
    land(here, *january())
    for device in ("lga", "jfk"):
        drifted(device=device, episode="flight-delays~1", explanation=f"warmer at {device}")
    assert len(list(here.rows.find("requests", "flight-delays"))) == 1
    decision = turn(here)
    assert isinstance(decision, Launch)
    assert decision.reason.startswith("drift on warmer at lga; 84 new files")
    (launch,) = [entry for entry in entries(here.rows, ["flight-delays"]) if entry.decision == "Launch"]
    assert launch.links == (*here.trainer.orders, "flight-delays~1")


def test_an_event_of_an_earlier_release_asks_once_for_its_device_and_version(here: FakeCloud) -> None:
    for device in ("lga", "jfk", "lga"):
        drifted(device=device)
    wishes = {str(stored.row["reason"]) for stored in here.rows.find("requests", "flight-delays")}
    assert wishes == {"lga: warmer", "jfk: warmer"}
