from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from training.holdout import held_out, is_frozen

YEAR = [date(2013, 1, 1) + timedelta(days=n) for n in range(365)]
stretches = st.tuples(st.integers(0, 300), st.integers(4, 65)).map(lambda at: YEAR[at[0] : at[0] + at[1]])


@given(stretches, stretches)
def test_a_day_that_one_training_set_freezes_is_learnt_from_by_no_other(one: list[date], other: list[date]) -> None:
    frozen = set(held_out("flights", one)["frozen"])
    learnt = set(other) - {day for part in held_out("flights", other).values() for day in part}
    assert not frozen & learnt


@given(stretches)
def test_every_day_is_held_out_once_at_most(days: list[date]) -> None:
    slices = held_out("flights", days)
    assert not set(slices["frozen"]) & set(slices["newest"])
    assert slices["newest"] == days[-len(slices["newest"]) :]
    assert len(slices["newest"]) == max(3, round(0.15 * len(days)))


def test_about_one_day_in_ten_is_frozen_and_each_loop_has_its_own() -> None:
    flights, other = ([day for day in YEAR if is_frozen(loop, day)] for loop in ("flights", "turbines"))
    assert 20 < len(flights) < 55
    assert flights != other


def test_the_frozen_days_are_the_same_for_ever() -> None:
    """A change here would let models learn from days that their champions were judged on."""
    frozen = [day.isoformat() for day in YEAR[:31] if is_frozen("flight-delays", day)]
    assert frozen == ["2013-01-16", "2013-01-18", "2013-01-23"]
