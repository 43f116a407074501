"""A share beside the store: what an administrator of the site sees."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from functions.operator.cli import app
from functions.retraining.trigger import retrain_on_timer
from functions.wiring import using
from tests.fakes.cloud import FakeBlobs, FakeCloud
from tests.files import flights
from tests.uploads import land

FOLDER = "flight-delays/ewr"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    monkeypatch.setenv("COLUMNS", "300")
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


@pytest.fixture
def share(tmp_path: Path) -> Path:
    (tmp_path / "share" / "2013").mkdir(parents=True)
    for number in (1, 2, 3):
        (tmp_path / "share" / "2013" / f"{number}.parquet").write_bytes(flights(number))
    return tmp_path / "share"


def verified(share: Path, *options: str, site: str = "ewr") -> Result:
    return CliRunner().invoke(app, ["verify", site, str(share), *options])


def findings(share: Path) -> dict[str, tuple[str, str, str]]:
    answer = json.loads(verified(share, "--json").stdout)
    return {one["name"]: (one["found"], one["detail"], one["state"]) for one in answer["files"]}


def test_a_share_that_came_over_whole_is_the_same_and_ends_with_0(here: FakeCloud, share: Path) -> None:
    for number in (1, 2, 3):
        land(here, f"{FOLDER}/2013/{number}.parquet", data=flights(number))
    retrain_on_timer(None)
    told = verified(share, site=FOLDER)
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, "3 same")
    assert set(findings(share).values()) == {("same", "", "admitted")}


def test_every_difference_is_named_and_ends_with_1(here: FakeCloud, share: Path) -> None:
    page = b"<html>".ljust(len(flights(2)))
    land(here, f"{FOLDER}/2013/1.parquet", data=flights(2))
    land(here, f"{FOLDER}/2013/2.parquet", data=page)
    land(here, f"{FOLDER}/2013/4.parquet")
    here.blobs.put("landing", "flight-delays/jfk/2013/3.parquet", b"another site's")
    retrain_on_timer(None)
    told = verified(share)
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (1, "1 missing there, 1 missing here, 2 different")
    assert json.loads(verified(share, "--json").stdout)["summary"] == {
        "same": 0, "missing there": 1, "missing here": 1, "different": 2,
    }  # fmt: skip
    found = findings(share)
    assert found["2013/1.parquet"][0] == "different"
    assert f"{len(flights(1)):,} bytes here, {len(flights(2)):,} there" in found["2013/1.parquet"][1]
    assert "sha256" in found["2013/2.parquet"][1]
    assert found["2013/2.parquet"][2].startswith("quarantined: Parquet magic bytes")
    assert found["2013/3.parquet"] == ("missing there", "", "")
    assert found["2013/4.parquet"] == ("missing here", "", "admitted")


def test_what_nobody_has_looked_into_is_read_there(here: FakeCloud, share: Path) -> None:
    for number in (1, 2, 3):
        here.blobs.put("landing", f"{FOLDER}/2013/{number}.parquet", flights(number))
    assert verified(share).exit_code == 0
    here.blobs.put("landing", f"{FOLDER}/2013/3.parquet", b"x".ljust(len(flights(3))))
    assert findings(share)["2013/3.parquet"][0] == "different"


def test_a_file_that_expired_after_a_job_took_it_is_the_same(here: FakeCloud, share: Path) -> None:
    blobs = [f"{FOLDER}/2013/{number}.parquet" for number in (1, 2, 3)]
    for number, blob in enumerate(blobs, 1):
        land(here, blob, data=flights(number))
    retrain_on_timer(None)
    keys = [stored.key for stored in here.rows.find("uploads", "flight-delays")]
    here.rows.change("uploads", "flight-delays", keys=keys, values={"state": "taken", "generation": 1})
    here.blobs.blobs.clear()
    told = findings(share)
    assert set(told.values()) == {("same", "taken, and no longer in the landing container", "taken")}
    (share / "2013" / "1.parquet").write_bytes(flights(3))
    assert findings(share)["2013/1.parquet"][0] == "different"


class _Overwriting(FakeBlobs):
    def read_version(self, container: str, name: str, etag: str, *, offset: int, length: int) -> bytes | None:
        self.put(container, name, b"another version")
        return super().read_version(container, name, etag, offset=offset, length=length)


def test_what_is_overwritten_meanwhile_is_different(here: FakeCloud, share: Path) -> None:
    here.blobs = _Overwriting()
    here.blobs.put("landing", f"{FOLDER}/2013/1.parquet", flights(1))
    assert findings(share)["2013/1.parquet"][:1] == ("different",)


@pytest.mark.parametrize("site", ["boston", "other/ewr"])
@pytest.mark.usefixtures("here")
def test_a_site_that_no_loop_has_is_refused(share: Path, site: str) -> None:
    told = verified(share, site=site)
    assert told.exit_code == 1
    assert "the sites are flight-delays/ewr, flight-delays/jfk, flight-delays/lga" in str(told.exception)
