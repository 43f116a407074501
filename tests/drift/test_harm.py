"""Harm: shown, ruled out or unknown, by outcomes or by scores; each with its numbers."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.drift.harm import Harm, judge
from functions.field import Judged
from functions.loops import Metric
from sketch.calibration import GROUPS, Calibration
from sketch.features import cells_of_numbers, count_numbers
from sketch.losses import brier, log_loss

type Rows = NDArray[np.float64]

GRID = count_numbers("score", np.random.default_rng(0).beta(2, 5, 20_000))
HARM = 0.1


def calibrated(scores: Rows, labels: Rows, days: list[str] | None = None) -> Calibration:
    found = Calibration.of(scores, labels, GRID, days=days or [])
    assert found
    return found


def drawn(rng: np.random.Generator, rows: int, *, alpha: float = 2.0, tilt: float = 0.0) -> tuple[Rows, Rows]:
    """Scores, and labels that are true as often as they say but for a tilt of the log-odds."""
    scores = np.clip(rng.beta(alpha, 5, rows), 1e-6, 1 - 1e-6)
    chance = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + tilt)))
    return scores, (rng.random(rows) < chance).astype(np.float64)


def counted(scores: Rows) -> list[int]:
    groups = (cells_of_numbers(scores, low=GRID.low, width=GRID.width) + 3) // 4
    return np.bincount(groups, minlength=GROUPS).tolist()


def outcome(scores: Rows, labels: Rows, at: int = 0) -> Judged:
    found = (log_loss(labels, scores), brier(labels, scores))
    sums = [float(values.sum()) for loss in found for values in (loss, loss**2)]
    return Judged(at, len(scores), int(labels.sum()), *sums)


PROMISE = calibrated(*drawn(np.random.default_rng(1), 20_000))


def by_outcomes(tilt: float, *, rows: int, metric: Metric = "log_loss") -> Harm:
    rng = np.random.default_rng(2)
    windows = [outcome(*drawn(rng, rows // 10, tilt=tilt), at) for at in range(10)]
    return judge(windows, (), PROMISE, metric=metric, harm=HARM)


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_outcomes_show_harm_and_rule_it_out(metric: Metric) -> None:
    worse, same = by_outcomes(1.0, rows=10_000, metric=metric), by_outcomes(0.0, rows=10_000, metric=metric)
    assert (worse.kind, worse.by, same.kind, same.by) == ("harmful", "labels", "harmless", "labels")
    assert worse.before == same.before
    assert worse.after > 1.15 * worse.before
    assert same.after == pytest.approx(same.before, rel=0.05)


def test_few_outcomes_leave_it_open_and_none_are_made_of_fewer() -> None:
    assert by_outcomes(0.0, rows=500).kind == "unknown"
    assert by_outcomes(3.0, rows=90) == Harm(
        "unknown", "90 of the rows have outcomes so far, and too few rows were scored to say what they should cost"
    )


def test_the_reason_has_the_numbers() -> None:
    promise = calibrated(np.full(1_000, 0.25), np.array([1.0] * 250 + [0.0] * 750))
    window = Judged(7, 800, 400, 800 * 0.837, 800 * (0.5 * 1.386**2 + 0.5 * 0.288**2), 800 * 0.3125, 800 * 0.16)
    found = judge([window], (), promise, metric="log_loss", harm=0.2)
    assert found.reason == (
        "log loss 0.562 on 1000 held-out rows → 0.837 (0.723 to 0.951) on 800 rows with outcomes; "
        "that is +23% to +74%, harm begins at +20%"
    )
    assert found.kind == "harmful"
    assert (found.before, found.after) == pytest.approx((0.5623, 0.837), abs=1e-4)


def test_without_a_promise_nothing_is_known() -> None:
    windows = [outcome(*drawn(np.random.default_rng(4), 5_000, tilt=2.0))]
    assert judge(windows, (), None, metric="brier", harm=HARM) == Harm(
        "unknown", "the model came without what its answers cost on held-out rows"
    )


def by_scores(alpha: float, *, rows: int = 5_000, days: list[str] | None = None) -> Harm:
    rng = np.random.default_rng(5)
    promise = calibrated(*drawn(rng, 20_000), days)
    scores, _ = drawn(rng, rows, alpha=alpha)
    return judge([], counted(scores), promise, metric="log_loss", harm=HARM)


def test_scores_that_move_to_where_answers_cost_more_are_harm_before_any_outcome_comes() -> None:
    surer, moved = by_scores(1.0), by_scores(4.0)
    assert (surer.kind, moved.kind) == ("harmless", "harmful")
    assert surer.by == moved.by == "estimate"
    assert moved.after > 1.1 * moved.before
    assert "if scores mean what they meant" in moved.reason


def test_scores_that_stay_are_harmless_as_far_as_scores_can_tell() -> None:
    assert by_scores(2.0).kind == "harmless"


def test_where_no_held_out_row_scored_nothing_is_guessed() -> None:
    found = judge([], counted(np.full(500, 0.999)), PROMISE, metric="log_loss", harm=HARM)
    assert (found.kind, found.by) == ("unknown", "nothing")
    assert found.reason.startswith("no outcomes have come so far, and 100% of its scores lie where no held-out")


def estimated(
    trials: int, shift: Callable[[np.random.Generator], float], *, days: int, apart: float
) -> tuple[int, int]:
    """Windows of other scores: how often harm was claimed or ruled out falsely, and how often anything was said."""
    rng, false, told = np.random.default_rng(6), 0, 0
    for _ in range(trials):
        moods = rng.normal(0, apart, days)
        day = rng.integers(days, size=6_000)
        scores, labels = drawn(rng, 6_000)
        labels = np.where(rng.random(6_000) < np.abs(moods[day]), (moods[day] > 0) * 1.0, labels)
        promise = calibrated(scores, labels, [str(one) for one in day])
        alpha, mood = shift(rng), rng.normal(0, apart)  # one day of other scores, with a mood of its own
        scores, labels = drawn(rng, 750, alpha=alpha)
        labels = np.where(rng.random(750) < abs(mood), float(mood > 0), labels)
        found = judge([], counted(scores), promise, metric="log_loss", harm=HARM)
        change = float(log_loss(labels, scores).mean()) / max(found.before, 0.1) - 1
        told += found.kind != "unknown"
        false += found.kind == ("harmless" if change > HARM else "harmful")
    return false, told


@pytest.mark.parametrize(("days", "apart"), [(12, 0.0), (12, 0.15)])
def test_the_estimate_is_wrong_no_oftener_than_it_says(days: int, apart: float) -> None:
    false, told = estimated(200, lambda rng: float(rng.uniform(1.0, 4.0)), days=days, apart=apart)
    assert false <= 0.1 * 200
    assert told >= (100 if not apart else 10)
