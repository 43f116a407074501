"""What answers cost on held-out rows, by score: the promise that a model's losses are later compared with.

Losses are summed over groups of the score's cells, the same groups that functions/field.py counts devices' answers in:
below the grid, 64 groups of four cells, above it. Neighbours are joined until each has rows enough to say something.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from sketch.features import CELLS, NumberFeature, cells_of_numbers
from sketch.losses import brier, log_loss

TOGETHER = 4  # cells of the scores' grid in one group
GROUPS = CELLS // TOGETHER + 2
FEWEST_ROWS = 50  # of joined groups
OUTER = 0.002  # of the held-out rows are too few, on either side, to say what such scores cost
_PARTS = 20  # joined groups at most
_DECIMALS = 6
_FIELDS = 7


@dataclass(frozen=True, slots=True)
class Group:
    """Held-out rows whose scores lie near each other.

    Args:
        upto: The last of its groups of cells, 0 to 65; it begins after the one before it.
        rows: Held-out rows.
        positives: Those whose label is true.
        log_loss: What they cost, summed, nats.
        log_loss_squares: The squares of that, summed.
        brier: Their squared errors, summed.
        brier_squares: The squares of these, summed.
    """

    upto: int
    rows: int
    positives: int
    log_loss: float
    log_loss_squares: float
    brier: float
    brier_squares: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a model's answers cost on rows that it had not learnt.

    Args:
        groups: In order of the score; the last one reaches to 65.
        lowest: Group of cells that the lowest held-out scores lie in, but for two in a thousand.
        highest: Group of cells that the highest lie in, likewise.
        days: Stretches, such as days, that the rows come from; 0 where nobody told.
        log_loss_by_day: Standard deviation of the days' mean log loss around what their scores say.
        brier_by_day: Likewise, of the squared error.
    """

    groups: tuple[Group, ...]
    lowest: int
    highest: int
    days: int = 0
    log_loss_by_day: float = 0.0
    brier_by_day: float = 0.0

    @property
    def rows(self) -> int:
        """Held-out rows."""
        return sum(group.rows for group in self.groups)

    @staticmethod
    def of(
        scores: NDArray[np.float64], labels: NDArray[np.float64], grid: NumberFeature, *, days: Sequence[str] = ()
    ) -> "Calibration | None":
        """Count held-out rows by what they scored.

        Args:
            scores: What the model, or its twin that has not learnt these rows, answers, shape (rows,).
            labels: 1.0 or 0.0, shape (rows,).
            grid: The profile's scores.
            days: The day of each row, so that it is known how much days differ; empty if nobody knows.

        Returns:
            None for scores that are no probabilities, of which no loss is known, and for no rows.
        """
        if not len(scores) or not np.all((scores >= 0) & (scores <= 1)):
            return None
        place = (cells_of_numbers(scores, low=grid.low, width=grid.width) + TOGETHER - 1) // TOGETHER
        losses = (log_loss(labels, scores), brier(labels, scores))
        facts = np.stack([np.ones(len(scores)), labels, losses[0], losses[0] ** 2, losses[1], losses[1] ** 2])
        sums = np.array([np.bincount(place, weights=fact, minlength=GROUPS) for fact in facts])
        ends = _ends(sums[0].tolist())
        joined = np.add.reduceat(sums, [0, *(end + 1 for end in ends[:-1])], axis=1)
        groups = [
            Group(end, int(rows), int(positives), *(round(one, _DECIMALS) for one in rest))
            for end, (rows, positives, *rest) in zip(ends, joined.T.tolist(), strict=True)
        ]
        apart = [_by_day(loss, np.searchsorted(ends, place), days) for loss in losses] if len(days) else [0.0, 0.0]
        return Calibration(
            groups=tuple(groups),
            lowest=int(np.quantile(place, OUTER, method="lower")),
            highest=int(np.quantile(place, 1 - OUTER, method="higher")),
            days=len(set(days)),
            log_loss_by_day=apart[0],
            brier_by_day=apart[1],
        )

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "groups": [list(astuple(group)) for group in self.groups],
            "lowest": self.lowest,
            "highest": self.highest,
            "days": self.days,
            "log_loss_by_day": self.log_loss_by_day,
            "brier_by_day": self.brier_by_day,
        }

    @staticmethod
    def from_dict(content: object) -> "Calibration":
        """Read what `to_dict` gave.

        Raises:
            ValueError: It is something else.
        """
        try:
            groups = tuple(_group(group) for group in content["groups"])  # type: ignore[index] # checked by trying
            lowest, highest, days = (_count(content[name]) for name in ("lowest", "highest", "days"))  # type: ignore[index] # likewise
            apart = [_sum(content[f"{name}_by_day"]) for name in ("log_loss", "brier")]  # type: ignore[index] # likewise
        except (KeyError, TypeError, IndexError) as problem:
            raise ValueError(f"the calibration is not usable: {problem!r}") from problem
        ends = [-1, *(group.upto for group in groups)]
        if ends != sorted(set(ends)) or ends[-1] != GROUPS - 1 or not lowest <= highest < GROUPS:
            raise ValueError(f"the calibration's groups do not reach from 0 to {GROUPS - 1} in order")
        if not all(group.positives <= group.rows for group in groups) or not any(group.rows for group in groups):
            raise ValueError("the calibration has no rows, or more positives than rows")
        return Calibration(groups, lowest, highest, days, *apart)


def _ends(rows: Sequence[float]) -> list[int]:
    """The last group of each joined one; what is left over at the end joins the last."""
    wanted, ends, held = max(FEWEST_ROWS, sum(rows) / _PARTS), list[int](), 0.0
    for at, number in enumerate(rows):
        held += number
        if held >= wanted:
            ends.append(at)
            held = 0.0
    return [*ends[:-1], GROUPS - 1]


def _by_day(loss: NDArray[np.float64], group: NDArray[np.intp], days: Sequence[str]) -> float:
    """Standard deviation of days' mean losses around what their scores say, without the noise of single rows."""
    expected = np.bincount(group, weights=loss) / np.maximum(np.bincount(group), 1)
    rest = loss - expected[group]
    names, day = np.unique(np.asarray(days), return_inverse=True)
    if len(names) < 2:  # noqa: PLR2004 - one day differs from nothing
        return 0.0
    rows = np.bincount(day)
    means = np.bincount(day, weights=rest) / rows
    between = float(np.sum(rows * means**2)) / (len(names) - 1)  # an analysis of variance, of one factor
    within = float(np.sum((rest - means[day]) ** 2)) / max(len(loss) - len(names), 1)
    usual = (len(loss) - float(np.sum(rows**2)) / len(loss)) / (len(names) - 1)
    return round(sqrt(max(between - within, 0.0) / usual), _DECIMALS)


def _group(values: Iterable[object]) -> Group:
    found = list(values)
    if len(found) != _FIELDS:
        raise ValueError("a group of the calibration has another number of fields")
    return Group(*(_count(value) for value in found[:3]), *(_sum(value) for value in found[3:]))


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"the calibration has {value!r} where a whole number from 0 should be")
    return value


def _sum(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or value < 0:
        raise ValueError(f"the calibration has {value!r} where a finite number from 0 should be")
    return float(value)
