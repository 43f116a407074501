"""A site says what it sent; until that is what came, nothing of it trains."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from functions.events import TransferIncomplete
from functions.journal import entries
from functions.operator.status import status
from functions.retraining.trigger import count_overlooked_on_timer, retrain_on_timer
from functions.wiring import using
from tests.fakes.cloud import FakeCloud
from tests.files import flights
from tests.uploads import declare, deliver, land

LOOP, FOLDER = "flight-delays", "flight-delays/ewr/2013"
MANIFEST = f"{FOLDER}/january.transfer.json"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILES: Mapping[str, bytes] = {f"{day}.parquet": flights(day) for day in (1, 2, 3)}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(clock: Clock) -> Iterator[FakeCloud]:
    with using(FakeCloud(clock=clock)) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def demanding(here: FakeCloud) -> None:
    """Let the loop take no file that no manifest lists."""
    declare(here, transfer_manifest=True)


def listed(**changes: object) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "sha256": sha256(content).hexdigest(),
            "size_bytes": len(content),
            "rows": int(name[0]),
            **(changes if name == "2.parquet" else {}),
        }
        for name, content in FILES.items()
    ]


def manifest(files: object = None, **changes: object) -> bytes:
    body = {"schema": 1, "site": "ewr", "files": listed() if files is None else files, **changes}
    return json.dumps(body).encode()


def send(here: FakeCloud, *names: str) -> None:
    for name in names or FILES:
        land(here, f"{FOLDER}/{name}", data=FILES[name])


def states(here: FakeCloud) -> list[str]:
    rows = sorted(here.rows.find("uploads", LOOP), key=lambda stored: (str(stored.row["blob"]), stored.row["at"]))
    return [str(stored.row["state"]) for stored in rows]


def transfer(here: FakeCloud) -> tuple[str, str]:
    (stored,) = [one for one in here.rows.find("transfers", LOOP) if one.row["state"] != "superseded"]
    return str(stored.row["state"]), str(stored.row["reason"])


def turn(here: FakeCloud) -> None:
    retrain_on_timer(None)
    assert len(here.trainer.orders) == 0


def test_a_batch_that_came_as_it_was_sent_is_admitted_whatever_came_first(here: FakeCloud) -> None:
    demanding(here)
    land(here, MANIFEST, data=manifest())
    send(here, "3.parquet", "1.parquet")
    turn(here)
    assert states(here) == ["incomplete", "incomplete"]
    send(here, "2.parquet")
    turn(here)
    assert states(here) == ["admitted"] * 3
    assert transfer(here) == ("complete", "all 3 files came as they were sent")
    assert "AcceptTransfer" in [entry.decision for entry in entries(here.rows, [LOOP])]


def test_where_a_manifest_is_demanded_files_wait_for_it(here: FakeCloud) -> None:
    demanding(here)
    send(here)
    turn(here)
    assert states(here) == ["incomplete"] * 3
    assert status(here.rows, here.settings.loops)[0].pending == 0
    land(here, MANIFEST, data=manifest())
    turn(here)
    assert states(here) == ["admitted"] * 3


def test_where_none_is_demanded_only_what_an_incomplete_batch_lists_waits(here: FakeCloud) -> None:
    send(here, "1.parquet", "2.parquet")
    land(here, "flight-delays/ewr/other.parquet")
    turn(here)
    assert states(here) == ["admitted"] * 3
    land(here, MANIFEST, data=manifest())
    turn(here)
    assert states(here) == ["incomplete", "incomplete", "admitted"]
    here.blobs.blobs.pop(("landing", MANIFEST))
    turn(here)
    assert states(here) == ["admitted"] * 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "0" * 64}, "2.parquet (sha256 000000000000… sent, "),
        ({"size_bytes": 7}, "2.parquet (7 bytes sent, "),
        ({"rows": 20}, "2.parquet (20 rows sent, 2 came)"),
    ],
)
def test_what_is_different_is_named(here: FakeCloud, clock: Clock, changes: dict[str, object], said: str) -> None:
    send(here)
    land(here, MANIFEST, data=manifest(listed(**changes)))
    clock.now += timedelta(minutes=1)
    turn(here)
    state, reason = transfer(here)
    assert state == "incomplete"
    assert f"1 of 3 files different: {said}" in reason
    assert status(here.rows, here.settings.loops)[0].held == {MANIFEST: reason}


def test_a_file_that_was_quarantined_keeps_its_batch_waiting(here: FakeCloud) -> None:
    broken = b"<html>".ljust(len(FILES["2.parquet"]))
    send(here, "1.parquet", "3.parquet")
    land(here, f"{FOLDER}/2.parquet", data=broken)
    land(here, MANIFEST, data=manifest(listed(sha256=sha256(broken).hexdigest())))
    turn(here)
    assert states(here) == ["incomplete", "quarantined", "incomplete"]
    assert "quarantined: Parquet magic bytes not found" in transfer(here)[1]


def test_what_is_missing_is_announced_once_a_state_and_not_while_it_is_landing(here: FakeCloud, clock: Clock) -> None:
    land(here, MANIFEST, data=manifest())
    send(here, "1.parquet")
    turn(here)
    assert here.announcer.kinds() == []
    clock.now += timedelta(minutes=1)
    for _ in range(3):
        turn(here)
    send(here, "2.parquet")
    for _ in range(3):
        turn(here)
    assert [message["type"] for message in here.announcer.messages] == ["Refluent.TransferIncomplete"] * 2
    first, second = here.announcer.announced.values()
    assert isinstance(first, TransferIncomplete)
    assert isinstance(second, TransferIncomplete)
    assert (first.site, first.missing, second.missing) == ("ewr", ["2.parquet", "3.parquet"], ["3.parquet"])
    assert second.reason == "1 of 3 files missing: 3.parquet"


def test_a_file_sent_again_completes_its_batch_and_its_first_version_is_superseded(here: FakeCloud) -> None:
    demanding(here)
    send(here, "1.parquet", "3.parquet")
    land(here, f"{FOLDER}/2.parquet", data=flights(1))
    land(here, MANIFEST, data=manifest())
    turn(here)
    assert transfer(here)[0] == "incomplete"
    send(here, "2.parquet")
    turn(here)
    assert sorted(states(here)) == ["admitted"] * 3 + ["superseded"]


def test_a_complete_batch_of_a_site_that_sends_mostly_bad_files_is_held(here: FakeCloud) -> None:
    demanding(here)
    send(here)
    land(here, *[f"{FOLDER}/bad-{number}.parquet" for number in range(4)], data=b"<html>")
    land(here, MANIFEST, data=manifest())
    turn(here)
    assert transfer(here)[0] == "complete"
    assert sorted(set(states(here))) == ["held", "quarantined"]


def test_a_large_file_is_read_for_its_digest_only_when_a_manifest_asks(
    here: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("content", "versions", "settle"):
        monkeypatch.setattr(f"functions.retraining.{module}.WHOLE_BYTES", 100)
    send(here)
    turn(here)
    assert {stored.row["sha256"] for stored in here.rows.find("uploads", LOOP)} == {""}
    land(here, MANIFEST, data=manifest())
    turn(here)
    assert transfer(here)[0] == "complete"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "the file: Invalid JSON"),
        (b"{}", "schema: Field required"),
        (manifest(schema=2), "schema: Input should be 1"),
        (manifest([]), "files: "),
        (manifest(site="jfk"), "it speaks for site 'jfk' in the folder of 'ewr'"),
        (manifest(listed(name="../../jfk/1.parquet")), "is no name relative to the manifest's own folder"),
        (manifest(listed(name="/1.parquet")), "is no name relative to the manifest's own folder"),
        (manifest(listed(name="1.parquet")), "a name is listed twice"),
        (manifest(listed(sha256="abc")), "files.1.sha256: "),
        (manifest(listed(size_bytes=-1)), "files.1.size_bytes: "),
        (manifest(listed(rows=1.5)), "files.1.rows: "),
    ],
)
def test_what_is_no_manifest_is_quarantined_and_the_files_train(here: FakeCloud, content: bytes, said: str) -> None:
    send(here)
    land(here, MANIFEST, data=content)
    for _ in range(2):
        turn(here)
    state, reason = transfer(here)
    assert state == "quarantined"
    assert said in reason
    assert states(here) == ["admitted"] * 3
    ((_, name),) = [at for at in here.blobs.blobs if at[0] == "quarantine"]
    assert name.startswith("retrain_on_timer/TRANSFER_FORMAT/")


def test_a_manifest_is_counted_once_also_when_only_a_listing_finds_it(here: FakeCloud) -> None:
    send(here)
    here.blobs.put("landing", MANIFEST, manifest())
    count_overlooked_on_timer(None)
    deliver(here, MANIFEST)
    turn(here)
    assert transfer(here)[0] == "complete"
    assert len(states(here)) == 3


def test_a_ledger_row_of_an_older_app_is_read(here: FakeCloud) -> None:
    send(here, "1.parquet")
    (stored,) = here.rows.find("uploads", LOOP)
    row = {name: value for name, value in stored.row.items() if name != "sha256"}
    assert here.rows.replace("uploads", LOOP, stored=stored, row=row)
    turn(here)
    assert states(here) == ["admitted"]
