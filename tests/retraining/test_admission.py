"""What becomes of a counted upload once the store is asked about it."""

from collections.abc import Iterator

import pytest

from functions.journal import entries
from functions.retraining.trigger import count_overlooked_on_timer, retrain_on_timer
from functions.wiring import using
from tests.fakes.cloud import FakeCloud
from tests.uploads import deliver, land

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
    here.blobs.put("landing", A, b"the second version")
    count_overlooked_on_timer(None)
    retrain_on_timer(None)
    assert states(here) == [(A, "admitted"), (A, "superseded")]
