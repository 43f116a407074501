"""Where the loops stand and why, as a person asks it and as HTTP answers it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from functions.journal import Entry, record
from functions.operator.status import readable, status, why
from functions.operator.trigger import answer_status, answer_why
from functions.ports import Row
from functions.retraining.look import look
from functions.retraining.trigger import count_upload_on_blob_created, retrain_on_timer
from functions.wiring import using
from tests.fakes.cloud import FakeCloud
from tests.messages import blob_created
from tests.uploads import land

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOP = "flight-delays"


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def decided(here: FakeCloud, minute: int, subject: str, decision: str, *links: str, reason: str = "because") -> None:
    """One entry of the journal, in the slice that takes such decisions."""
    slices = {"Launch": "retraining", "Register": "promotion", "Drifted": "drift"}
    at = AT + timedelta(minutes=minute)
    record(here.rows, Entry(at, LOOP, slices.get(decision, "rollout"), subject, decision, reason, links))


def story(here: FakeCloud) -> None:
    """One turn of the loop, and the drift that follows it; told out of order."""
    decided(here, 3, f"{LOOP}:1", "Deploy", "flight-delays-1-canary-ff", "rt-1")
    decided(here, 1, f"{LOOP}#1", "Launch", "rt-1")
    decided(here, 2, "rt-1", "Register", f"{LOOP}:1", f"{LOOP}#1")
    decided(here, 4, "lga", "Drifted", f"{LOOP}:1", reason="temp, share above 50: 12 % → 61 %")
    decided(here, 5, f"{LOOP}#2", "Launch", "rt-2")
    row: Row = {"blob": "flight-delays/ewr/a.parquet", "generation": 1, "etag": "0x1", "site": "ewr", "at": AT}
    here.rows.insert("uploads", LOOP, "key-of-a", row={**row, "size_bytes": 5, "state": "taken"})


def ask(subject: str) -> func.HttpResponse:
    request = func.HttpRequest(method="GET", url="/api/why", body=b"", route_params={"subject": subject})
    answer: func.HttpResponse = answer_why(request)
    return answer


def test_a_loop_that_has_seen_nothing_says_so(here: FakeCloud) -> None:
    (found,) = status(here.rows, here.settings.loops)
    assert (found.loop, found.generation, found.pending, found.taken) == (LOOP, "1 open", 0, 0)
    assert (found.jobs, found.rollouts, found.devices, found.last) == ({}, {}, {}, [])


def test_uploads_are_pending_until_a_job_takes_them(here: FakeCloud) -> None:
    land(here, *(f"{LOOP}/ewr/{name}.parquet" for name in ("a", "b", "c")))
    retrain_on_timer(None)
    key = next(iter(here.rows.find("uploads", LOOP))).key
    here.rows.change("uploads", LOOP, keys=[key], values={"generation": 1, "state": "taken"})
    (found,) = status(here.rows, here.settings.loops)
    assert (found.pending, found.taken) == (2, 1)


def test_jobs_models_and_devices_are_listed_with_where_they_stand(here: FakeCloud) -> None:
    here.rows.insert("jobs", LOOP, "rt-1", row={"state": "registered"})
    here.rows.insert("rollouts", LOOP, "000000009", row={"state": "done"})
    here.rows.insert("rollouts", LOOP, "000000010", row={"state": "rolling"})
    here.rows.insert("devices", LOOP, "lga/inference", row={"reason": "100 of 2000 rows of window 1"})
    (found,) = status(here.rows, here.settings.loops)
    assert found.jobs == {"rt-1": "registered"}
    assert list(found.rollouts.items()) == [("9", "done"), ("10", "rolling")]
    assert found.devices == {"lga/inference": "100 of 2000 rows of window 1"}


def test_the_newest_five_decisions_come_last_to_last(here: FakeCloud) -> None:
    for minute in range(8):
        decided(here, minute, f"{LOOP}#1", "Wait", reason=f"{minute} of 84 files")
    (found,) = status(here.rows, here.settings.loops)
    assert [line.rpartition(": ")[2] for line in found.last] == [f"{minute} of 84 files" for minute in range(3, 8)]
    assert found.last[-1] == "12:07:00 flight-delays#1: Wait: 7 of 84 files"


def test_the_open_generation_is_the_one_that_collects(here: FakeCloud) -> None:
    days = range(1, 29)
    land(here, *(f"{LOOP}/{site}/2013-01-{day:02}.parquet" for day in days for site in ("ewr", "jfk", "lga")))
    later = datetime.now(UTC) - timedelta(seconds=10)
    for stored in list(here.rows.find("uploads", LOOP)):
        here.rows.change("uploads", LOOP, keys=[stored.key], values={"at": later})
    retrain_on_timer(None)
    assert look(here.rows, here.settings.loops[LOOP])
    (found,) = status(here.rows, here.settings.loops)
    assert (found.generation, found.pending, found.taken) == ("2 open", 0, 84)
    assert list(found.jobs.values()) == ["started"]
    blob = why(here.rows, here.settings.loops, f"{LOOP}/ewr/2013-01-01.parquet")
    assert [entry.decision for entry in blob] == ["Launch"]


@pytest.mark.parametrize(
    ("subject", "decisions"),
    [
        ("flight-delays/ewr/a.parquet", ["Launch", "Register", "Deploy", "Drifted"]),
        (f"{LOOP}#1", ["Launch", "Register", "Deploy", "Drifted"]),
        ("rt-1", ["Launch", "Register", "Deploy", "Drifted"]),
        (f"{LOOP}:1", ["Launch", "Register", "Deploy", "Drifted"]),
        ("rt-2", ["Launch"]),
        ("nobody", []),
        ("", []),
        ("' or PartitionKey ne '", []),
    ],
)
def test_why_tells_the_whole_chain_oldest_first(here: FakeCloud, subject: str, decisions: list[str]) -> None:
    story(here)
    assert [entry.decision for entry in why(here.rows, here.settings.loops, subject)] == decisions


def test_why_of_a_device_tells_of_its_model_too(here: FakeCloud) -> None:
    story(here)
    told = why(here.rows, here.settings.loops, "lga")
    assert "Drifted" in [entry.decision for entry in told]
    assert "Deploy" in [entry.decision for entry in told]


def test_http_answers_with_the_same_facts_as_json(here: FakeCloud) -> None:
    story(here)
    answer = answer_status(func.HttpRequest(method="GET", url="/api/status", body=b""))
    (found,) = json.loads(answer.get_body())
    assert (answer.status_code, answer.mimetype, found["loop"], found["taken"]) == (200, "application/json", LOOP, 1)
    chain = json.loads(ask("rt-1").get_body())
    told = [readable(entry) for entry in why(here.rows, here.settings.loops, "rt-1")]
    assert chain == json.loads(json.dumps(told))
    assert chain[0]["at"] == "2026-03-01T12:01:00+00:00"


def test_http_says_404_of_what_nobody_decided_about(here: FakeCloud) -> None:
    story(here)
    answer = ask("nobody")
    assert (answer.status_code, json.loads(answer.get_body())) == (404, [])


def test_a_quarantined_event_is_told_by_the_name_the_journal_gives_it(here: FakeCloud) -> None:
    count_upload_on_blob_created(blob_created(f"{LOOP}/boston/a.parquet"))
    (entry,) = [one for one in why(here.rows, here.settings.loops, _quarantined(here)) if one.slice == "intake"]
    assert (entry.decision, entry.loop) == ("Quarantine", "-")
    assert "BLOB_SITE" in entry.reason


def _quarantined(here: FakeCloud) -> str:
    (stored,) = here.rows.find("journal", "-")
    return str(stored.row["subject"])
