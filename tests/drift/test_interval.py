"""The bounds on a loss: right at every look, also for rows that are neither independent nor alike."""

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.drift.interval import BETS, Losses, bounds, log_wealth, mean_of

type Rows = NDArray[np.float64]

WINDOWS = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=40), min_size=1, max_size=6)


def losses(rows: Rows | list[float]) -> Losses:
    values = np.asarray(rows, np.float64)
    return Losses(len(values), float(values.sum()), float((values**2).sum()))


@given(WINDOWS, st.floats(0, 1), st.floats(1e-4, 0.2))
def test_bounds_hold_the_mean_and_never_leave_what_a_row_can_cost(
    windows: list[list[float]], expected: float, risk: float
) -> None:
    told = [losses(window) for window in windows]
    found = bounds(told, expected=expected, most=1.0, risk=risk)
    assert 0 <= found.low <= mean_of(told) + 1e-12
    assert mean_of(told) - 1e-12 <= found.high <= 1


@given(WINDOWS, st.floats(0, 1), st.floats(0.01, 100))
def test_another_unit_changes_nothing_but_the_unit(windows: list[list[float]], expected: float, unit: float) -> None:
    found = bounds([losses(window) for window in windows], expected=expected, most=1.0, risk=0.05)
    scaled = [losses(np.asarray(window) * unit) for window in windows]
    other = bounds(scaled, expected=expected * unit, most=unit, risk=0.05)
    assert (other.low, other.high) == pytest.approx((found.low * unit, found.high * unit), rel=1e-6, abs=1e-9 * unit)


def test_the_bounds_are_where_the_gambler_has_won_one_over_the_risk_on_either_side() -> None:
    windows = [losses([0.1, 0.35, 0.2, 0.6] * 40), losses([0.3, 0.25, 0.8, 0.15, 0.33] * 60)]
    found = bounds(windows, expected=0.3, most=1.0, risk=0.04)
    guess = (30 * 0.3 + windows[0].total) / (30 + 160)
    first, second = np.array([0.1, 0.35, 0.2, 0.6] * 40), np.array([0.3, 0.25, 0.8, 0.15, 0.33] * 60)
    variation = float(((first - 0.3) ** 2).sum() + ((second - guess) ** 2).sum())
    rows, total = 460, float(first.sum() + second.sum())
    assert log_wealth(total - rows * found.low, variation) == pytest.approx(log(2 / 0.04))
    assert log_wealth(rows * found.high - total, variation) == pytest.approx(log(2 / 0.04))
    assert (found.low, found.high) == pytest.approx((0.3004, 0.3944), abs=1e-4)


def test_a_gambler_s_wealth_by_hand() -> None:
    bets = np.array([0.8, 0.36, 0.162, 0.0729, 0.032805, 0.01476225, 0.0066430125, 0.002989355625])
    by_hand = np.log(np.mean(np.exp(bets * 7 + (np.log(1 - bets) + bets) * 11)))
    assert log_wealth(7, 11) == pytest.approx(by_hand)
    assert pytest.approx(bets) == BETS


def test_more_rows_and_rows_that_are_nearer_to_what_was_expected_both_make_bounds_narrower() -> None:
    few, many = losses([0.2, 0.3] * 100), losses([0.2, 0.3] * 1000)
    widths = [
        found.high - found.low
        for found in (
            bounds([few], expected=0.9, most=1.0, risk=0.05),
            bounds([few], expected=0.25, most=1.0, risk=0.05),
            bounds([many], expected=0.25, most=1.0, risk=0.05),
        )
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.015


def independent(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    """Squared errors of a model that is right about how sure it is: each row, and what it was to be expected to be."""
    chance = rng.beta(2, 5, rows)
    happened = rng.random(rows) < chance
    return (chance - happened) ** 2, chance * (1 - chance)


def good_and_bad_days(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    """Likewise, but every fourth window or so is a day on which everything is late."""
    chance = np.clip(rng.beta(2, 5, rows) + (0.5 if rng.random() < 0.25 else 0.0), 0, 1)
    happened = rng.random(rows) < chance
    said = rng.beta(2, 5, rows)
    return (said - happened) ** 2, chance * (1 - said) ** 2 + (1 - chance) * said**2


def seldom_and_dear(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    """One row in a hundred costs as much as a row can."""
    return (rng.random(rows) < 0.01).astype(np.float64), np.full(rows, 0.01)


@pytest.mark.parametrize("draw", [independent, good_and_bad_days, seldom_and_dear])
def test_looking_after_every_window_misses_what_was_to_be_expected_no_oftener_than_promised(
    draw: Callable[[np.random.Generator, int], tuple[Rows, Rows]],
) -> None:
    risk, trials, rng = 0.1, 200, np.random.default_rng(5)
    missed = 0
    for _ in range(trials):
        windows, truth = list[Losses](), list[Rows]()
        outside = False
        for _ in range(25):
            found, expected = draw(rng, int(rng.integers(5, 80)))
            windows.append(losses(found))
            truth.append(expected)
            told = bounds(windows, expected=0.15, most=1.0, risk=risk)
            outside = outside or not told.low <= float(np.concatenate(truth).mean()) <= told.high
        missed += outside
    assert missed <= risk * trials


def test_the_bets_reach_from_a_few_rows_to_millions() -> None:
    assert max(BETS) < 1
    for rows in (50, 5_000, 500_000):
        width = bounds([Losses(rows, 0.2 * rows, 0.08 * rows)], expected=0.2, most=1.0, risk=0.1)
        known_variance = (2 * 0.04 * log(20) / rows) ** 0.5
        assert width.high - 0.2 < 2 * known_variance + 8 / rows, rows
