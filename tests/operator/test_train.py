"""A person's order, and new training code, from the command line to the job."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from functions.journal import entries
from functions.operator.cli import app
from functions.retraining.trigger import request_retraining_on_code_change, retrain_on_timer
from functions.wiring import using
from tests.fakes.cloud import FakeCloud
from tests.messages import message
from tests.uploads import land

LOOP = "flight-delays"


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    """One file has landed: far too few for the loop's policy."""
    cloud = FakeCloud(clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    with using(cloud):
        land(cloud, f"{LOOP}/ewr/2013-01-01.parquet")
        retrain_on_timer(None)
        yield cloud


def train(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", *arguments])


def launches(here: FakeCloud) -> list[str]:
    return [entry.reason for entry in entries(here.rows, [LOOP]) if entry.decision == "Launch"]


def test_an_order_trains_on_what_there_is_and_its_reason_is_journalled(here: FakeCloud) -> None:
    for _ in range(2):
        assert train(LOOP, "--because", "the season turned").exit_code == 0
    for _ in range(2):
        retrain_on_timer(None)
    assert launches(here) == ["ordered because the season turned; 1 new files"]
    assert len(here.trainer.orders) == 1


def test_the_same_order_given_after_it_was_answered_is_another_order(here: FakeCloud) -> None:
    for version in (1, 2):
        assert "ordered;" in train(LOOP, "--because", "again").stdout
        retrain_on_timer(None)
        job = list(here.trainer.orders)[-1]
        here.rows.change("jobs", LOOP, keys=[job], values={"state": "registered", "version": str(version)})
    assert len(here.trainer.orders) == 2


def test_new_training_code_trains_once_with_its_version_and_stays_until_the_file_says_otherwise(
    here: FakeCloud,
) -> None:
    data: dict[str, object] = {"loop": LOOP, "version": "7", "reason": "commit abc"}
    announced = message("Refluent.TrainingCodeChanged", data, subject=LOOP)
    request_retraining_on_code_change(announced)
    assert "ordered before" in train(LOOP, "--code-version", "7").stdout
    for _ in range(3):
        retrain_on_timer(None)
    assert [order.pipeline for order in here.trainer.orders.values()] == ["flight_delays_pipeline:7"]
    assert launches(here) == ["training code is flight_delays_pipeline:7: commit abc; 1 new files"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody", "--because", "x"], "there is no loop 'nobody'; there are: flight-delays"),
        ([LOOP], "say --because"),
        ([LOOP, "--code-version", "2", "--anyway"], "say --because"),
        ([LOOP, "--code-version", "../2"], "version: String should match pattern"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_the_way_out(
    here: FakeCloud, arguments: list[str], said: str
) -> None:
    refused = train(*arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert not list(here.rows.find("requests", LOOP))


@pytest.mark.parametrize(
    "data", [{"loop": LOOP}, {"loop": LOOP, "version": "a:b"}, {"loop": LOOP, "version": "x" * 31}, {"version": "2"}]
)
def test_a_code_change_that_names_no_version_is_set_aside(here: FakeCloud, data: dict[str, object]) -> None:
    request_retraining_on_code_change(message("Refluent.TrainingCodeChanged", data, subject=LOOP))
    assert here.announcer.kinds() == ["DataQuarantined"]
    assert not list(here.rows.find("requests", LOOP))


def test_a_code_change_of_a_loop_this_app_does_not_have_is_passed_over(here: FakeCloud) -> None:
    data: dict[str, object] = {"loop": "somebody-else-s", "version": "2"}
    request_retraining_on_code_change(message("Refluent.TrainingCodeChanged", data, subject="x"))
    assert here.announcer.kinds() == []


def test_work_that_is_held_is_said_by_status_with_the_reason_and_since_when(here: FakeCloud) -> None:
    for day in (1, 2):
        here.rows.insert("jobs", LOOP, f"rt-{day}", row={"launched_at": here.now(), "state": "giveup"})
    train(LOOP, "--because", "I want it")
    for _ in range(2):
        retrain_on_timer(None)
    shown = CliRunner().invoke(app, ["status"]).stdout
    assert "HoldForBudget since 01 March 12:00:00 UTC: 2 of 2 jobs" in " ".join(shown.replace("│", " ").split())
    assert not here.trainer.orders
    train(LOOP, "--because", "I really want it", "--anyway")
    retrain_on_timer(None)
    (reason,) = launches(here)
    assert reason.endswith("ordered although 2 of 2 jobs were started in the last 24 hours")
