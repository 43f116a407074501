"""Each distance equals scipy's on the same cells, and keeps the laws of its definition."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped] # ships no types
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import distance as scipy_distance  # type: ignore[import-untyped] # ships no types

from sketch.distance import (
    FLOOR,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    total_variation,
    wasserstein,
)

ALL = [psi, jensen_shannon, kolmogorov_smirnov, wasserstein, total_variation, chi_square]
COUNTS = st.lists(st.integers(0, 10_000), min_size=7, max_size=7).filter(any)
FEW = st.lists(st.integers(0, 60), min_size=7, max_size=7).filter(any)
REFERENCE = np.array([10, 0, 30, 45, 15])
CURRENT = np.array([4, 6, 5, 3, 22])


def scipy_psi(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float((scipy.special.rel_entr(p, q) + scipy.special.rel_entr(q, p)).sum())


def scipy_chi_square(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    table = np.array([a, b])
    return float(scipy.stats.chi2_contingency(table[:, table.any(axis=0)], correction=False).statistic)


@settings(max_examples=60)
@given(COUNTS, COUNTS)
def test_each_equals_scipys_on_the_same_cells(a: list[int], b: list[int]) -> None:
    counts, others, cells = np.array(a), np.array(b), np.arange(7)
    p, q = counts / counts.sum(), others / others.sum()
    shannon = float(scipy_distance.jensenshannon(p, q, base=2))
    assert psi(a, b) == pytest.approx(scipy_psi(p, q), rel=1e-9, abs=1e-9)
    assert jensen_shannon(a, b) ** 2 == pytest.approx(shannon**2 if np.isfinite(shannon) else 0.0, abs=1e-9)
    assert wasserstein(a, b) == pytest.approx(scipy.stats.wasserstein_distance(cells, cells, p, q), abs=1e-9)
    assert total_variation(a, b) == pytest.approx(scipy_distance.cityblock(p, q) / 2, abs=1e-9)
    assert chi_square(a, b) == pytest.approx(scipy_chi_square(counts, others), rel=1e-9, abs=1e-9)


@settings(max_examples=60)
@given(FEW, FEW)
def test_kolmogorov_smirnov_equals_scipys_on_the_rows(a: list[int], b: list[int]) -> None:
    cells = np.arange(7)
    exact = scipy.stats.ks_2samp(np.repeat(cells, a), np.repeat(cells, b), method="asymp").statistic
    assert kolmogorov_smirnov(a, b) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("distance", ALL)
@settings(max_examples=30)
@given(counts=COUNTS, times=st.integers(1, 1000))
def test_a_histogram_is_no_way_from_itself_whatever_its_size(
    distance: Callable[..., NDArray[np.float64]], counts: list[int], times: int
) -> None:
    assert distance(counts, [times * count for count in counts]) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("distance", ALL)
@settings(max_examples=30)
@given(a=COUNTS, b=COUNTS)
def test_the_way_back_is_as_long(distance: Callable[..., NDArray[np.float64]], a: list[int], b: list[int]) -> None:
    assert distance(a, b) == pytest.approx(float(distance(b, a)), rel=1e-9, abs=1e-12)
    assert np.isfinite(distance(a, b))


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (kolmogorov_smirnov, 0.4),
        (total_variation, 0.55),
        (wasserstein, 0.575),
        (chi_square, 56259 / 1184),
    ],
)
def test_a_worked_example(distance: Callable[..., NDArray[np.float64]], expected: float) -> None:
    """Shares .10 0 .30 .45 .15 against .10 .15 .125 .075 .55; cumulated .10 .10 .40 .85 1 and .10 .25 .375 .45 1."""
    assert distance(REFERENCE, CURRENT) == pytest.approx(expected)


def test_wasserstein_is_in_the_features_own_unit() -> None:
    assert wasserstein([1, 0, 0, 0], [0, 0, 0, 1], width=2.5) == pytest.approx(7.5)


def test_many_features_are_compared_in_one_call() -> None:
    a, b = np.stack([REFERENCE, CURRENT]), np.stack([CURRENT, CURRENT])
    for distance in ALL:
        both = distance(a, b)
        assert both.shape == (2,)
        assert both.tolist() == pytest.approx([float(distance(REFERENCE, CURRENT)), 0.0])


def test_no_cell_in_common_is_as_far_as_it_gets() -> None:
    assert jensen_shannon([3, 0], [0, 9]) == 1
    assert total_variation([3, 0], [0, 9]) == 1
    assert np.isfinite(psi([3, 0], [0, 9]))


@pytest.mark.parametrize("distance", ALL)
@pytest.mark.parametrize(
    ("a", "b"),
    [([1, 2], [1, 2, 3]), ([0, 0], [1, 2]), ([], []), (5, 5), ([-1, 2], [1, 2]), ([float("nan"), 1], [1, 2])],
)
def test_histograms_that_cannot_be_compared_are_refused(
    distance: Callable[..., NDArray[np.float64]], a: object, b: object
) -> None:
    with pytest.raises(ValueError, match="histogram"):
        distance(a, b)
