"""The detector's numbers, by hand and by law."""

from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.drift.channels import Channels, Share, channels_of
from functions.drift.detector import Evidence, score
from functions.drift.policy import DriftSettings
from sketch.profile import Profile
from tests.drift.devices import REFERENCE

ONE = Channels(
    shares=(Share("temp", "share above 30", "values", (1, 2), (0, 2)),),
    id="one",
    base=np.array([0.5]),
    upper=np.array([0.52]),
    lower=np.array([0.47]),
    weights=np.array([[0.5], [0.5]]),
    cells=2,
    bounds=np.array([[1], [2], [0], [2]]),
)


def test_two_windows_by_hand() -> None:
    """120 of 200 rows twice, against 50 %: the first window teaches, the second is judged by what it taught."""
    one, finding = score(Evidence.none(1), np.array([80, 120]), ONE)
    assert finding is not None
    assert finding.log_evidence == pytest.approx(0)
    two, finding = score(one, np.array([80, 120]), ONE)
    expected = 0.5 + 0.1 * 200 / 250
    e = (expected / 0.52) ** 120 * ((1 - expected) / 0.48) ** 80
    assert np.exp(two.log_s[:, 0, 0]) == pytest.approx([2 * e] * 3, rel=1e-5)
    assert np.exp(two.log_s[:, 1, 0]) == pytest.approx([2] * 3, rel=1e-5)
    assert two.excess[:, 0] == pytest.approx([20, 34, 39])
    assert two.rows[:, 0] == pytest.approx([200, 340, 390])
    assert finding is not None
    assert finding.log_evidence == pytest.approx(log(e + 1), rel=1e-5)
    assert (finding.rising, finding.before, finding.since) == (True, 0.5, 2)
    assert finding.after == pytest.approx(0.6)


@settings(max_examples=50)
@given(st.floats(0.47, 0.52), st.floats(-60, 60), st.integers(1, 60))
def test_no_bet_pays_on_average_while_the_share_is_within_tolerance(truth: float, excess: float, rows: int) -> None:
    """The expected e-value, summed exactly over all outcomes of a window, whatever was remembered before it."""
    memory = np.full((3, 1), excess, np.float32)
    before = Evidence(
        5,
        memory,
        np.full((3, 1), 200, np.float32),
        *(getattr(Evidence.none(1), n) for n in ("log_s", "log_c", "since")),
    )
    mean = np.zeros((3, 2, 1))
    for counted in range(rows + 1):
        now, _ = score(before, np.array([rows - counted, counted]), ONE)
        chance = comb(rows, counted) * truth**counted * (1 - truth) ** (rows - counted)
        mean += chance * np.exp(now.log_s.astype(np.float64))
    assert mean.max() <= 1 + 1e-4


def test_every_channel_weighs_the_same_whatever_its_tests() -> None:
    channels = channels_of(REFERENCE, DriftSettings())
    total: dict[tuple[str, str], float] = {}
    for share, weight in zip(channels.shares, channels.weights.sum(axis=0), strict=True):
        total[share.feature, share.channel] = total.get((share.feature, share.channel), 0.0) + weight
    assert sum(total.values()) == pytest.approx(1)
    assert set(np.round(list(total.values()), 12)) == {round(1 / len(total), 12)}


def test_a_number_is_watched_at_about_fifteen_edges_that_part_it_evenly() -> None:
    channels = channels_of(REFERENCE, DriftSettings(features=("temp",), scores=False))
    values = [base for share, base in zip(channels.shares, channels.base, strict=True) if share.channel == "values"]
    assert values == pytest.approx(np.arange(15, 0, -1) / 16, abs=0.02)


def test_the_reference_itself_has_no_share_beyond_its_own_tolerance() -> None:
    channels = channels_of(REFERENCE, DriftSettings())
    counted, among = channels.count(REFERENCE.counts)
    assert np.array_equal(counted / among, channels.base)
    assert (channels.lower <= np.clip(channels.base, 1e-6, 1 - 1e-4)).all()
    assert (channels.upper >= np.clip(channels.base, 1e-4, 1 - 1e-6)).all()


@pytest.mark.parametrize(
    "values", [[3.0] * 400, [float("nan")] * 400, [0.0, -0.0] * 200, [1e308, -1e308] * 200, [5e-324] * 400]
)
@pytest.mark.parametrize("now", [[3.0] * 200, [float("nan")] * 200, [1e308] * 200, [-0.0] * 200])
def test_every_statistic_is_finite_for_columns_at_the_edge_of_numbers(values: list[float], now: list[float]) -> None:
    profile = Profile.build({"x": values}, kinds={"x": "number"}, scores=np.zeros(400))
    window = Profile.build({"x": now}, kinds={"x": "number"}, scores=np.zeros(200))
    channels, evidence = channels_of(profile, DriftSettings()), Evidence.none(0)
    evidence = Evidence.none(len(channels.shares))
    counts = np.roll(window.counts, 3)
    for _ in range(50):
        evidence, finding = score(evidence, counts, channels)
        assert finding is not None
        assert np.isfinite([finding.log_evidence, finding.before, finding.after]).all()
    assert np.isfinite(evidence.log_s).all()
