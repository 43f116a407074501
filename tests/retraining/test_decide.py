from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.events import Harm
from functions.loops import read
from functions.quantities import hours
from functions.retraining.decide import Backlog, HoldForBudget, Job, Launch, Resume, Retry, Wait, Wish, decide
from functions.retraining.money import Spent, spent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = read(Path("tests/loops/flight-delays.toml")).retrain  # 84 files, quiet for 2 s, at most 2 min, 2 jobs a day


DRIFT = (Wish("drift", "lga: temp"),)
ORDER = (Wish("operator", "ordered because I say so"),)


def ended(*launches: datetime) -> tuple[Job, ...]:
    """Jobs that took an hour each."""
    return tuple(Job(at, at + timedelta(hours=1)) for at in launches)


def backlog(files: int, **changes: object) -> Backlog:
    whole: dict[str, object] = {
        "generation": 4,
        "sealed": False,
        "files": files,
        "first_at": NOW - timedelta(seconds=30) if files else None,
        "last_at": NOW - timedelta(seconds=7) if files else None,
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
    assert isinstance(decide(backlog(90, jobs=ended(*before)), POLICY, NOW), Wait)
    drifted = decide(backlog(90, jobs=ended(*before), wishes=DRIFT), POLICY, NOW)
    assert drifted == Launch("drift", "drift on lga: temp; 90 new files")


def test_drift_without_enough_new_files_waits() -> None:
    assert decide(backlog(7, wishes=DRIFT), POLICY, NOW) == Wait("7 of 84 files although drift asks for a job")


def test_a_loop_that_only_reports_drift_treats_it_as_no_reason() -> None:
    reporting = POLICY.model_copy(update={"on_drift": "report"})
    before = (NOW - timedelta(hours=5),)
    assert isinstance(decide(backlog(90, jobs=ended(*before), wishes=DRIFT), reporting, NOW), Wait)


@pytest.mark.parametrize(
    ("harm", "age", "launches"),
    [
        ("harmful", timedelta(0), True),
        ("harmless", timedelta(days=9), False),
        ("unknown", timedelta(hours=23), False),
        ("unknown", timedelta(hours=24), True),
        ("unknown", None, True),
    ],
)
def test_a_loop_that_trains_when_drift_is_harmful_gives_labels_their_time(
    harm: Harm, age: timedelta | None, *, launches: bool
) -> None:
    patient = POLICY.model_copy(update={"on_drift": "when harmful"})
    wish = Wish("drift", "lga: temp", harm=harm, at=NOW - age if age is not None else None)
    recent = ended(NOW - timedelta(hours=5))
    decision = decide(backlog(90, jobs=recent, wishes=(wish,)), patient, NOW)
    assert isinstance(decision, Launch) == launches
    assert isinstance(decide(backlog(90, jobs=recent, wishes=(wish,)), POLICY, NOW), Launch)


def test_the_day_s_budget_holds_even_for_drift_and_frees_after_a_day() -> None:
    two = (NOW - timedelta(hours=23), NOW - timedelta(hours=2))
    held = decide(backlog(90, jobs=ended(*two), wishes=DRIFT), POLICY, NOW)
    assert held == HoldForBudget("2 of 2 jobs were started in the last 24 hours")
    later = decide(backlog(90, jobs=ended(*two), wishes=DRIFT), POLICY, NOW + timedelta(hours=2))
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
    decision = decide(backlog(files, jobs=ended(*launches), wishes=DRIFT if drift else ()), POLICY, NOW)
    if sum(span < timedelta(days=1) for span in since) >= POLICY.jobs_per_day:
        assert not isinstance(decision, Launch)


@pytest.mark.parametrize("files", [0, 83, 84])
def test_every_no_has_a_reason(files: int) -> None:
    assert decide(backlog(files), POLICY, NOW).reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at_least_bytes": 64_000_000}, "12 MB of 64 MB"),
        ({"at_least_rows": 5_000}, "4200 of 5000 rows"),
        ({"at_least_files": 91}, "90 of 91 files"),
    ],
)
def test_what_is_missing_is_said_in_its_own_unit(change: dict[str, int], said: str) -> None:
    heavy = backlog(90, size_bytes=12_000_000, rows=4_200)
    assert decide(heavy, POLICY.model_copy(update=change), NOW) == Wait(said)


def test_a_generation_that_is_full_does_not_wait_for_quiet() -> None:
    full = backlog(90, last_at=NOW, left=30)
    assert decide(full, POLICY.model_copy(update={"at_most_files": 90}), NOW) == Launch(
        "data", "90 new files, and no room for more"
    )


def test_files_of_a_site_that_has_its_share_stay_and_are_said() -> None:
    assert decide(backlog(0, first_at=NOW, last_at=NOW, left=70), POLICY, NOW) == Wait(
        "0 of 84 files; 70 more stay, of sites that have their share"
    )


def test_a_schedule_trains_on_few_files_and_within_the_cool_down_but_not_on_none() -> None:
    monthly = POLICY.model_copy(update={"at_least_every": timedelta(days=30), "cool_down": timedelta(days=60)})
    jobs = ended(NOW - timedelta(days=31))
    assert decide(backlog(3, jobs=jobs), monthly, NOW) == Launch("schedule", "31 days since the last job; 3 new files")
    assert decide(backlog(0, jobs=jobs), monthly, NOW) == Wait("no new files")
    assert isinstance(decide(backlog(3, jobs=ended(NOW - timedelta(days=29))), monthly, NOW), Wait)
    first = backlog(3, first_at=NOW - timedelta(days=30, minutes=5))
    assert decide(first, monthly, NOW) == Launch("schedule", "the first file is 30 days old; 3 new files")


@pytest.mark.parametrize("wish", [Wish("operator", "ordered because x"), Wish("code", "training code is p:2")])
def test_an_order_and_new_code_train_at_once_and_need_no_new_files(wish: Wish) -> None:
    arriving = backlog(1, last_at=NOW, wishes=(wish,), jobs=ended(NOW - timedelta(hours=5)))
    assert decide(arriving, POLICY, NOW) == Launch(wish.trigger, f"{wish.reason}; 1 new files")
    assert isinstance(decide(backlog(0, wishes=(wish,)), POLICY, NOW), Launch)
    only_new = POLICY.model_copy(update={"train_on": "new"})
    nothing = Wait(f"nothing to train on yet, although {wish.reason}")
    assert decide(backlog(0, wishes=(wish,)), only_new, NOW) == nothing
    assert decide(backlog(0, wishes=(wish,), generation=1), POLICY, NOW) == nothing


NIGHTS = POLICY.model_copy(update={"not_between": (hours("Mon-Fri 08:00-18:00"), hours("Sun 11:00-13:00"))})


@pytest.mark.parametrize("wishes", [(), DRIFT, ORDER])
def test_hours_set_aside_hold_for_every_cause_and_say_until_when(wishes: tuple[Wish, ...]) -> None:
    assert f"{NOW:%A}" == "Sunday"
    assert decide(backlog(90, wishes=wishes), NIGHTS, NOW) == Wait("no job starts before Sunday 13:00 UTC")
    assert isinstance(decide(backlog(90, wishes=wishes), NIGHTS, NOW + timedelta(hours=1)), Launch)


def test_only_a_person_who_says_so_goes_over_hours_and_budget_and_the_reason_tells_both() -> None:
    two = ended(NOW - timedelta(hours=23), NOW - timedelta(hours=2))
    assert isinstance(decide(backlog(90, jobs=two, wishes=ORDER), POLICY, NOW), HoldForBudget)
    anyway = (Wish("operator", "ordered because it burns", anyway=True),)
    assert decide(backlog(90, jobs=two, wishes=anyway), NIGHTS, NOW) == Launch(
        "operator",
        "ordered because it burns; 90 new files; ordered although no job starts before Sunday 13:00 UTC; "
        "ordered although 2 of 2 jobs were started in the last 24 hours",
    )


def test_jobs_at_once_hold_back_even_an_order() -> None:
    running = (Job(NOW - timedelta(hours=30)),)
    anyway = (Wish("operator", "x", anyway=True),)
    assert decide(backlog(90, jobs=running, wishes=anyway), POLICY, NOW) == Wait("1 of 1 jobs at once is running")
    two_at_once = POLICY.model_copy(update={"jobs_at_once": 2})
    assert isinstance(decide(backlog(90, jobs=running), two_at_once, NOW), Launch)


def test_the_month_s_money_counts_hours_of_ended_jobs_and_what_the_next_would_cost() -> None:
    """March began twelve hours ago: of the job that ran from 22:00 to 02:00, two hours are March's."""
    dear = POLICY.model_copy(update={"euros_per_month": 20.0, "euros_per_hour": 2.5, "cool_down": timedelta(0)})
    over_night = Job(NOW - timedelta(hours=14), NOW - timedelta(hours=10))
    assert isinstance(decide(backlog(90, jobs=(over_night,)), dear, NOW), Launch)  # 5 spent, and 10 to come
    another = Job(NOW - timedelta(hours=30), NOW - timedelta(hours=4))
    assert decide(backlog(90, jobs=(another, over_night)), dear, NOW) == HoldForBudget(
        "25.00 of 20.00 euros of March are spent, a job costs about 37.50"
    )


def test_a_running_job_is_expected_to_cost_what_others_did() -> None:
    twice = [(NOW - timedelta(hours=9), NOW - timedelta(hours=7)), (NOW - timedelta(hours=5), None)]
    assert spent(twice, 3.0, NOW) == Spent(euros=21.0, next_job=6.0)
    running = [(NOW - timedelta(minutes=10), None)]
    assert spent(running, 3.0, NOW) == Spent(euros=3.0, next_job=3.0)
    assert spent([], 3.0, NOW) == Spent(euros=0.0, next_job=3.0)


def test_a_job_the_platform_failed_is_started_once_more_within_the_budget() -> None:
    one, two = ended(NOW - timedelta(hours=2)), ended(NOW - timedelta(hours=3), NOW - timedelta(hours=2))
    assert decide(backlog(0, jobs=one, failed="rt-x-1"), POLICY, NOW) == Retry(
        "rt-x-1", "the platform failed rt-x-1, so it is started once more"
    )
    assert isinstance(decide(backlog(0, jobs=two, failed="rt-x-1"), POLICY, NOW), HoldForBudget)
    assert isinstance(decide(backlog(0, jobs=(Job(NOW),), failed="rt-x-1"), POLICY, NOW), Wait)
