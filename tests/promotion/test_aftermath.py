"""What becomes of a job that brings no model."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from functions.journal import entries
from functions.operator.status import status
from functions.ports import JobOrder, JobOutcome, Row
from functions.promotion.aftermath import Stop, TryAgain, aftermath
from functions.promotion.decide import GiveUp
from functions.promotion.trigger import judge_on_timer
from functions.wiring import using
from tests.fakes.cloud import FakeCloud

LOOP, JOB = "flight-delays", "rt-flight-delays-1-0123456789ab"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCRIPT = JobOutcome("failed", detail="exit code 3: no file is usable")
PLATFORM = JobOutcome("failed", detail="the node was lost", blame="platform")


def after(outcome: JobOutcome, attempt: int = 1, hours: float = 1) -> object:
    return aftermath(outcome, attempt=attempt, ran=timedelta(hours=hours), limit=timedelta(hours=24))


def test_what_the_script_failed_is_given_up_with_the_end_of_its_log() -> None:
    assert after(SCRIPT) == GiveUp("the job failed: exit code 3: no file is usable")


def test_what_the_platform_failed_is_tried_once_more_and_not_twice() -> None:
    assert after(PLATFORM) == TryAgain("the platform failed the job (failed): the node was lost")
    assert after(PLATFORM, attempt=2) == GiveUp(
        "the platform failed the job (failed), the second time: the node was lost"
    )


def test_a_job_that_vanished_is_the_platform_s() -> None:
    assert after(JobOutcome("missing")) == TryAgain("the platform failed the job (missing)")
    assert isinstance(after(JobOutcome("missing"), attempt=2), GiveUp)


def test_what_somebody_stopped_is_not_started_again() -> None:
    assert after(JobOutcome("canceled")) == GiveUp("the job canceled")


def test_a_job_that_runs_too_long_is_stopped_and_one_within_its_time_is_left_alone() -> None:
    assert after(JobOutcome("running"), hours=25) == Stop(
        "the job runs for 25.0 hours, and may for 24.0: it was stopped"
    )
    assert after(JobOutcome("running"), hours=24) is None
    assert after(JobOutcome("completed"), hours=25) is None


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    cloud = FakeCloud(clock=lambda: NOON + timedelta(hours=30))
    cloud.trainer.orders[JOB] = JobOrder(JOB, LOOP, "p:1", "c", "e", "t", "l", None, "{}", "1", {})
    row: Row = {"generation": 1, "state": "started", "launched_at": NOON, "champion": ""}
    cloud.rows.insert("jobs", LOOP, JOB, row=row)
    with using(cloud):
        yield cloud


def test_the_timer_writes_down_that_a_job_is_to_be_tried_again_and_how_long_it_ran(here: FakeCloud) -> None:
    here.trainer.ended[JOB] = PLATFORM
    for _ in range(2):
        judge_on_timer(None)
    (stored,) = here.rows.find("jobs", LOOP)
    assert (stored.row["state"], stored.row["ended_at"]) == ("retry", NOON + timedelta(hours=30))
    assert [entry.decision for entry in entries(here.rows, [LOOP])] == ["TryAgain"]
    assert here.announcer.kinds() == []


def test_a_job_that_ran_too_long_is_canceled_and_everybody_is_told(here: FakeCloud) -> None:
    judge_on_timer(None)
    assert here.trainer.outcome(JOB) == JobOutcome("canceled")
    (loop,) = status(here.rows, here.settings.loops)
    assert loop.jobs == {JOB: "giveup"}
    assert here.announcer.kinds() == ["ModelRejected"]
