"""What a window's shares should be, given the contexts of its rows, and how sure that is."""

from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from sketch.features import CELLS, NumberFeature
from sketch.profile import Profile
from sketch.shares import References

ROWS = 12_000


def profile_of(seed: int, rows: int = ROWS) -> Profile:
    """A temperature that follows the hour; half of the readings of hour 3 are missing."""
    rng = np.random.default_rng(seed)
    hour = rng.integers(0, 4, rows)
    temp = np.where((hour == 3) & (rng.random(rows) < 0.5), np.nan, rng.normal(10 * hour, 1))
    return Profile.build({"temp": temp, "hour": hour}, kinds={"temp": "number"}, scores=temp, contexts=["hour"])


def number(profile: Profile) -> NumberFeature:
    """The temperature."""
    (temp,) = profile.features
    assert isinstance(temp, NumberFeature)
    return temp


def bounds_above(edge: int) -> NDArray[np.intp]:
    """Bounds of one test: rows above an edge, among those that are known."""
    return np.array([[edge + 1], [CELLS + 2], [0], [CELLS + 2]])


def mixture(profile: Profile, **rows: int) -> list[int]:
    """So many rows per hour, such as hour_1=30, and other."""
    assert profile.contexts is not None
    return [rows.get(f"hour_{hour}", 0) for (hour,) in profile.contexts.keys] + [rows.get("other", 0)]


def test_a_window_of_one_context_is_expected_to_be_like_that_context() -> None:
    profile = profile_of(1)
    temp = number(profile)
    edge = temp.edges[len(temp.edges) // 2]
    known = References.of(profile, bounds_above(edge))
    shares = [known.expect(mixture(profile, **{f"hour_{hour}": 50})).share[0] for hour in range(4)]
    assert shares[0] < 0.01
    assert shares[2] > 0.9
    usual = known.expect().share[0]
    assert known.expect(mixture(profile, other=7)).share[0] == pytest.approx(usual)
    assert shares[0] < usual < shares[2]


def test_a_mixture_is_weighed_by_the_rows_that_could_have_been_counted() -> None:
    profile = profile_of(1)
    known = References.of(profile, bounds_above(128))
    alone = [known.expect(mixture(profile, **{f"hour_{hour}": 1})).share[0] for hour in (0, 3)]
    both = known.expect(mixture(profile, hour_0=100, hour_3=200)).share[0]
    assert both == pytest.approx((100 * alone[0] + 200 * 0.5 * alone[1]) / 200, abs=0.02)


def test_an_even_mixture_of_contexts_is_known_better_than_one_context() -> None:
    profile = profile_of(1)
    middle = min(number(profile).edges, key=lambda edge: abs(number(profile).edge(edge) - 10))
    known = References.of(profile, bounds_above(middle))
    even = known.expect(mixture(profile, hour_0=10, hour_1=10, hour_2=10)).error[0]
    assert even < 0.7 * known.expect(mixture(profile, hour_1=30)).error[0]


def test_the_error_covers_the_truth_but_for_a_few() -> None:
    """In hour 1 the temperature is normal around 10: its share above any edge is known."""
    beyond, tests = 0, 0
    for seed in range(12):
        profile = profile_of(seed, 4_000)
        temp = number(profile)
        for edge in temp.edges:
            found = References.of(profile, bounds_above(edge)).expect(mixture(profile, hour_1=1))
            truth = NormalDist(10, 1).cdf(-temp.edge(edge) + 20)
            beyond += abs(found.share[0] - truth) > found.error[0]
            tests += 1
    assert tests > 100
    assert beyond / tests < 0.01


def test_what_the_reference_knows_nothing_of_can_be_anything() -> None:
    temp = np.array([np.nan] * 50)
    profile = Profile.build({"temp": temp}, kinds={"temp": "number"}, scores=np.zeros(50))
    expected = References.of(profile, bounds_above(128)).expect()
    assert (expected.share[0], expected.error[0]) == (0, 1)


def test_rows_that_resemble_each_other_are_worth_fewer() -> None:
    rng = np.random.default_rng(2)
    temp = np.repeat(rng.normal(size=2_000), 10)
    profile = Profile.build({"temp": temp}, kinds={"temp": "number"}, scores=rng.random(20_000))
    known = References.of(profile, bounds_above(128))
    assert known.autocorrelation[0] == pytest.approx(9 / 11, abs=0.05)
    assert known.discounted().expect().error[0] > 3 * known.expect().error[0]
