"""What late labels say of a version on its way: period by period, beside the devices that have the last one."""

from collections.abc import Callable

import numpy as np
import pytest

from functions.field import Judged, Use, judged
from functions.rollout.compare import change
from functions.rollout.decide import Field
from functions.rollout.losses import compare
from tests.rollout.plant import Plant, Scores


def use(*means: float, rows: int = 100, first: int = 0) -> Use:
    """A device whose answers cost so much a row on consecutive days; every row of a day the same."""
    days = [
        Judged(first + day, rows, 40, mean * rows, mean**2 * rows, mean * rows / 4, mean**2 * rows / 16)
        for day, mean in enumerate(means)
    ]
    return judged(None, days)


def test_a_worked_example() -> None:
    """Losses of a harder site and a new version: 0.3 more than the others', of which 0.1 were there before."""
    before = ([use(0.6, 0.8, 0.7, 0.5, 0.9, 0.7)], [use(0.5, 0.7, 0.61, 0.39, 0.8, 0.6)])
    mine, others = [use(1.0, 0.8, 0.9, 1.1, 0.7, 0.9, first=6)], [use(0.7, 0.51, 0.6, 0.79, 0.4, 0.6, first=6)]
    found = compare(mine, others, before=[before], metric="log_loss", risk=0.02, may_grow=1.2)
    grown = change([0.1, 0.1, 0.09, 0.11, 0.1, 0.1], [0.3, 0.29, 0.3, 0.31, 0.3, 0.3], risk=0.02)
    assert found
    assert found.rows == 600
    told = (found.now, found.control, found.sure, found.limit)
    assert told == pytest.approx((0.9, 0.6, grown.low, 0.12))
    assert 0.18 < found.sure < 0.2
    squared = compare(mine, others, before=[before], metric="brier", risk=0.02, may_grow=1.2)
    assert squared
    assert (squared.now, squared.sure) == pytest.approx((found.now / 4, found.sure / 4))


def test_days_without_enough_outcomes_of_both_sides_are_not_compared() -> None:
    assert compare([use(0.9)], [use(0.6, first=1)], before=[], metric="brier", risk=0.02, may_grow=1.1) is None
    assert compare([use(0.9, rows=19)], [use(0.6)], before=[], metric="brier", risk=0.02, may_grow=1.1) is None


def test_without_days_before_nothing_is_proven() -> None:
    found = compare([use(*[2.0] * 9)], [use(*[0.5] * 9)], before=[], metric="log_loss", risk=0.02, may_grow=1.1)
    assert found
    assert (found.sure, found.now) == pytest.approx((0.0, 2.0))


def rolled_out(
    seed: int, *, change: Callable[[np.random.Generator], Callable[[Scores], Scores]], days: int = 20
) -> tuple[int, Field]:
    """A canary among three sites, whose labels come: the day that something is proven, 0 for never; and what it is."""
    plant, rng = Plant(seed), np.random.default_rng(seed)
    for _ in range(40):
        plant.day(outcomes=True)
    found = Field()
    for day in range(1, days + 1):
        plant.day(canaries=1, change=change(rng), outcomes=True)
        found = plant.look()
        if found.harm:
            return day, found
    return 0, found


@pytest.mark.parametrize("seed", range(3))
def test_a_version_like_the_last_is_let_be(seed: int) -> None:
    day, found = rolled_out(seed, change=lambda _: lambda scores: scores)
    assert day == 0, found.harm
    assert found.outcomes == 20 * 280


def test_answers_that_only_go_to_the_wrong_rows_are_found_by_what_they_cost() -> None:
    day, found = rolled_out(3, change=lambda rng: rng.permutation)
    assert day
    assert found.harm.startswith("log loss of ")
    assert found.harm.endswith(" is allowed")
    assert " rows with outcomes: 0." in found.harm
    assert " at least is the version's own, 0.0" in found.harm


def symmetric(scores: Scores) -> Scores:
    """The same scores on the other side of their middle: as many rows above every score as before, nearly."""
    ranks = np.argsort(np.argsort(scores))
    return np.sort(scores)[::-1][ranks]


def test_an_inverted_version_whose_scores_look_as_they_should_is_found_by_what_it_costs() -> None:
    day, found = rolled_out(2, change=lambda _: symmetric)
    assert 0 < day <= 12
    assert found.harm.startswith("log loss of ")
