"""The detector's numbers, by hand and by law."""

from dataclasses import replace
from math import comb, exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.drift.channels import Channels, Share, channels_of
from functions.drift.detector import BETS, Evidence, score
from functions.drift.policy import DriftSettings
from sketch.profile import Profile
from sketch.shares import References
from sketch.sketch import Sketch
from tests.drift.devices import REFERENCE, draw, profile_of

type Windows = dict[tuple[int, ...], float]

KNOWN = 1e12  # rows of a reference that is no estimate any more


def one_test(*shares: float, worth: float = 1.0) -> Channels:
    """One share, two percentage points of tolerance, in as many contexts as there are shares; the last one is other."""
    contexts = len(shares) if len(shares) > 1 else 0
    return Channels(
        shares=(Share("temp", "share above 30", "values", (1, 2), (0, 2)),),
        id="one",
        unknown=(),
        references=References(
            shares=np.array(shares)[:, np.newaxis],
            among=np.ones((len(shares), 1)),
            known=np.full((len(shares), 1), KNOWN),
            autocorrelation=np.zeros(1),
        ),
        tolerance=0.02,
        worth=np.array([worth]),
        weights=np.array([[0.5], [0.5]]),
        places=2 + contexts,
        contexts=2,
        bounds=np.array([[1], [2], [0], [2]]),
    )


ONE = one_test(0.5)


def remembering(counted: float, rows: float) -> Evidence:
    """Evidence that has gathered over some rows, against an expected half, and is nil so far."""
    one = np.ones((2, 1), np.float32)
    fresh = Evidence.none(1, windows=5)
    return replace(fresh, counted=counted * one, expected=rows / 2 * one, rows=rows * one, log_c=one)


def test_two_windows_by_hand() -> None:
    """130 of 200 rows, then 110 of 180, against 50 %: three bets are fixed, the fourth is learned from the first."""
    one, finding = score(Evidence.none(1), np.array([70, 130]), ONE)
    first = [exp(bet * 130) / (1 + 0.52 * (exp(bet) - 1)) ** 200 for bet in (*BETS, 0.0)]
    assert np.exp(one.log_s[:, 0, 0]) == pytest.approx(first, rel=1e-3)
    against = [exp(-bet * 130) / (1 + 0.48 * (exp(-bet) - 1)) ** 200 for bet in BETS]
    assert np.exp(one.log_s[:3, 1, 0]) == pytest.approx(against, rel=1e-3)
    assert finding is not None
    assert (finding.rising, finding.before, finding.after, finding.since) == (True, 0.5, 0.65, 1)
    assert finding.log_evidence == pytest.approx(log((sum(first) + sum(against) + 1) / 8), rel=1e-4)
    two, finding = score(one, np.array([70, 110]), ONE)
    believed = 0.5 + 0.15 * 200 / 250
    learned = log(believed / (1 - believed)) - log(0.52 / 0.48)
    second = [exp(bet * 110) / (1 + 0.52 * (exp(bet) - 1)) ** 180 for bet in (*BETS, learned)]
    assert np.exp(two.log_s[:, 0, 0]) == pytest.approx(
        [e * (1 + s) for e, s in zip(second, first, strict=True)], rel=1e-3
    )
    assert finding is not None
    assert (finding.before, finding.since) == (0.5, 1)
    assert finding.after == pytest.approx(240 / 380)


def chances(rows: int, share: float) -> NDArray[np.float64]:
    """Of 0, 1, ... rows counted, by the binomial law, shape (rows + 1,)."""
    return np.array([comb(rows, k) * share**k * (1 - share) ** (rows - k) for k in range(rows + 1)])


def mean_pay(channels: Channels, before: Evidence, windows: Windows) -> float:
    """The largest expected e-value of any bet that can be lost in the direction of its edge."""
    mean = np.zeros((4, 2, 1))
    for counts, chance in windows.items():
        now, _ = score(before, np.array(counts), channels)
        mean += chance * np.exp(now.log_s.astype(np.float64))
    return float(mean.max())


@settings(max_examples=50)
@given(st.floats(0.48, 0.52), st.integers(0, 200), st.integers(1, 60))
def test_no_bet_pays_on_average_while_the_share_is_within_tolerance(truth: float, counted: int, rows: int) -> None:
    """Summed exactly over all outcomes of a window, whatever was remembered before it."""
    windows: Windows = {(rows - k, k): chance for k, chance in enumerate(chances(rows, truth))}
    assert mean_pay(ONE, remembering(counted, 200), windows) <= 1 + 1e-4


@settings(max_examples=50)
@given(
    st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)),
    st.tuples(st.integers(0, 25), st.integers(0, 25), st.integers(0, 25)),
    st.integers(0, 200),
)
def test_no_bet_pays_in_a_window_that_mixes_contexts(
    apart: tuple[float, float, float], rows: tuple[int, int, int], counted: int
) -> None:
    """Rows of different shares, each within tolerance of its context's: the law of a sum of unequal coins."""
    law = np.ones(1)
    for share, error, count in zip((0.1, 0.9, 0.5), apart, rows, strict=True):
        law = np.convolve(law, chances(count, share + error))
    windows: Windows = {(sum(rows) - k, k, *rows): chance for k, chance in enumerate(law)}
    assert mean_pay(one_test(0.1, 0.9, 0.5), remembering(counted, 200), windows) <= 1 + 1e-4


@pytest.mark.parametrize("truth", [0.48, 0.5, 0.52])
@pytest.mark.parametrize("alike", [2, 5, 20])
def test_no_bet_pays_when_rows_come_in_runs_and_are_worth_as_much_less(truth: float, alike: int) -> None:
    windows: Windows = {((12 - k) * alike, k * alike): chance for k, chance in enumerate(chances(12, truth))}
    assert mean_pay(one_test(0.5, worth=1 / alike), remembering(120, 200), windows) <= 1 + 1e-4
    assert mean_pay(ONE, remembering(120, 200), windows) > (1 if truth == 0.52 else 0)


def test_what_is_usual_in_a_context_is_no_evidence_and_what_is_usual_in_another_is() -> None:
    channels = one_test(0.1, 0.9, 0.5)
    usual, finding = score(Evidence.none(1), np.array([110, 90, 100, 100, 0]) - [10, -10, 0, 0, 0], channels)
    assert usual.log_s.max() <= 0
    assert finding is not None
    assert finding.before == pytest.approx(0.5)
    _, finding = score(Evidence.none(1), np.array([100, 100, 200, 0, 0]), channels)
    assert finding is not None
    assert finding.before == pytest.approx(0.1)
    assert finding.after == 0.5
    assert finding.log_evidence > log(100_000)


def test_rows_that_resemble_their_neighbours_weigh_less() -> None:
    counts = np.array([70, 130])
    whole, half = (score(Evidence.none(1), counts, one_test(0.5, worth=worth))[0] for worth in (1.0, 0.5))
    assert half.log_s == pytest.approx(whole.log_s / 2)


def test_an_alarm_keeps_since_when_and_what_was_seen() -> None:
    evidence = Evidence.none(1)
    for _ in range(4):
        evidence, _ = score(evidence, np.array([70, 130]), ONE)
    evidence, finding = score(evidence.forgiven(), np.array([60, 140]), ONE)
    assert finding is not None
    assert finding.since == 1
    assert finding.after == pytest.approx((4 * 130 + 140) / 1000)
    for _ in range(60):
        evidence, finding = score(evidence, np.array([100, 100]), ONE)
    assert finding is not None
    assert finding.since > 5
    assert finding.after == 0.5


def test_evidence_is_the_same_after_its_bytes() -> None:
    evidence, _ = score(Evidence.none(1, windows=7), np.array([70, 130]), ONE)
    again = Evidence.from_bytes(evidence.to_bytes(), windows=8, tests=1)
    assert again.to_bytes() == evidence.to_bytes()
    assert again.log_s == pytest.approx(evidence.log_s)
    assert again.since.tolist() == evidence.since.tolist()
    with pytest.raises(ValueError, match="reshape"):
        Evidence.from_bytes(evidence.to_bytes() + bytes(4), windows=8, tests=1)


def test_the_order_of_a_window_s_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    columns, scores, order = draw(rng, 200), rng.beta(2, 5, 200), rng.permutation(200)
    channels, found = channels_of(REFERENCE, DriftSettings()), []
    for rows in (np.arange(200), order):
        sketch = Sketch(REFERENCE)
        sketch.add({name: np.asarray(values)[rows].tolist() for name, values in columns.items()}, scores[rows])
        found.append(score(Evidence.none(len(channels.shares)), REFERENCE.by_stretch(sketch.counts), channels))
    assert found[0][0].to_bytes() == found[1][0].to_bytes()
    assert found[0][1] == found[1][1]


def test_every_channel_weighs_the_same_whatever_its_tests() -> None:
    channels = channels_of(REFERENCE, DriftSettings())
    total: dict[tuple[str, str], float] = {}
    for share, weight in zip(channels.shares, channels.weights.sum(axis=0), strict=True):
        total[share.feature, share.channel] = total.get((share.feature, share.channel), 0.0) + weight
    assert sum(total.values()) == pytest.approx(1)
    assert set(np.round(list(total.values()), 12)) == {round(1 / len(total), 12)}


def test_a_number_is_watched_at_about_fifteen_edges_that_part_it_evenly() -> None:
    channels = channels_of(REFERENCE, DriftSettings(features=("temp",), scores=False))
    values = [
        base for share, base in zip(channels.shares, channels.usual.expected, strict=True) if share.channel == "values"
    ]
    assert values == pytest.approx(np.arange(15, 0, -1) / 16, abs=0.02)


@pytest.mark.parametrize("rows", [1, 64, 20_000])
def test_the_reference_itself_has_no_share_beyond_its_own_tolerance(rows: int) -> None:
    profile = profile_of(rows, seed=7)
    channels = channels_of(profile, DriftSettings())
    counted, among = channels.count(profile.by_stretch(profile.counts))
    shares, limits = counted / np.maximum(among, 1), channels.limits(profile.by_stretch(profile.counts))
    assert limits.expected == pytest.approx(shares)
    assert (shares <= limits.edges[0])[limits.open[0]].all()
    assert (shares >= limits.edges[1])[limits.open[1]].all()


def test_a_smaller_reference_allows_more() -> None:
    small, large = (channels_of(profile_of(rows, seed=7), DriftSettings(features=("temp",))) for rows in (64, 20_000))
    middle = [int(np.abs(channels.usual.expected - 0.5).argmin()) for channels in (small, large)]
    width = [
        float(np.diff(channels.usual.edges[:, place])[0])
        for channels, place in zip((small, large), middle, strict=True)
    ]
    assert width[0] == pytest.approx(-2 * 0.28, abs=0.03)
    assert width[1] == pytest.approx(-2 * 0.013, abs=0.003)


EDGE = [[3.0] * 400, [float("nan")] * 400, [0.0, -0.0] * 200, [1e308, -1e308] * 200, [5e-324] * 400]


@pytest.mark.parametrize("values", EDGE)
@pytest.mark.parametrize("now", [[3.0] * 200, [float("nan")] * 200, [1e308] * 200, [-0.0] * 200])
def test_every_statistic_is_finite_for_columns_at_the_edge_of_numbers(values: list[float], now: list[float]) -> None:
    profile = Profile.build({"x": values}, kinds={"x": "number"}, scores=np.zeros(400))
    window = Profile.build({"x": now}, kinds={"x": "number"}, scores=np.zeros(200))
    assert_finite(profile, np.roll(window.counts, 3), windows=50)


@pytest.mark.parametrize("rows", [0, 1, 10**9, 2**53])
@pytest.mark.parametrize("place", [0, 1, 130, 257, 258])
def test_every_statistic_is_finite_for_windows_of_any_size(rows: int, place: int) -> None:
    """All rows in one cell of every feature: below the range, in it, above it, missing."""
    counts = np.zeros(len(REFERENCE.counts), np.int64)
    for _, block in REFERENCE.watched:
        counts[block.start + min(place, block.stop - block.start - 1)] = rows
    assert_finite(REFERENCE, counts, windows=20)


def test_as_many_rows_as_there_are_of_the_same_world_are_no_evidence_against_it() -> None:
    evidence = assert_finite(REFERENCE, REFERENCE.counts * 10**6, windows=20)
    assert np.exp(evidence.log_s.astype(np.float64)).max() <= 20 + 1e-6  # one a window, as far as 24 bits tell


def assert_finite(profile: Profile, counts: NDArray[np.int64], *, windows: int) -> Evidence:
    """Score the same window again and again."""
    channels = channels_of(profile, DriftSettings())
    evidence = Evidence.none(len(channels.shares))
    for _ in range(windows):
        evidence, finding = score(evidence, profile.by_stretch(counts), channels)
        assert finding is not None
        assert np.isfinite([finding.log_evidence, finding.before, finding.after]).all()
    assert np.isfinite(evidence.log_s).all()
    return evidence
