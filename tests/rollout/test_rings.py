"""Who is in a ring, and what lies above what."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.loops import Ring, Rollout, read
from functions.ports import ModelVersion
from functions.rollout import rings
from laptop.iot_hub.query import parse_target_condition

LOOP = read(Path("tests/loops/flight-delays.toml"))
STORE = "https://refluent.blob.core.windows.net"
IDS = [f"device-{number}" for number in range(400)]


def ring(**fields: object) -> Ring:
    return Ring.model_validate({"name": "canary", "devices": "tags.fleet = 'ny'", "dwell": "0 s", **fields})


def model(version: int) -> ModelVersion:
    lineage = {"sha256": f"{version:064}", "profile": f"{version:016}"}
    return ModelVersion(LOOP.name, str(version), f"{LOOP.name}/{version}", lineage)


@given(st.permutations(IDS[:40]), st.integers(1, 39))
def test_a_count_of_devices_is_the_same_ones_in_whatever_order_the_hub_names_them(ids: list[str], count: int) -> None:
    chosen = rings.choose("loop", ring(count=count), ids)
    assert len(chosen) == count
    assert chosen == rings.choose("loop", ring(count=count), sorted(ids))


def test_a_percentage_is_about_that_many_and_nobody_leaves_it_while_the_fleet_grows() -> None:
    small, large = (rings.choose("loop", ring(percent=10), IDS[:number]) for number in (200, 400))
    assert set(small) <= set(large)
    assert 20 < len(large) < 60


def test_a_small_percentage_is_one_device_at_least_and_none_of_none() -> None:
    assert len(rings.choose("loop", ring(percent=1), IDS[:3])) == 1
    assert rings.choose("loop", ring(percent=1), []) == ()


def test_rings_and_loops_draw_their_devices_apart() -> None:
    drawn = {rings.choose(loop, ring(name=name, count=20), IDS) for loop in "ab" for name in "cd"}
    assert len(drawn) == 4


def test_chosen_devices_are_named_in_the_condition_whatever_their_ids() -> None:
    ids = ["it's", "back\\slash", "plain"]
    condition = rings.condition(ring(count=3), {"canary": ids})
    parsed = parse_target_condition(condition)
    assert all(parsed.matches({"deviceId": one, "tags": {"fleet": "ny"}}) for one in ids)
    assert not parsed.matches({"deviceId": "other", "tags": {"fleet": "ny"}})
    assert not parsed.matches({"deviceId": "plain", "tags": {"fleet": "sf"}})


def test_a_ring_that_covers_the_earlier_ones_is_written_as_it_is() -> None:
    assert rings.target(LOOP.rollout.ring, 1, {}) == "tags.fleet = 'new-york'"


def test_a_ring_beside_the_earlier_ones_reaches_them_too_so_that_its_counts_are_about_all() -> None:
    first, second = ring(devices="tags.site = 'a'"), ring(name="rest", devices="tags.site = 'b' OR tags.site = 'c'")
    condition = parse_target_condition(rings.target([first, second], 1, {}))
    assert [condition.matches({"tags": {"site": site}}) for site in "abcd"] == [True, True, True, False]


@given(st.integers(1, 999_999_998))
def test_a_fallback_lies_above_the_bad_version_and_below_the_next_and_a_pin_above_all(bad: int) -> None:
    def offered(version: int) -> int:
        return rings.offer(LOOP, model(version), 0, store=STORE, members={}).priority

    fallback = rings.fallback(LOOP, model(1), instead_of=str(bad), store=STORE, members={})
    pin = rings.pin(LOOP, model(1), None, store=STORE, members={})
    assert offered(bad) < fallback.priority < offered(bad + 1) < pin.priority < 2**31


def test_a_fallback_reaches_every_ring_and_says_whose_place_it_takes() -> None:
    fallback = rings.fallback(LOOP, model(7), instead_of="8", store=STORE, members={})
    assert fallback.target == "tags.fleet = 'new-york'"
    assert fallback.labels["instead_of"] == "flight-delays:8"
    assert fallback.labels["model"] == "flight-delays:7"
    assert fallback.id.startswith("flight-delays-7-instead-of-8-")


def test_two_rings_of_one_name_and_a_count_with_a_percentage_are_refused() -> None:
    fields = {"devices": "tags.a = 1", "dwell": "0 s"}
    with pytest.raises(ValueError, match="one name"):
        Rollout.model_validate({"ring": [{"name": "a", **fields}, {"name": "a", **fields}]})
    with pytest.raises(ValueError, match="not both"):
        Rollout.model_validate({"ring": [{"name": "a", **fields, "count": 1, "percent": 5}]})


@pytest.mark.parametrize("devices", ["", "*", " "])
def test_all_devices_are_never_meant_by_leaving_the_condition_out(devices: str) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        ring(devices=devices)
