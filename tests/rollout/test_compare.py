"""The bounds: right at every look, for numbers of any mean and variance."""

import random
from collections.abc import Callable
from math import inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.compare import Between, bounds, log_wealth

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
