import json
from math import inf, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.promotion.interval import Day, Gain, gain

NULL = json.loads((Path(__file__).parent / "null_gains.json").read_text())

drawn = st.lists(st.tuples(st.integers(1, 500), st.floats(-2, 2)), min_size=3, max_size=30)


def made(found: list[tuple[int, float]]) -> list[Day]:
    return [Day(f"day {n:02}", rows, found_gain) for n, (rows, found_gain) in enumerate(found)]


def test_the_gain_weighs_days_by_their_rows() -> None:
    found = gain(made([(100, 0.02), (300, 0.06), (200, 0.01)]), 0.95)
    assert found.mean == pytest.approx((100 * 0.02 + 300 * 0.06 + 200 * 0.01) / 600)
    assert found.days == 3


def test_three_different_days_bound_nothing_at_95_percent() -> None:
    """One resample in nine draws a single day three times, and knows nothing of how days differ."""
    days = made([(100, 0.02), (300, 0.06), (200, 0.01)])
    assert gain(days, 0.95).lower == -inf
    assert gain(days, 0.95).upper == inf
    assert gain(days, 0.6).lower > -inf


def test_two_days_are_no_sample() -> None:
    assert gain(made([(9, 0.4), (8, 0.4)]), 0.6) == Gain(0.0, -inf, 2)


def test_one_lucky_day_among_equals_proves_nothing() -> None:
    lucky = made([(100, gained) for gained in (0.3, 0.001, -0.002, 0.001, 0.0, -0.001, 0.002, 0.0)])
    assert gain(lucky, 0.95).mean > 0.03
    assert gain(lucky, 0.95).lower < 0


def test_the_bound_of_many_alike_days_is_that_of_the_textbook() -> None:
    """For equal, many and symmetrically spread days the bootstrap must agree with Student's interval."""
    gains = [0.01 + 0.004 * z for z in np.linspace(-1.7, 1.7, 40)]
    shuffled = np.random.default_rng(5).permutation(gains).tolist()
    blocks = np.array(shuffled).reshape(20, 2).mean(axis=1)
    textbook = blocks.mean() - 1.729 * blocks.std(ddof=1) / sqrt(20)  # t, 19 degrees of freedom, 95 %
    assert gain(made([(250, one) for one in shuffled]), 0.95).lower == pytest.approx(textbook, abs=0.0002)


def test_days_in_a_row_that_go_wrong_together_make_the_bound_more_careful() -> None:
    signs = [1, 1, -1, -1] * 6
    together = gain(made([(100, 0.01 + 0.02 * sign) for sign in signs]), 0.95)
    apart = gain(made([(100, 0.01 + 0.02 * sign) for sign in [1, -1] * 12]), 0.95)
    assert together.mean == pytest.approx(apart.mean)
    assert together.lower < apart.lower


@settings(max_examples=25)
@given(drawn, st.randoms())
def test_the_order_of_the_days_does_not_matter(found: list[tuple[int, float]], chance: object) -> None:
    days = made(found)
    shuffled = list(days)
    chance.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis' own
    assert gain(shuffled, 0.9) == gain(days, 0.9)


@settings(max_examples=25)
@given(drawn)
def test_swapping_the_models_mirrors_the_gain(found: list[tuple[int, float]]) -> None:
    forth, back = gain(made(found), 0.9), gain(made([(rows, -one) for rows, one in found]), 0.9)
    assert back.mean == -forth.mean
    assert not (forth.lower > 0 and back.lower > 0)
    assert forth.upper == pytest.approx(-back.lower)


@settings(max_examples=25)
@given(drawn, st.sampled_from([0.6, 0.8, 0.9]))
def test_more_confidence_never_raises_the_bound(found: list[tuple[int, float]], confidence: float) -> None:
    assert gain(made(found), confidence).lower >= gain(made(found), confidence + 0.09).lower


@settings(max_examples=25)
@given(drawn, st.floats(0.1, 10))
def test_the_unit_of_the_loss_does_not_matter(found: list[tuple[int, float]], factor: float) -> None:
    one, other = gain(made(found), 0.9), gain(made([(rows, factor * value) for rows, value in found]), 0.9)
    assert other.mean == pytest.approx(factor * one.mean, abs=1e-12)
    assert other.lower == pytest.approx(factor * one.lower, rel=1e-6, abs=1e-9)


def test_models_that_are_equally_good_seldom_pass() -> None:
    """Real day-by-day differences of models trained twice on the same flights, each block with a sign by chance."""
    rng, passed = np.random.default_rng(7), 0
    for replication in range(300):
        found = NULL[replication % len(NULL)]
        signs = np.repeat(rng.choice([-1, 1], size=len(found)), 2)[: len(found)]
        passed += (
            gain(made([(rows, sign * one) for (rows, one), sign in zip(found, signs, strict=True)]), 0.95).lower > 0
        )
    assert passed <= 0.05 * 300
