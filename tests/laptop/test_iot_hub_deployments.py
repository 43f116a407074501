"""Automatic deployments: base and layers, priorities, ties, orphans, what is refused."""

from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.iot_hub.deployments import Configuration, InvalidConfiguration, resolve, system_queries, validate
from laptop.iot_hub.query import parse_query

EDGE: dict[str, object] = {"deviceId": "d", "tags": {"ring": "canary"}, "capabilities": {"iotEdge": True}}


def base(name: str = "base", *, priority: int = 0, serial: int = 1, condition: str = "*") -> Configuration:
    modules: Mapping[str, Mapping[str, object]] = {
        "$edgeAgent": {"properties.desired": {"modules": {"inference": {"image": name}}}},
        "inference": {"properties.desired": {"rate": 1}},
    }
    return Configuration(name, modules, condition, priority, serial)


def layer(name: str, *, priority: int, serial: int = 2, condition: str = "*") -> Configuration:
    modules = {"$edgeAgent": {}, "inference": {"properties.desired.model": {"version": name}}}
    return Configuration(name, modules, condition, priority, serial)


def test_the_base_of_the_highest_priority_wins() -> None:
    found = resolve(EDGE, [base("low", priority=1), base("high", priority=2, serial=2)])
    assert [one.id for one in found.applied] == ["high"]
    assert found.status("$edgeAgent") == {"low": "Targeted", "high": "Applied"}


def test_among_equal_priorities_the_newest_wins() -> None:
    older, newer = layer("1", priority=5, serial=2), layer("2", priority=5, serial=3)
    found = resolve(EDGE, [newer, older, base()])
    assert found.desired("inference", {}) == {"rate": 1, "model": {"version": "2"}}


def test_a_layer_at_or_below_its_bases_priority_is_targeted_but_not_applied() -> None:
    found = resolve(EDGE, [base(priority=5), layer("1", priority=5)])
    assert found.desired("inference", {}) == {"rate": 1}
    assert found.status("inference") == {"base": "Applied", "1": "Targeted"}


def test_a_layer_that_leaves_the_agent_alone_is_never_applied_there() -> None:
    found = resolve(EDGE, [base(), layer("1", priority=1)])
    assert found.status("$edgeAgent") == {"base": "Applied", "1": "Targeted"}
    assert found.status("inference")["1"] == "Applied"


def test_a_whole_section_overwrites_the_layers_below_and_a_path_does_not() -> None:
    whole = Configuration("w", {"$edgeAgent": {}, "inference": {"properties.desired": {"only": 1}}}, "*", 2, 3)
    assert resolve(EDGE, [base(), layer("1", priority=1), whole]).desired("inference", {"x": 1}) == {"only": 1}
    top = layer("2", priority=3)
    assert resolve(EDGE, [base(), whole, top]).desired("inference", {}) == {"only": 1, "model": {"version": "2"}}


def test_without_a_base_a_device_keeps_what_it_has() -> None:
    found = resolve(EDGE, [layer("1", priority=1)])
    assert found.applied == ()
    assert found.desired("inference", {"model": {"version": "0"}}) is None


def test_paths_alone_leave_the_other_properties_behind() -> None:
    bare = Configuration("base", {"$edgeAgent": {"properties.desired": {}}}, "*", 0, 1)
    kept = resolve(EDGE, [bare, layer("1", priority=1)]).desired("inference", {"left": "behind"})
    assert kept == {"left": "behind", "model": {"version": "1"}}


def test_a_null_in_a_configuration_removes_what_a_lower_one_sets() -> None:
    removes = Configuration("n", {"$edgeAgent": {}, "inference": {"properties.desired.rate": None}}, "*", 1, 2)
    assert resolve(EDGE, [base(), removes]).desired("inference", {}) == {}


def test_layers_add_modules_to_the_agent() -> None:
    adds = {"$edgeAgent": {"properties.desired.modules.ingest": {"image": "i"}}}
    found = resolve(EDGE, [base(), Configuration("i", adds, "*", 1, 2)])
    assert found.desired("$edgeAgent", {}) == {"modules": {"inference": {"image": "base"}, "ingest": {"image": "i"}}}
    assert found.status("$edgeAgent")["i"] == "Applied"


@pytest.mark.parametrize("condition", ["", "tags.ring = 'prod'"])
def test_a_device_outside_the_condition_is_not_targeted(condition: str) -> None:
    assert resolve(EDGE, [base(condition=condition)]).targeted == ()


def test_a_device_that_is_no_edge_device_is_not_targeted() -> None:
    assert resolve({**EDGE, "capabilities": {"iotEdge": False}}, [base()]).targeted == ()
    assert resolve({"deviceId": "d"}, [base()]).targeted == ()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_outcome_depends_on_the_order_of_creation_for_ties_only(priorities: list[int], random: Random) -> None:
    layers = [layer(f"l{serial}", priority=one, serial=serial) for serial, one in enumerate(priorities, 2)]
    shuffled = [base(), *layers]
    random.shuffle(shuffled)
    winner = max(layers, key=lambda one: (one.priority, one.serial))
    found = resolve(EDGE, shuffled)
    assert found.desired("inference", {}) == {"rate": 1, "model": {"version": winner.id}}


@given(st.permutations([1, 2, 3, 4]))
def test_distinct_priorities_commute_whatever_was_created_first(serials: list[int]) -> None:
    layers = [layer(f"v{priority}", priority=priority, serial=serial + 1) for priority, serial in enumerate(serials, 1)]
    assert resolve(EDGE, [base(), *layers]).desired("inference", {}) == {"rate": 1, "model": {"version": "v4"}}


def test_system_queries_are_queries() -> None:
    for text in system_queries(base("a-b+c%d_*!'", condition="tags.x = 1 OR tags.y = 2")).values():
        parse_query(text)


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        (Configuration("Upper", base().modules, "*", 0, 1), "ArgumentInvalid"),
        (Configuration("x" * 129, base().modules, "*", 0, 1), "ArgumentInvalid"),
        (Configuration("x", base().modules, "*", -1, 1), "ArgumentInvalid"),
        (Configuration("x", base().modules, "edge", 0, 1), "InvalidConfigurationTargetCondition"),
        (Configuration("x", {"m": {}}, "*", 0, 1), "InvalidConfigurationContent"),
        (Configuration("x", {"$edgeAgent": {"desired": {}}}, "*", 0, 1), "InvalidConfigurationContent"),
        (Configuration("x", {"$edgeAgent": {"properties.desired": 1}}, "*", 0, 1), "InvalidConfigurationContent"),
        (
            Configuration("x", {"$edgeAgent": {"properties.desired": {"k": "x" * 5000}}}, "*", 0, 1),
            "InvalidConfigurationContent",
        ),
        (
            Configuration("x", {"$edgeAgent": {}, **{f"m{n}": {} for n in range(50)}}, "*", 0, 1),
            "InvalidConfigurationContent",
        ),
        (Configuration("x", base().modules, "*", 0, 1, {"m": "SELEC"}), "InvalidConfigurationCustomMetricsQuery"),
        (
            Configuration("x", base().modules, "*", 0, 1, {f"m{n}": "SELECT * FROM devices" for n in range(6)}),
            "InvalidConfigurationCustomMetricsQuery",
        ),
    ],
)
def test_what_the_service_would_not_store_is_refused_with_its_code(configuration: Configuration, code: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        validate(configuration)
    assert refused.value.code == code
