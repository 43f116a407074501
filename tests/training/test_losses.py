import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.losses import area_under_curve, brier_losses, log_losses

ANSWERS = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=2, max_size=50).filter(
    lambda answers: len({label for label, _ in answers}) == 2
)


def test_an_answer_costs_the_logarithm_of_what_it_gave_to_the_truth() -> None:
    assert log_losses(np.array([1.0, 0.0]), np.array([0.25, 0.2])) == pytest.approx([np.log(4), np.log(1.25)])


def test_a_certain_wrong_answer_costs_much_and_not_infinitely_much() -> None:
    assert log_losses(np.array([1.0]), np.array([0.0])) == pytest.approx([16.118], abs=1e-3)


def test_one_probability_for_all_rows_is_a_constant_guess() -> None:
    assert log_losses(np.array([1.0, 0.0]), 0.2).mean() == pytest.approx((np.log(5) + np.log(1.25)) / 2)


def test_a_brier_loss_is_the_square_of_the_distance() -> None:
    assert brier_losses(np.array([1.0, 0.0, 1.0]), np.array([0.7, 0.4, 0.0])) == pytest.approx([0.09, 0.16, 1.0])
    assert brier_losses(np.array([1.0, 0.0]), 0.2).mean() == pytest.approx((0.64 + 0.04) / 2)


def test_the_area_counts_pairs_in_the_right_order_and_ties_half() -> None:
    label, score = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.4, 0.4, 0.1])
    assert area_under_curve(label, score) == pytest.approx(3.5 / 4)


@given(answers=ANSWERS)
def test_the_area_is_the_share_of_pairs_however_it_is_counted(answers: list[tuple[bool, float]]) -> None:
    true = [score for label, score in answers if label]
    false = [score for label, score in answers if not label]
    pairs = [(one > other) + (one == other) / 2 for one in true for other in false]
    label, score = np.array([float(label) for label, _ in answers]), np.array([score for _, score in answers])
    assert area_under_curve(label, score) == pytest.approx(sum(pairs) / len(pairs))
