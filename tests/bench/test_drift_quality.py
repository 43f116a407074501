"""The drift benchmark counts windows as devices do, and says what it saw."""

import numpy as np
import pytest

from bench.drift_quality import BEFORE, Tally
from bench.drift_rivals import Rivals, matrix
from bench.drift_worlds import WINDOW_ROWS, World, counted, worlds
from sketch.sketch import Sketch


@pytest.mark.parametrize("name", ["season, contexts", "2 % new category", "5 % missing", "0.5 sd, autocorrelation .9"])
def test_windows_are_counted_as_sketches_count_them(name: str) -> None:
    world = next(world for world in worlds() if world.name == name)
    profile = world.profile(*world.reference(1))
    for columns, scores in world.devices(2, 5).windows(2, changed_from=1):
        for device, counts in enumerate(counted(profile, dict(columns), scores)):
            rows, sketch = slice(device * WINDOW_ROWS, (device + 1) * WINDOW_ROWS), Sketch(profile)
            sketch.add({column: values[rows] for column, values in columns.items()}, scores[rows])
            assert counts.tolist() == sketch.counts.tolist()


def test_a_change_is_what_it_says_and_reaches_only_the_devices_that_drift() -> None:
    world = next(world for world in worlds() if world.drifting == 1)
    (columns, _), *_ = world.devices(2, 5).windows(1, changed_from=0)
    drifting, other = np.asarray(columns["x0"], np.float64).reshape(2, -1).mean(axis=1)
    assert drifting == pytest.approx(55, abs=2)
    assert other == pytest.approx(50, abs=2)


def test_alarms_before_the_change_are_false_and_the_first_one_after_it_is_the_delay() -> None:
    alarms = np.zeros((3, BEFORE + 4), bool)
    alarms[0, 2] = alarms[0, BEFORE + 1] = alarms[1, BEFORE] = alarms[2, BEFORE + 3] = True
    tally = Tally()
    tally.add(alarms, World("two of three", worlds()[-1].change, drifting=2))
    assert (tally.still, tally.false) == (3 * BEFORE + 4, 2)
    assert tally.delays == [2, 1]
    assert tally.rate == pytest.approx(24_000 * 2 / 76)
    assert tally.at_most == pytest.approx(24_000 * 6.296 / 76, rel=1e-3)  # the 95 % limit of a count of 2


def test_the_rules_of_others_see_a_change_of_everything_and_leave_the_reference_alone() -> None:
    columns, scores = worlds()[0].reference(1)
    rows = matrix(columns, scores)
    rivals = Rivals.of(rows)
    same = rivals.alarms(rows[: 20 * WINDOW_ROWS])
    assert not same["PSI > 0.2"].any()
    assert same["Bonferroni"].mean() < 0.2
    moved = rivals.alarms(rows[: 2 * WINDOW_ROWS] + 1)
    assert all(alarms.all() for alarms in moved.values())
