from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.loop_matrix import DAYS, FIRST, START, Matrix, learnt_days
from bench.loop_plan import hindsight
from bench.loop_replay import Policy, mean_loss, replay, report_of
from bench.loop_value import Scale, retrain
from functions.loops import Gate


def ageing(*, flights: tuple[int, int, int] = (3, 2, 1)) -> Matrix:
    """A year in which a flight costs a hundredth of a nat for each day of its model's age."""
    age = np.maximum(np.arange(DAYS)[np.newaxis] - np.arange(DAYS)[:, np.newaxis], 0) / 100
    losses = age[:, :, np.newaxis] * np.array(flights)
    return Matrix(losses, losses, np.tile(flights, (DAYS, 1)))


def random(days: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    return rng.uniform(1, 9, (days, days)), rng.integers(1, 5, days)


def test_the_mean_loss_weighs_days_by_their_flights() -> None:
    losses = np.array([[0.0, 6.0, 8.0], [0.0, 0.0, 5.0]])
    assert mean_loss(losses, np.array([9, 3, 2]), [0, 1], start=0) == pytest.approx((6 + 5) / (3 + 2))


@pytest.mark.parametrize("jobs", [0, 1, 2, 3])
def test_no_plan_with_as_many_jobs_beats_the_one_with_hindsight(jobs: int) -> None:
    losses, rows = random(8)
    start = 1

    def cost(plan: tuple[int, ...]) -> float:
        champions = [max(model for model in (start, *plan) if model < day) for day in range(start + 1, 8)]
        return mean_loss(losses, rows, champions, start=start)

    plans = [plan for most in range(jobs + 1) for plan in combinations(range(start + 1, 7), most)]
    best = hindsight(losses, rows, start=start, most_jobs=jobs)
    assert best[jobs] == pytest.approx(min(cost(plan) for plan in plans))


def test_daily_retraining_is_the_whole_gain_and_never_is_none_of_it() -> None:
    known, last = ageing(), DAYS - 1 - START
    scale = Scale.of(known, START)
    daily = replay(known, Policy("daily", "", retrain(cool_down=timedelta(days=1))))
    assert scale.share(daily.loss) == pytest.approx(1)
    assert scale.share(replay(known, Policy("never", "", None)).loss) == pytest.approx(0)
    assert daily.loss == pytest.approx(0.01)
    assert scale.never == pytest.approx(0.01 * (1 + last) / 2)


def test_a_weekly_model_is_four_days_old_on_average() -> None:
    weekly = replay(ageing(), Policy("weekly", "", retrain(cool_down=timedelta(days=7))))
    assert len(weekly.launches) == 48
    ages = [1, *(1 + day % 7 for day in range(DAYS - 2 - START))]  # the first model serves a day, then there is data
    assert weekly.loss == pytest.approx(0.01 * sum(ages) / len(ages))


def test_labels_that_arrive_a_day_later_make_every_later_model_a_day_older() -> None:
    policy = Policy("daily", "", retrain(cool_down=timedelta(days=1)), labels_after=2)
    last = DAYS - 1 - START
    assert replay(ageing(), policy).loss == pytest.approx(0.01 * (1 + 2 * (last - 1)) / last)


def test_a_minimum_of_rows_counts_flights() -> None:
    outcome = replay(ageing(flights=(300, 200, 100)), Policy("data", "", retrain(at_least_rows=6_000)))
    assert len(outcome.launches) == (DAYS - 2 - START) // 10
    assert outcome.reasons[0].startswith("30 new files")


def test_the_gate_judges_by_days_that_neither_model_learnt_and_keeps_a_champion_that_is_no_worse() -> None:
    known, gate = ageing(), Gate(margin=0.002, confidence=0.95)
    judged = {
        (date.fromisoformat(day) - FIRST).days for day in report_of(known, 100, 120, judged_at=120).challenger.by_day
    }
    assert judged
    assert judged.isdisjoint(learnt_days("held-out", 100))
    assert judged.isdisjoint(learnt_days("held-out", 120))
    weekly = Policy("weekly", "", retrain(cool_down=timedelta(days=7)), gate=gate)
    assert replay(known, weekly).promoted > 0
    same = Matrix(np.ones_like(known.all), np.ones_like(known.all), known.rows)
    assert replay(same, weekly).promoted == 0
    lenient = Gate(margin=0.002, confidence=0.95, promote="unless proven worse")
    assert replay(same, replace(weekly, gate=lenient)).promoted == 48
