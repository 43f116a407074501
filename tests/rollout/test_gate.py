"""What the gate finds on a small fleet whose sites and days differ."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from functions.field import drifted
from functions.rollout.decide import Field
from functions.rollout.gate import judge
from sketch.features import NumberFeature
from tests.rollout.plant import LIMITS, Plant, Scores, expected


def rolled_out(
    seed: int,
    *,
    change: Callable[[Scores], Scores] = lambda scores: scores,
    new: NumberFeature | None = None,
    failing: float = 0.0,
    slower_by: int = 0,
) -> tuple[int, Field]:
    """A canary among three sites, looked at daily: the day that something is proven, 0 for never; and what it is."""
    plant = Plant(seed)
    for _ in range(40):
        plant.day()
    found = Field()
    for day in range(1, 21):
        plant.day(canaries=1, change=change, new=new, failing=failing, slower_by=slower_by)
        found = plant.look(new)
        if found.harm:
            return day, found
    return 0, found


def inverted(scores: Scores) -> Scores:
    return 1 - scores


def constant(scores: Scores) -> Scores:
    return np.full_like(scores, 0.25)


def a_little_higher(scores: Scores) -> Scores:
    return np.clip(scores * 1.15, 0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_version_like_the_last_is_let_be_however_much_sites_and_days_differ(seed: int) -> None:
    day, found = rolled_out(seed)
    assert day == 0, found.harm
    assert (found.devices, found.rows, found.requests) == (1, 20 * 280, 2000)
    assert "on 1 device with it" in found.found


def test_a_version_that_answers_a_little_differently_as_its_hold_out_said_is_let_be() -> None:
    assert rolled_out(3, change=a_little_higher, new=expected(a_little_higher))[0] == 0


@pytest.mark.parametrize(("change", "is_expected"), [(inverted, True), (inverted, False), (constant, False)])
def test_a_healthy_version_that_answers_nonsense_is_found_whatever_its_hold_out_said(
    change: Callable[[Scores], Scores], *, is_expected: bool
) -> None:
    day, found = rolled_out(4, change=change, new=expected(change) if is_expected else None)
    assert day
    assert found.harm.startswith("scores above")
    assert found.harm.endswith("% is allowed")


def test_what_looks_like_harm_is_suspect_from_the_second_day_on_and_a_good_version_is_not_for_long() -> None:
    plant = Plant(4)
    for _ in range(40):
        plant.day()
    for _ in range(2):
        plant.day(canaries=1, change=inverted, new=expected(inverted))
    found = plant.look(expected(inverted))
    assert (found.harm, found.suspect[:13]) == ("", "scores above ")
    suspected = 0
    for seed in range(20):
        plant = Plant(seed)
        for _ in range(30):
            plant.day(canaries=1 if plant.days >= 20 else 0)
        suspected += bool(plant.look(None).suspect)
    assert suspected <= 2


def test_a_rollout_that_lasts_for_months_is_still_compared_with_what_was_before_it() -> None:
    plant = Plant(4)
    for _ in range(40):
        plant.day()
    for _ in range(150):
        plant.day(canaries=1, change=inverted, new=expected(inverted))
    assert plant.look(expected(inverted)).suspect


def test_more_refused_requests_are_found_and_named() -> None:
    day, found = rolled_out(2, failing=0.15)
    assert day
    assert found.harm.startswith("requests refused: 1")


def test_a_slow_version_is_found_and_named() -> None:
    day, found = rolled_out(2, slower_by=4)
    assert day
    assert found.harm.startswith("requests over 4 ms")


def test_a_version_that_no_other_device_lacks_is_compared_with_nobody() -> None:
    plant = Plant(1)
    plant.day(canaries=3)
    assert plant.look() == Field(devices=3, rows=840, requests=300)


def test_days_that_only_one_side_tells_of_are_not_compared() -> None:
    plant = Plant(1)
    for _ in range(5):
        plant.day(canaries=1, change=inverted)
    for device in ("d1", "d2"):
        plant.uses[device] = {"1": msgspec.structs.replace(plant.uses[device]["1"], periods=())}
    assert plant.look() == Field(devices=1, rows=1400, requests=500)


def test_a_version_whose_scores_nobody_expected_is_judged_by_the_rest() -> None:
    plant = Plant(2)
    for _ in range(40):
        plant.day()
    for _ in range(15):
        plant.day(canaries=1, change=constant, failing=0.2)
    found = judge(plant.uses, "2", "1", references={}, limits=LIMITS)
    assert found.harm.startswith("requests refused: ")


SPRING = "temp, share above 50: 12 % → 61 %, since window 3"


def drifting(*devices: str, canaries: int = 1, sites: int = 3, days: int = 1, came_after: int = 1) -> Plant:
    """A fleet some of whose devices, named with the version they have, are adrift at the end."""
    plant = Plant(1, sites=sites)
    for _ in range(came_after):
        plant.day()
    for _ in range(days):
        plant.day(canaries=canaries)
    for name in devices:
        alarm(plant, name)
    return plant


def alarm(plant: Plant, name: str, *, goes_on: bool = True) -> None:
    device, _, version = name.partition(":")
    use = plant.uses[device][version]
    plant.uses[device][version] = drifted(use, [SPRING], goes_on=goes_on, at=use.periods[-1].at)


def suspected_of_drift(plant: Plant) -> bool:
    return "drift on" in plant.look().suspect


def test_drift_alone_is_no_harm_and_holds_a_version_where_nobody_else_sees_any() -> None:
    found = drifting("d0:2").look()
    assert (found.harm, found.suspect) == (
        "",
        "drift on 1 of 1 device with it (d0: temp, share above 50), and on hardly any without it lately",
    )


def test_a_spring_that_others_see_too_is_the_world_even_when_their_drift_was_called_over() -> None:
    assert not suspected_of_drift(drifting("d0:2", "d1:1"))
    plant = drifting(days=30)
    alarm(plant, "d1:1", goes_on=False)
    for _ in range(30):
        plant.day(canaries=1)
    alarm(plant, "d0:2")
    assert plant.uses["d1"]["1"].drift == ""
    assert not suspected_of_drift(plant)


def test_what_others_saw_long_before_the_version_came_explains_nothing() -> None:
    plant = drifting()
    alarm(plant, "d1:1", goes_on=False)
    plant.uses["d0"].pop("2")
    plant.days += 2_000
    plant.day(canaries=1)
    alarm(plant, "d0:2")
    assert suspected_of_drift(plant)


def test_a_sensor_that_broke_under_the_last_version_is_no_fault_of_the_new_one() -> None:
    assert not suspected_of_drift(drifting("d0:1", "d0:2"))


def test_one_device_of_several_with_the_version_has_something_of_its_own_and_half_of_them_have_not() -> None:
    assert not suspected_of_drift(drifting("d0:2", canaries=3, sites=6))
    assert "drift on 2 of 3 devices" in drifting("d0:2", "d1:2", canaries=3, sites=6).look().suspect


def test_one_broken_sensor_among_many_without_the_version_is_not_the_world() -> None:
    assert suspected_of_drift(drifting("d0:2", "d9:1", sites=15))
    assert not suspected_of_drift(drifting("d0:2", "d8:1", "d9:1", sites=15))


def test_proven_harm_is_told_by_what_is_proven_whatever_drifts() -> None:
    plant = drifting(came_after=40, days=0)
    for _ in range(20):
        plant.day(canaries=1, change=inverted)
    alarm(plant, "d0:2")
    found = plant.look()
    assert found.harm.startswith("scores above")
    assert "drift" not in found.harm


def in_season(scores: Scores) -> Scores:
    """What a version trained on this season makes of rows that the last one scores too high by far."""
    return 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) - 1.5)))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_version_that_is_right_where_the_last_one_is_out_of_date_is_let_be(seed: int) -> None:
    plant = Plant(seed)
    for _ in range(40):
        plant.day()
    for _ in range(25):
        plant.day(canaries=1, change=in_season, season=1.5)
        assert plant.look().harm == ""
