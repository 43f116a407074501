from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.loops import read
from functions.retraining.decide import Backlog, HoldForBudget, Launch, Resume, Wait, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = read(Path("loops/flight-delays.toml")).retrain  # 84 files, quiet for 2 s, at most 2 min, 2 jobs a day


def backlog(files: int, **changes: object) -> Backlog:
    whole: dict[str, object] = {
        "generation": 4,
        "sealed": False,
        "files": files,
        "first_at": NOW - timedelta(seconds=30) if files else None,
        "last_at": NOW - timedelta(seconds=7) if files else None,
        "drift": (),
        "launches": (),
    }
    return Backlog(**{**whole, **changes})  # type: ignore[arg-type] # each test changes one field by name


def test_enough_files_that_have_gone_quiet_are_worth_a_job() -> None:
    assert decide(backlog(84), POLICY, NOW) == Launch("data", "84 new files, and none for 2 s")


def test_one_file_too_few_waits_and_says_how_many_are_missing() -> None:
    assert decide(backlog(83), POLICY, NOW) == Wait("83 of 84 files")


def test_nothing_new_waits() -> None:
    assert decide(backlog(0), POLICY, NOW) == Wait("no new files")


def test_a_burst_that_is_still_landing_is_not_cut_in_two() -> None:
    arriving = backlog(90, last_at=NOW - timedelta(seconds=1))
    assert decide(arriving, POLICY, NOW) == Wait("files are still arriving")


def test_a_drip_that_never_goes_quiet_is_cut_at_the_longest_wait() -> None:
    dripping = backlog(90, first_at=NOW - timedelta(minutes=2), last_at=NOW)
    assert decide(dripping, POLICY, NOW) == Launch("data", "90 new files, and the longest wait is over")


def test_new_data_alone_waits_for_the_cool_down_and_drift_does_not() -> None:
    before = (NOW - timedelta(hours=5),)
    assert isinstance(decide(backlog(90, launches=before), POLICY, NOW), Wait)
    drifted = decide(backlog(90, launches=before, drift=("lga: temp",)), POLICY, NOW)
    assert drifted == Launch("drift", "drift on lga: temp; 90 new files")


def test_drift_without_enough_new_files_waits() -> None:
    assert decide(backlog(7, drift=("lga: temp",)), POLICY, NOW) == Wait("7 of 84 files although drift asks for a job")


def test_a_loop_that_only_reports_drift_treats_it_as_no_reason() -> None:
    reporting = POLICY.model_copy(update={"on_drift": "report"})
    before = (NOW - timedelta(hours=5),)
    assert isinstance(decide(backlog(90, launches=before, drift=("lga: temp",)), reporting, NOW), Wait)


def test_the_day_s_budget_holds_even_for_drift_and_frees_after_a_day() -> None:
    two = (NOW - timedelta(hours=23), NOW - timedelta(hours=2))
    held = decide(backlog(90, launches=two, drift=("lga: temp",)), POLICY, NOW)
    assert held == HoldForBudget("2 of 2 jobs were started in the last 24 hours")
    later = decide(backlog(90, launches=two, drift=("lga: temp",)), POLICY, NOW + timedelta(hours=2))
    assert isinstance(later, Launch)


def test_a_sealed_generation_is_finished_whatever_the_policy_says_now() -> None:
    assert isinstance(decide(backlog(0, sealed=True), POLICY, NOW), Resume)


@given(
    files=st.integers(0, 300),
    since=st.lists(st.timedeltas(timedelta(0), timedelta(days=3)), max_size=6),
    drift=st.booleans(),
)
def test_no_backlog_ever_starts_more_jobs_than_the_budget(files: int, since: list[timedelta], drift: bool) -> None:  # noqa: FBT001 # hypothesis passes it by name
    launches = tuple(sorted(NOW - span for span in since))
    decision = decide(backlog(files, launches=launches, drift=("x",) if drift else ()), POLICY, NOW)
    if sum(span < timedelta(days=1) for span in since) >= POLICY.jobs_per_day:
        assert not isinstance(decision, Launch)


@pytest.mark.parametrize("files", [0, 83, 84])
def test_every_no_has_a_reason(files: int) -> None:
    assert decide(backlog(files), POLICY, NOW).reason
