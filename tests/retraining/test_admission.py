"""What becomes of a counted upload once the store is asked about it."""

import json
import pickle
from collections.abc import Iterator
from hashlib import sha256

import pytest

from functions.journal import entries
from functions.retraining import ledger
from functions.retraining.trigger import count_overlooked_on_timer, count_upload_on_blob_created, retrain_on_timer
from functions.settings import Settings
from functions.wiring import using
from tests.fakes.cloud import ENVIRONMENT, OWN_LOOPS, FakeBlobs, FakeCloud
from tests.files import flights
from tests.messages import blob_created
from tests.uploads import declare, deliver, land

A, B = "flight-delays/ewr/a.parquet", "flight-delays/jfk/b.parquet"


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def states(here: FakeCloud) -> list[tuple[object, object]]:
    """Blob and state of every upload, in the order of the blobs' names."""
    return sorted((stored.row["blob"], stored.row["state"]) for stored in here.rows.find("uploads", "flight-delays"))


def test_an_upload_is_landed_until_the_timer_has_asked_the_store(here: FakeCloud) -> None:
    land(here, A, B)
    assert states(here) == [(A, "landed"), (B, "landed")]
    retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (B, "admitted")]


@pytest.mark.parametrize("data", [None, b"another version"])
def test_a_blob_that_was_deleted_or_overwritten_is_superseded_with_the_reason(
    here: FakeCloud, data: bytes | None
) -> None:
    land(here, A)
    del here.blobs.blobs["landing", A]
    if data:
        here.blobs.put("landing", A, data)
    retrain_on_timer(None)
    (stored,) = here.rows.find("uploads", "flight-delays")
    assert stored.row["state"] == "superseded"
    assert ("overwritten" if data else "deleted") in str(stored.row["reason"])
    assert (A, "Supersede") in [(entry.subject, entry.decision) for entry in entries(here.rows, ["flight-delays"])]


def test_an_empty_file_is_quarantined_once_and_its_neighbour_admitted(here: FakeCloud) -> None:
    """BAD_INPUTS B9: by its event, and by a listing if the event never came."""
    land(here, A)
    here.blobs.put("landing", B, b"")
    count_overlooked_on_timer(None)
    deliver(here, B)
    for _ in range(2):
        retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (B, "quarantined")]
    assert here.announcer.kinds() == ["DataQuarantined"]
    ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
    assert name.startswith("retrain_on_timer/BLOB_EMPTY/")


def test_an_overwritten_version_whose_event_never_came_is_counted_by_listing(here: FakeCloud) -> None:
    land(here, A)
    here.blobs.put("landing", A, flights(1))
    count_overlooked_on_timer(None)
    retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (A, "superseded")]


PICKLE, PAGE = pickle.dumps({"hour": [1, 2]}), b"<!DOCTYPE html><html><body>401 Unauthorized</body></html>"


@pytest.mark.parametrize("data", [PICKLE, PAGE, flights()[: len(flights()) // 2]], ids=["pickle", "html", "truncated"])
def test_what_is_no_parquet_is_quarantined_with_its_reason_and_the_neighbours_train(
    here: FakeCloud, data: bytes
) -> None:
    """BAD_INPUTS B20."""
    land(here, A)
    land(here, B, data=data)
    for _ in range(2):
        retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (B, "quarantined")]
    ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
    assert name.startswith("retrain_on_timer/DATA_FORMAT/")
    assert json.loads(here.blobs.blobs["quarantine", name])["fix"].startswith("write it as Parquet")
    (entry,) = [entry for entry in entries(here.rows, ["flight-delays"]) if entry.decision == "Quarantine"]
    assert entry.subject == B


def test_the_size_that_the_store_says_wins_over_the_event(here: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """BAD_INPUTS B11: the event says 10 bytes; it is over the limit, and nobody reads it."""
    data = here.settings.loops["flight-delays"].data
    land(here, A)
    here.blobs.put("landing", B, b"x" * (data.at_most_file_size + 1))
    facts = here.blobs.facts("landing", B)
    assert facts
    count_upload_on_blob_created(blob_created(B, eTag=facts.etag, contentLength=10))
    monkeypatch.setattr(here.blobs, "copy", None)
    retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (B, "quarantined")]
    (name,) = [name for container, name in here.blobs.blobs if container == "quarantine"]
    assert "BLOB_TOO_BIG" in name


def test_an_admitted_version_has_rows_and_a_copy_that_outlives_the_blob(here: FakeCloud) -> None:
    land(here, A, data=flights(2))
    retrain_on_timer(None)
    here.blobs.put("landing", A, flights(3))
    (stored,) = here.rows.find("uploads", "flight-delays")
    assert (stored.row["rows"], stored.row["sha256"]) == (2, sha256(flights(2)).hexdigest())
    assert here.blobs.read("versions", f"flight-delays/{stored.key}/a.parquet") == flights(2)


class _Overwriting(FakeBlobs):
    """Somebody writes the blob again just before it is read."""

    def read_version(self, container: str, name: str, etag: str, *, offset: int, length: int) -> bytes | None:
        self.put(container, name, flights(1))
        return super().read_version(container, name, etag, offset=offset, length=length)


def test_what_is_overwritten_while_it_is_looked_at_is_superseded(here: FakeCloud) -> None:
    land(here, A)
    here.blobs = _Overwriting(here.blobs.blobs)
    retrain_on_timer(None)
    assert states(here) == [(A, "superseded")]
    assert not [name for container, name in here.blobs.blobs if container == "versions"]


def test_large_files_are_copied_by_the_store_and_looked_into_by_ranges(
    here: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.retraining.versions.WHOLE_BYTES", 100)
    monkeypatch.setattr("functions.retraining.content.WHOLE_BYTES", 100)
    land(here, A)
    land(here, B, data=b"PAR1" + bytes(500) + b"PAR1")
    retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (B, "quarantined")]
    ((name, content),) = [(name, data) for (at, name), data in here.blobs.blobs.items() if at == "versions"]
    assert (name.endswith("/a.parquet"), content) == (True, flights())


def test_what_the_loop_takes_without_a_look_is_copied_and_never_read(
    here: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(here, formats=["any"])
    monkeypatch.setattr(here.blobs, "read_version", None)
    land(here, A, data=b"a picture")
    retrain_on_timer(None)
    assert states(here) == [(A, "admitted")]
    assert b"a picture" in [content for (at, _), content in here.blobs.blobs.items() if at == "versions"]


def test_several_files_are_looked_into_at_the_same_time(here: FakeCloud) -> None:
    here.settings = Settings.model_validate({**ENVIRONMENT, **OWN_LOOPS, "REQUESTS_AT_ONCE": "4"})
    blobs = [f"flight-delays/ewr/{number}.parquet" for number in range(30)]
    land(here, *blobs[:-1])
    land(here, blobs[-1], data=PAGE)
    retrain_on_timer(None)
    assert [state for _, state in states(here)].count("admitted") == 29


def test_a_site_that_sends_mostly_bad_files_is_held_until_it_sends_better_ones(here: FakeCloud) -> None:
    good = "flight-delays/jfk/good.parquet"
    land(here, A, good)
    land(here, *[f"flight-delays/jfk/{number}.parquet" for number in range(3)], data=PAGE)
    retrain_on_timer(None)
    assert [state for blob, state in states(here) if blob in (A, good)] == ["admitted", "held"]
    (entry,) = [entry for entry in entries(here.rows, ["flight-delays"]) if entry.decision == "HoldSite"]
    assert entry.reason == "site jfk: 3 of the 4 files of the last day are bad, at most 50% may be; 1 good files"
    land(here, *[f"flight-delays/jfk/better-{number}.parquet" for number in range(2)])
    retrain_on_timer(None)
    assert {state for _, state in states(here)} == {"admitted", "quarantined"}


def test_a_site_is_held_also_by_whoever_comes_after_a_crash(here: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    land(here, "flight-delays/jfk/good.parquet")
    land(here, *[f"flight-delays/jfk/{number}.parquet" for number in range(3)], data=PAGE)
    with monkeypatch.context() as cut:
        cut.setattr("functions.retraining.trigger.hold_poisoned", None)
        with pytest.raises(TypeError):
            retrain_on_timer(None)
    assert "admitted" in dict(states(here)).values()
    retrain_on_timer(None)
    assert set(dict(states(here)).values()) == {"held", "quarantined"}


def test_an_old_verdict_over_a_taken_file_takes_it_into_no_second_generation(here: FakeCloud) -> None:
    land(here, A)
    retrain_on_timer(None)
    loop = here.settings.loops["flight-delays"]
    (upload,) = ledger.pending(here.rows, loop)
    ledger.take(here.rows, loop, [upload.key], generation=1)
    here.rows.change("uploads", loop.name, keys=[upload.key], values={"state": "admitted"})
    assert ledger.pending(here.rows, loop) == []
