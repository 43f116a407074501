"""What late labels of a version's own devices say of what its training promised."""

from math import log
from statistics import NormalDist

import numpy as np
import pytest

from functions.field import Judged, Use, judged
from functions.rollout.promise import Promise, kept
from tests.rollout.plant import Plant, Scores, answers, canary, judgement, promised

PROMISE = promised()
NOTHING: tuple[int, int, float, float] = (0, 0, 0.0, 0.0)


def single(rate: float) -> float:
    """What the best single answer costs, nats."""
    return -(rate * log(rate) + (1 - rate) * log(1 - rate))


def use(*days: Judged) -> list[Use]:
    return [judged(None, days)]


def days(change: str = "", *, number: int = 40, rarer_by: float = 0.0, seed: int = 1, rows: int = 280) -> list[Use]:
    """A device whose answers are the chances of what happens, or something made of them."""
    rng, found = np.random.default_rng(seed), []
    for day in range(number):
        truth = answers(rng, rows, harder_by=rng.normal(0, 0.4) - rarer_by)
        happened = (rng.random(rows) < truth).astype(np.float64)
        found.append(judgement(day, told(change, truth, rng), happened))
    return use(*found)


def told(change: str, truth: Scores, rng: np.random.Generator, *, by: float = 1.5) -> Scores:
    match change:
        case "inverted":
            return 1 - truth
        case "constant":
            return np.full_like(truth, truth.mean())
        case "noisy":
            return 1 / (1 + np.exp(-np.log(truth / (1 - truth)) - rng.normal(0, by, len(truth))))
    return truth


def says(uses: list[Use], promise: Promise = PROMISE, *, may_grow: float = 1.1) -> str:
    return kept(uses, promise, metric="log_loss", risk=0.01, may_grow=may_grow)


def test_a_worked_example() -> None:
    """Of 1,000 held-out rows 300 are true, and a row costs 0.5 give or take 0.3: 0.79 of what a single answer costs."""
    rows = [[0, 400, 100, 200.0, 136.0, 60.0, 24.0], [65, 600, 200, 300.0, 204.0, 90.0, 36.0]]
    promise = Promise.of(rows, "log_loss")
    assert promise == Promise(1000, 300, 500.0, 340.0)
    error = 0.3 / 1000**0.5 * NormalDist().inv_cdf(0.995)
    assert promise.share("log_loss", risk=0.005) == pytest.approx((0.5 - error) / single(0.3))
    squared = Promise.of(rows, "brier")
    assert squared == Promise(1000, 300, 150.0, 60.0)
    spread = (0.06 - 0.15**2) ** 0.5
    share = (0.15 - spread / 1000**0.5 * NormalDist().inv_cdf(0.995)) / 0.21
    assert squared.share("brier", risk=0.005) == pytest.approx(share)


def test_answers_as_good_as_promised_keep_it_wherever_the_thing_is_rarer_or_not() -> None:
    for rarer_by in (0.0, 0.5, -1.0):
        assert "of its 11200 rows with outcomes: 0." in says(days(rarer_by=rarer_by))
    squared = Promise(12_000, 3_216, 1_944.0, 606.0)
    words = kept(days(), squared, metric="brier", risk=0.01, may_grow=1.1)
    assert words.startswith("Brier score of its 11200 rows")


@pytest.mark.parametrize("rarer_by", [0.0, 2.0])
@pytest.mark.parametrize("change", ["inverted", "constant", "noisy"])
def test_answers_that_are_worse_keep_nothing_however_cheap_they_are_there(change: str, rarer_by: float) -> None:
    assert says(days(change, rarer_by=rarer_by)) == ""


def test_a_version_that_promised_little_has_to_know_more_than_how_often_it_happens() -> None:
    little = Promise(12_000, 3_600, 0.97 * 12_000 * single(0.3), 9_000.0)
    assert says(days("constant"), little, may_grow=3.0) == ""
    assert "less than 100% of" in says(days(), little, may_grow=3.0)


@pytest.mark.parametrize(
    "promise",
    [
        Promise(*NOTHING),
        Promise(99, 30, 50.0, 34.0),
        Promise(500, 0, 5.0, 1.0),
        Promise(500, 500, 5.0, 1.0),
    ],
    ids=["no rows", "few rows", "none true", "all true"],
)
def test_a_hold_out_that_says_nothing_promises_nothing(promise: Promise) -> None:
    assert says(days(), promise) == ""


def test_few_outcomes_show_nothing() -> None:
    assert says(use()) == says(days(number=9)) == says(days(rows=19)) == ""
    assert says(use(*[Judged(day, 100, 0, 1.0, 0.1, 0.1, 0.01) for day in range(40)])) == ""


def test_looking_after_every_day_no_version_that_just_breaks_it_is_said_to_keep_it() -> None:
    """Its answers cost what is allowed and no less: said of it once in a hundred times at most, at any look."""
    wrong = 0
    for seed in range(60):
        (whole,) = days(seed=seed, number=30)
        rate = sum(one.positives for one in whole.judged) / (30 * 280)
        cost = sum(one.log_loss for one in whole.judged) / (30 * 280) / single(rate)
        promise = Promise(10**7, 3 * 10**6, cost / 1.1 * 10**7 * single(0.3), 10**7 * 0.6)
        wrong += any(says(use(*whole.judged[:number]), promise) for number in range(5, 30))
    assert wrong <= 2


def test_chance_of_one_shared_day_holds_a_good_version_until_outcomes_clear_it() -> None:
    by_scores, by_cost = canary(1, before=1), canary(7, before=1)
    for plant, name in ((by_scores, "scores above "), (by_cost, "log loss ")):
        assert plant.look().suspect.startswith(name)
        found = plant.look(promise=PROMISE)
        assert (found.harm, found.suspect) == ("", "")
        assert "that the best single answer costs, as its training promised" in found.found
    assert canary(1, before=1, outcomes=False).look(promise=PROMISE).suspect.startswith("scores above ")


def test_where_few_days_were_shared_before_it_is_said_that_nothing_could_be_proven() -> None:
    told = {before: canary(1, before=before).look().found for before in (0, 2, 3)}
    assert told[0].endswith("they had shared 0 periods with one version, too few to prove anything")
    assert "they had shared 2 periods" in told[2]
    assert "they had shared" not in told[3]


@pytest.mark.parametrize(("before", "holds"), [(5, False), (30, True)])
def test_from_ten_shared_days_on_what_answers_cost_beside_the_others_outweighs_a_lax_promise(
    before: int, *, holds: bool
) -> None:
    lax, plant, rng = Promise(12_000, 3_600, 0.95 * 12_000 * single(0.3), 9_000.0), Plant(0), np.random.default_rng(0)
    for _ in range(before):
        plant.day(outcomes=True)
    for _ in range(24):
        plant.day(canaries=1, change=lambda scores: told("noisy", scores, rng, by=0.8), outcomes=True)
    assert plant.look().suspect.startswith("log loss ")
    assert bool(plant.look(promise=lax).suspect) is holds
