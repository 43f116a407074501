"""The bounds: right at every look, for shares and for anything else between 0 and 1."""

import random
from collections.abc import Callable
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.compare import Seen, bounds, difference, difference_in_differences, log_wealth

COUNTS = st.tuples(st.integers(0, 400), st.integers(0, 400)).map(lambda pair: Seen(min(pair), max(pair)))


@given(COUNTS, st.floats(0.001, 0.2))
def test_bounds_are_around_the_mean_and_within_what_is_possible(seen: Seen, risk: float) -> None:
    found = bounds(seen, risk=risk)
    assert 0 <= found.low <= seen.mean + 1e-9
    assert seen.mean - 1e-9 <= found.high <= 1


@given(COUNTS)
def test_more_of_the_same_and_more_risk_both_make_bounds_narrower(seen: Seen) -> None:
    wide, narrow = (bounds(Seen(seen.total * n, seen.number * n), risk=0.01) for n in (1, 4))
    bold = bounds(seen, risk=0.1)
    for tighter in (narrow, bold):
        assert tighter.low >= wide.low - 1e-9
        assert tighter.high <= wide.high + 1e-9


@given(COUNTS, COUNTS, st.floats(0.001, 0.2))
def test_a_difference_turned_round_is_its_negative(one: Seen, other: Seen, risk: float) -> None:
    forth, back = difference(one, other, risk=risk), difference(other, one, risk=risk)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_the_difference_s_range_is_that_of_a_search_over_all_pairs_of_means() -> None:
    one, other, risk, steps = Seen(12, 60), Seen(70, 90), 0.01, [n / 300 for n in range(1, 300)]
    sound = [p - q for p in steps for q in steps if log_wealth(one, p) + log_wealth(other, q) < -log(risk)]
    found = difference(one, other, risk=risk)
    assert found.low == pytest.approx(min(sound), abs=0.01)
    assert found.high == pytest.approx(max(sound), abs=0.01)
    assert found.low <= min(sound)


def test_nothing_seen_proves_nothing() -> None:
    nothing, much = Seen(0, 0), Seen(500, 1000)
    assert bounds(nothing, risk=0.05).low == pytest.approx(0)
    assert bounds(nothing, risk=0.05).high == pytest.approx(1)
    assert difference_in_differences(much, nothing, much, much, risk=0.05).at_least == 0


def test_what_differs_for_good_and_what_changes_for_both_is_not_counted() -> None:
    found = difference_in_differences(
        Seen(5_000, 10_000), Seen(3_000, 10_000), Seen(4_000, 10_000), Seen(2_000, 10_000), risk=0.01
    )
    assert found.low < 0 < found.high
    assert found.at_most < 0.1


def test_rows_that_are_alike_tell_less() -> None:
    seen = Seen(300, 1000)
    assert bounds(seen.tempered(10), risk=0.01).high > bounds(seen, risk=0.01).high + 0.05
    assert seen.tempered(10).mean == pytest.approx(seen.mean)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: float(rng.random() < 0.3),
        lambda rng: float(rng.random() < 0.02),
        lambda rng: rng.betavariate(0.3, 0.7),
    ],
    ids=["a share", "a rare share", "a number between 0 and 1"],
)
def test_looking_after_every_few_values_finds_a_false_alarm_no_oftener_than_promised(
    draw: Callable[[random.Random], float],
) -> None:
    risk, trials, rng = 0.05, 200, random.Random(11)  # noqa: S311 # a simulation
    mean = sum(draw(rng) for _ in range(100_000)) / 100_000
    alarms = 0
    for _ in range(trials):
        total, number = 0.0, 0
        for _ in range(60):
            total, number = total + sum(draw(rng) for _ in range(5)), number + 5
            if log_wealth(Seen(total, number), mean) >= -log(risk):
                alarms += 1
                break
    assert alarms <= risk * trials


def test_looking_at_a_difference_in_differences_costs_no_more_than_promised() -> None:
    rng = random.Random(5)  # noqa: S311 # a simulation
    risk, trials, alarms = 0.1, 60, 0
    shares = (0.5, 0.4, 0.3, 0.2)  # the first two differ as much as the others: nothing changed
    for _ in range(trials):
        before = [Seen(sum(rng.random() < share for _ in range(200)), 200) for share in (shares[1], shares[3])]
        counts = [0, 0]
        for look in range(1, 16):
            for group, share in enumerate((shares[0], shares[2])):
                counts[group] += sum(rng.random() < share for _ in range(20))
            now = [Seen(count, 20 * look) for count in counts]
            if difference_in_differences(now[0], before[0], now[1], before[1], risk=risk).at_least:
                alarms += 1
                break
    assert alarms <= risk * trials
