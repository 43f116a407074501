"""What one answer costs, with a limit: no single answer can cost so much that it drowns the others.

Training judges challengers by losses with hardly any limit; these are for watching a model at work, where a bound on
what a row can cost is what makes a statement possible that holds at every look.
"""

from math import log
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOOR: Final = 1e-3  # probabilities are taken to be at least so far from 0 and 1
MOST_LOG_LOSS: Final = -log(FLOOR)  # nats; the most that one row costs, 6.9
MOST_BRIER: Final = 1.0


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Minus the logarithm of the probability that was given to what happened.

    Args:
        labels: 1 or 0, shape (rows,).
        probabilities: That the label is 1, in 0..1, shape (rows,).

    Returns:
        Nats, shape (rows,), in 0..6.9.
    """
    sure = np.clip(np.asarray(probabilities, np.float64), FLOOR, 1 - FLOOR)
    losses: NDArray[np.float64] = -np.log(np.where(np.asarray(labels) > 0, sure, 1 - sure))
    return losses


def brier(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """The square of how far the answer is from what happened, shape (rows,), in 0..1.

    Source: Brier (1950), in its form for yes-or-no questions.
    """
    return np.square(np.asarray(probabilities, np.float64) - np.asarray(labels, np.float64))
