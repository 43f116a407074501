"""The best that retraining could have done, for somebody who knew the year: a plan of jobs, by dynamic programming."""

import numpy as np
from numpy.typing import NDArray


def hindsight(
    losses: NDArray[np.float64], rows: NDArray[np.int64], *, start: int, most_jobs: int
) -> NDArray[np.float64]:
    """Lowest mean loss a row with at most so many jobs, each model serving from the day after its training.

    Args:
        losses: Summed by model and day served, shape (days, days); above the diagonal, where it is read, finite.
        rows: Rows, shape (days,).
        start: Day on whose evening the first model was trained.
        most_jobs: Length of the answer, less one.

    Returns:
        By number of jobs, the first model's not counted, shape (most_jobs + 1,).
    """
    days = len(rows)
    served = np.triu(np.nan_to_num(losses), k=1).cumsum(axis=1)  # model m until day n, the last included
    places = np.arange(days)
    later = (places[np.newaxis] > places[:, np.newaxis]) & (places[:, np.newaxis] >= start)
    until = np.where(later, served, np.inf)
    newest = np.where(places == start, 0.0, np.inf)  # the least lost up to a day whose evening's model is the newest
    found = np.empty(most_jobs + 1)
    for jobs in range(most_jobs + 1):
        found[jobs] = (newest + until[:, -1]).min()
        newest = (newest[:, np.newaxis] + until).min(axis=0)
    return np.minimum.accumulate(found) / rows[start + 1 :].sum()
