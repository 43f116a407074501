"""refluent pin and unpin: what they write, what status shows, and what they refuse."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from functions.operator.cli import app
from functions.ports import ModelVersion
from functions.wiring import using
from tests.fakes.cloud import FakeCloud

LOOP = "flight-delays"


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        cloud.registry.register(ModelVersion(LOOP, "3", f"{LOOP}/3", {"sha256": "ab"}))
        yield cloud


def refluent(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def pinned() -> str:
    return str(json.loads(refluent("status", "--json").stdout)[0]["pin"])


@pytest.mark.usefixtures("here")
def test_a_pin_stands_in_status_with_its_reason_until_it_is_lifted() -> None:
    assert refluent("pin", LOOP, "3", "--because", "the auditors are here").exit_code == 0
    assert pinned() == "every ring to version 3: the auditors are here"
    assert "the auditors are here" in refluent("status").stdout
    assert refluent("pin", LOOP, "3", "--because", "only there", "--ring", "canary").exit_code == 0
    assert pinned() == "canary to version 3: only there"
    assert refluent("unpin", LOOP).exit_code == 0
    assert pinned() == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("pin", "nobody", "3", "--because", "x"), "there is no loop"),
        (("pin", LOOP, "9", "--because", "x"), "the registry has no flight-delays:9"),
        (("pin", LOOP, "3", "--because", "x", "--ring", "moon"), "its rings are canary, everywhere"),
        (("unpin", "nobody"), "there is no loop"),
    ],
)
def test_what_cannot_be_pinned_is_refused_and_nothing_is_written(
    here: FakeCloud, arguments: tuple[str, ...], why: str
) -> None:
    done = refluent(*arguments)
    assert done.exit_code == 1
    assert why in done.output
    assert not list(here.rows.find("pins", LOOP))


@pytest.mark.usefixtures("here")
def test_a_pin_without_a_reason_is_refused() -> None:
    assert refluent("pin", LOOP, "3").exit_code == 2
