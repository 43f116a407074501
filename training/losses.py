"""How good probabilities are: log loss, Brier score, and the area under the ROC curve."""

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-7  # A certain answer that is wrong would otherwise cost an infinite amount.


def log_losses(label: NDArray[np.float64], probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Give what each answer costs: minus the logarithm of the probability that was given to what happened.

    Args:
        label: 1.0 or 0.0, shape (rows,).
        probability: That the label is 1, in 0..1, shape (rows,) or one for all rows.

    Returns:
        In nats, shape (rows,), >= 0, at most 16.2.
    """
    sure = np.clip(probability, FLOOR, 1 - FLOOR)
    return -np.log(np.where(label > 0, sure, 1 - sure))


def brier_losses(label: NDArray[np.float64], probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Give what each answer costs: the square of how far it is from what happened.

    Args:
        label: 1.0 or 0.0, shape (rows,).
        probability: That the label is 1, in 0..1, shape (rows,) or one for all rows.

    Returns:
        Shape (rows,), in 0..1.

    Source: Brier (1950), in its form for yes-or-no questions.
    """
    return np.asarray((probability - label) ** 2, np.float64)


def area_under_curve(label: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Give the probability that a true row scores higher than a false one; equal scores count half.

    Args:
        label: 1.0 or 0.0, shape (rows,), with both present.
        score: Higher means likelier true, shape (rows,).

    Returns:
        In 0..1; 0.5 is chance.

    Source: the Mann-Whitney U statistic, on mid-ranks.
    """
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    mid_rank = (np.cumsum(count) - (count - 1) / 2)[place]
    true = int(label.sum())
    above = mid_rank[label > 0].sum() - true * (true + 1) / 2
    return float(above / (true * (len(label) - true)))
