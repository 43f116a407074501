"""`refluent picture`: a page about a loop's devices that anybody can open."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from functions.errors import Refused
from functions.operator.cli import app
from functions.operator.picture import MOST, page_of
from functions.wiring import using
from tests.drift.test_episodes import LOOP, SITES, Town


@pytest.fixture
def town() -> Iterator[Town]:
    made = Town()
    made.fleet.at = dict(SITES)
    for device in SITES:
        made.put(device, words="")
    with using(made):
        yield made


def drawn(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["picture", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_devices_are_drawn_with_their_evidence_and_what_moved(town: Town, tmp_path: Path, ending: str) -> None:
    town.drift("lga-1", "lga-2")
    for device in ("lga-1", "lga-2"):
        town.put(device, words="share above $39.04", before=0.49, after=1.0)
    town.turn()
    path = tmp_path / f"drift.{ending}"
    said = drawn(LOOP, "--to", path)
    assert said.startswith(f"{path}: 6 devices, flight-delays\nflight-delays~1: site: temp, share above 39.04: 49 %")
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert len(picture) > 10_000


def test_the_page_has_the_devices_with_most_evidence_first_and_what_names_one(town: Town) -> None:
    town.drift("jfk-2", evidence=50.0)
    town.put("jfk-2", words="share above 3", before=0.1, after=0.3)
    page = page_of(town.rows, LOOP, patience=100_000)
    first, second, *_ = page.devices
    assert (first.name, first.drifts, first.share) == ("jfk-2 (version 1)", True, "temp, share above 3")
    assert (first.before, first.after, second.share) == (0.1, 0.3, "")
    assert first.powers == pytest.approx(21.7, abs=0.1)
    assert [page.together, page.alone] == pytest.approx([5.0, 5.778], abs=0.001)
    assert page.title == "flight-delays\nno drift"


def test_a_large_fleet_is_drawn_by_those_with_most_evidence(town: Town) -> None:
    for number in range(60):
        town.put(f"d{number}", log_evidence=float(number))
    page = page_of(town.rows, LOOP, patience=100_000)
    assert (len(page.devices), page.left_out) == (MOST, 60 + 6 - MOST)
    assert page.devices[0].name == "d59 (version 1)"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("strangers",), "there is no such loop"),
        ((LOOP, "--to", "/nowhere/x.png"), "no folder /nowhere"),
        ((LOOP, "--to", "x.txt"), "it is no picture"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(town: Town, arguments: tuple[str, ...], why: str) -> None:
    assert town
    with pytest.raises(Refused, match=why):
        drawn(*arguments)


def test_a_loop_whose_devices_told_nothing_is_refused(tmp_path: Path) -> None:
    with using(Town()), pytest.raises(Refused, match="no device has told anything"):
        drawn(LOOP, "--to", tmp_path / "x.png")
