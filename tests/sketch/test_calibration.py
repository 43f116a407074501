"""What held-out answers cost, by score: counts that add up, a text that reads back, and how much days differ."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.field import GROUP
from sketch.calibration import FEWEST_ROWS, GROUPS, TOGETHER, Calibration
from sketch.features import CELLS, NumberFeature, count_numbers
from sketch.losses import FLOOR, MOST_LOG_LOSS, brier, log_loss
from sketch.profile import Profile

GRID = count_numbers("score", np.linspace(0.02, 0.9, 5_000))


def rows_of(seed: int, rows: int, *, days: int = 8, apart: float = 0.0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores, labels that are true as often as the scores say but for the day's mood, and days."""
    rng = np.random.default_rng(seed)
    scores, day = rng.beta(2, 5, rows), rng.integers(days, size=rows)
    mood = rng.normal(0, apart, days)
    return scores, (rng.random(rows) < np.clip(scores + mood[day], 0, 1)) * 1.0, [f"day {one}" for one in day]


def made(seed: int, rows: int, *, days: int = 8, apart: float = 0.0, grid: NumberFeature = GRID) -> Calibration:
    scores, labels, named = rows_of(seed, rows, days=days, apart=apart)
    found = Calibration.of(scores, labels, grid, days=named)
    assert found
    return found


def test_groups_are_those_that_answers_are_counted_in() -> None:
    assert (TOGETHER, GROUPS) == (GROUP, CELLS // GROUP + 2)


def test_groups_hold_every_row_once_and_what_it_cost() -> None:
    scores, labels, _ = rows_of(1, 3_000)
    found = made(1, 3_000)
    assert found.rows == 3_000
    assert sum(group.positives for group in found.groups) == labels.sum()
    assert sum(group.log_loss for group in found.groups) == pytest.approx(log_loss(labels, scores).sum(), abs=1e-3)
    assert sum(group.brier_squares for group in found.groups) == pytest.approx(
        (brier(labels, scores) ** 2).sum(), abs=1e-3
    )
    assert all(group.rows >= FEWEST_ROWS for group in found.groups)
    assert 10 < len(found.groups) <= 20
    shares = [group.positives / group.rows for group in found.groups]
    assert shares[-1] - shares[0] > 0.3


@given(st.integers(1, 400), st.integers(0, 99))
def test_any_number_of_rows_reads_back_as_it_was(rows: int, seed: int) -> None:
    found = made(seed, rows)
    assert found.rows == rows
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_worked_example() -> None:
    grid = NumberFeature("score", low=0.0, width=1 / 256, counts=(0,) * 259)
    found = Calibration.of(
        np.array([0.1] * 60 + [0.8] * 70), np.array([1.0] * 6 + [0.0] * 54 + [1.0] * 50 + [0.0] * 20), grid
    )
    assert found
    low, high = found.groups
    assert (low.upto, low.rows, low.positives) == (7, 60, 6)  # 0.1 lies in cell 26, the second of group 7
    assert (high.upto, high.rows, high.positives) == (GROUPS - 1, 70, 50)
    assert low.brier == pytest.approx(6 * 0.81 + 54 * 0.01)
    assert high.log_loss == pytest.approx(-50 * np.log(0.8) - 20 * np.log(0.2), abs=1e-6)
    assert (found.lowest, found.highest, found.days) == (7, 52, 0)


def test_how_much_days_differ_is_told_from_the_noise_of_single_rows() -> None:
    alike, apart = made(3, 20_000, days=20), made(3, 20_000, days=20, apart=0.15)
    assert alike.brier_by_day < 0.006
    assert 0.04 < apart.brier_by_day < 0.12
    assert apart.log_loss_by_day > 5 * alike.log_loss_by_day


def test_scores_that_are_no_probabilities_have_no_known_loss() -> None:
    labels = np.array([1.0, 0.0])
    assert Calibration.of(np.array([0.5, 1.5]), labels, GRID) is None
    assert Calibration.of(np.array([0.5, np.nan]), labels, GRID) is None
    assert Calibration.of(np.array([]), np.array([]), GRID) is None


def broken() -> list[object]:
    sound = made(1, 300).to_dict()
    groups = sound["groups"]
    assert isinstance(groups, list)
    first, last = groups[0], groups[-1]
    return [
        None,
        [],
        {},
        {**sound, "groups": groups[:-1]},
        {**sound, "groups": [last, first]},
        {**sound, "groups": [[*first[:2], first[1] + 1, *first[3:]], *groups[1:]]},
        {**sound, "groups": [first[:-1], *groups[1:]]},
        {**sound, "groups": [[*first[:3], float("nan"), *first[4:]], *groups[1:]]},
        {**sound, "groups": [[*first[:3], True, *first[4:]], *groups[1:]]},
        {**sound, "groups": 7},
        {**sound, "lowest": 70},
        {**sound, "highest": -1},
        {**sound, "days": "8"},
        {name: value for name, value in sound.items() if name != "brier_by_day"},
    ]


@pytest.mark.parametrize("content", broken())
def test_what_is_no_calibration_is_refused_with_a_reason(content: object) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_dict(content)


def test_no_answer_costs_more_than_the_limit() -> None:
    assert log_loss([1, 0], [0.0, 1.0]).tolist() == pytest.approx([MOST_LOG_LOSS] * 2)
    assert log_loss([1], [FLOOR / 10]) == pytest.approx(-np.log(FLOOR))
    assert brier([1, 0, 1], [0.2, 0.7, 1.0]).tolist() == pytest.approx([0.64, 0.49, 0.0])


def test_a_profile_carries_its_promise_and_is_another_one_with_it() -> None:
    scores, _, _ = rows_of(1, 500)
    bare = Profile.build({"x": scores}, kinds={"x": "number"}, scores=scores)
    promising = bare.calibrated(made(1, 500, grid=bare.scores))
    assert Profile.from_json(promising.to_json()) == promising != bare
    assert Profile.from_json(promising.to_json()).calibration == promising.calibration
    assert Profile.from_json(bare.to_json()).calibration is None
    added = len(zlib.compress(promising.to_json().encode())) - len(zlib.compress(bare.to_json().encode()))
    assert added < 1_500
    content = json.loads(promising.to_json())
    content["calibration"]["groups"] = []
    with pytest.raises(ValueError, match="calibration"):
        Profile.from_json(json.dumps(content))
