"""The bounds: right at every look, for numbers of any mean and variance."""

import random
from collections.abc import Callable
from math import inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.compare import Between, C, bounds, change, log_wealth

VALUES = st.lists(st.floats(-1, 1), min_size=2, max_size=60)
RISKS = st.floats(1e-4, 0.2)


@given(VALUES, RISKS)
def test_bounds_lie_evenly_around_the_mean(values: list[float], risk: float) -> None:
    found, mean = bounds(values, risk=risk), sum(values) / len(values)
    assert found.low <= mean + 1e-9
    assert found.high >= mean - 1e-9
    if found.high < inf:
        assert found.low + found.high == pytest.approx(2 * mean, abs=1e-6)


@given(VALUES, RISKS)
def test_more_of_the_same_and_more_risk_both_make_bounds_narrower(values: list[float], risk: float) -> None:
    wide = bounds(values, risk=risk)
    for tighter in (bounds(values * 4, risk=risk), bounds(values, risk=2 * risk)):
        assert tighter.low >= wide.low - 1e-9
        assert tighter.high <= wide.high + 1e-9


@given(VALUES, RISKS, st.floats(-3, 3), st.floats(0.1, 10))
def test_another_origin_or_unit_changes_nothing_but_origin_and_unit(
    values: list[float], risk: float, origin: float, unit: float
) -> None:
    found, moved = bounds(values, risk=risk), bounds([origin + unit * value for value in values], risk=risk)
    assert (moved.low, moved.high) == pytest.approx((origin + unit * found.low, origin + unit * found.high), abs=1e-5)


def test_the_bounds_are_where_the_gambler_has_won_one_over_the_risk() -> None:
    values, risk = [0.1, 0.35, 0.2, 0.6, 0.3, 0.25, 0.4, 0.3, 0.15, 0.33], 0.02
    found = bounds(values, risk=risk)
    assert log_wealth(values, found.low) == pytest.approx(-log(risk))
    assert log_wealth(values, found.high) == pytest.approx(-log(risk))


@pytest.mark.parametrize("values", [[], [0.5], [0.1, 0.1]])
def test_few_values_prove_nothing_however_much_they_agree(values: list[float]) -> None:
    found = bounds(values, risk=0.001)
    assert (found.low, found.high, found.at_least) == (-inf, inf, 0.0)


def test_shares_of_few_rows_are_no_surer_than_their_rows_allow() -> None:
    alike = [0.5] * 30
    assert bounds(alike, risk=0.01).high == pytest.approx(0.5)
    assert bounds(alike, risk=0.01, noise=0.01).high > 0.55


def test_a_difference_lies_between_the_extremes_of_its_parts() -> None:
    difference = Between(0.2, 0.5) - Between(0.1, 0.3)
    assert (difference.low, difference.high) == pytest.approx((-0.1, 0.4))
    assert (Between(0.2, 0.5).at_least, Between(-0.5, -0.2).at_least, Between(-0.1, 0.2).at_least) == (0.2, 0.2, 0)


@pytest.mark.parametrize(
    ("draw", "allowed"),
    [
        (lambda rng: rng.gauss(0.3, 0.2), 1.0),
        (lambda rng: rng.gauss(-4.0, 7.0), 1.0),
        (lambda rng: rng.betavariate(2, 5), 2.0),  # not normal: the promise is approximate
    ],
    ids=["a small number", "a large number", "a skewed share"],
)
def test_looking_after_every_value_finds_a_false_alarm_no_oftener_than_promised(
    draw: Callable[[random.Random], float], allowed: float
) -> None:
    risk, trials, rng = 0.05, 400, random.Random(11)  # noqa: S311 # a simulation
    mean = sum(draw(rng) for _ in range(100_000)) / 100_000
    alarms = 0
    for _ in range(trials):
        values = [draw(rng) for _ in range(60)]
        looks = (bounds(values[:number], risk=risk) for number in range(2, 61))
        alarms += any(not found.low <= mean <= found.high for found in looks)
    assert alarms <= allowed * risk * trials


BEFORE = [0.1, 0.35, 0.2, 0.6, 0.3]


def test_a_change_lies_where_the_gambler_who_bets_against_it_has_won_one_over_the_risk() -> None:
    """Worked by hand: five values before, ten now, which vary as much as those before; k = 10/3."""
    now, risk = [0.4 + value for value in BEFORE] * 2, 0.02
    found = change(BEFORE, now, risk=risk)
    mean = sum(BEFORE) / 5
    squares, k = 3 * sum((value - mean) ** 2 for value in BEFORE), 50 / 15
    for end in (found.low, found.high):
        off = k * (0.4 - end) ** 2
        wealth = log(C / (k + C)) / 2 - 14 / 2 * log(1 - k / (k + C) * off / (off + squares))
        assert wealth == pytest.approx(-log(risk))
    assert found.low + found.high == pytest.approx(0.8)


def test_few_periods_before_say_how_far_a_change_is_chance_once_there_are_many_after() -> None:
    now = [0.9 + value for value in BEFORE] * 8
    apart = bounds(now, risk=0.001) - bounds(BEFORE[:3], risk=0.001)
    assert apart.low == -inf
    assert 0.3 < change(BEFORE[:3], now, risk=0.002).low < 0.9


@pytest.mark.parametrize(("before", "now"), [(2, 40), (40, 4), (0, 40), (40, 0)])
def test_what_is_odd_for_some_periods_is_no_change(before: int, now: int) -> None:
    found = change(([0.1, 0.11] * 20)[:before], ([0.9, 0.91] * 20)[:now], risk=0.1)
    assert (found.low, found.high) == (-inf, inf)


def test_a_change_of_shares_of_few_rows_is_no_surer_than_their_rows_allow() -> None:
    few, many = (change([0.1] * 9, [0.3] * 9, risk=0.01, noise=noise) for noise in (0.01, 0.0))
    assert few.low < 0.2 - 0.05
    assert many.low == pytest.approx(0.2)


@pytest.mark.parametrize("before", [3, 8, 40])
@pytest.mark.parametrize(
    ("draw", "varies", "allowed"),
    [
        (lambda rng: rng.gauss(0.3, 0.2), 1.0, 1.0),
        (lambda rng: rng.gauss(0.3, 0.2), 2.0, 2.0),  # not as the promise supposes: it is approximate, like the next
        (lambda rng: rng.gauss(0.3, 0.2), 0.5, 2.0),
        (lambda rng: rng.betavariate(2, 5), 1.0, 2.0),
    ],
    ids=["normal", "twice as varied now", "half as varied now", "a skewed share"],
)
def test_a_change_that_is_none_is_claimed_no_oftener_than_promised(
    before: int, draw: Callable[[random.Random], float], varies: float, allowed: float
) -> None:
    risk, trials, rng = 0.05, 200, random.Random(12)  # noqa: S311 # a simulation
    mean = sum(draw(rng) for _ in range(50_000)) / 50_000
    alarms = 0
    for _ in range(trials):
        then = [draw(rng) - mean for _ in range(before)]
        now = [varies * (draw(rng) - mean) for _ in range(60)]
        looks = (change(then, now[:number], risk=risk) for number in (*range(5, 20), 25, 30, 40, 60))
        alarms += any(not found.low <= 0 <= found.high for found in looks)
    assert alarms <= allowed * risk * trials
