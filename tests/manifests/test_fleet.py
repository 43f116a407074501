from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.manifests.effective import changes, collisions, effective, useless
from functions.manifests.fleet import change
from functions.ports import Deployment
from tests.manifests.wild import base as wild_base


def base(id: str = "base", priority: int = 0, target: str = "all") -> Deployment:  # noqa: A002 # as the port has it
    return Deployment(id, wild_base()["modulesContent"], target, priority, {}, {})


def layer(version: int, target: str = "all", content: Mapping[str, object] | None = None) -> Deployment:
    sections = content or {"filter": {"properties.desired.model": {"version": str(version), "url": "u"}}}
    return Deployment(f"v{version}", {"$edgeAgent": {}, **sections}, target, version, {}, {})


def version(*targeting: Deployment) -> object:
    model = effective(targeting).desired.get("filter", {}).get("model")
    return model["version"] if isinstance(model, dict) else None


def test_the_layer_of_the_highest_priority_counts_in_whatever_order_they_came() -> None:
    assert version(layer(8), base(), layer(7)) == "8"
    assert effective([layer(8), layer(7), base()]).applied == ("base", "v7", "v8")


def test_without_a_base_no_layer_has_an_effect() -> None:
    assert effective([layer(1)]).desired == {}


def test_a_layer_that_is_not_above_its_base_has_no_effect_and_is_told() -> None:
    low = base(priority=5)
    assert version(low, layer(5)) is None
    ((name, told),) = useless([low, layer(5)])
    assert (name, told.code) == ("v5", "LAYER_BELOW_BASE")


def test_a_path_leaves_its_neighbours_and_the_whole_does_not() -> None:
    one = layer(1, content={"filter": {"properties.desired": {"model": {"version": "1"}, "every": 5}}})
    two = layer(2, content={"filter": {"properties.desired.model.version": "2", "properties.desired.gone": None}})
    three = layer(3, content={"filter": {"properties.desired": {"every": 6}}})
    assert effective([base(), one, two]).desired["filter"] == {"model": {"version": "2"}, "every": 5}
    assert effective([base(), one, two, three]).desired["filter"] == {"every": 6}


def test_a_layer_adds_a_module_and_a_route_to_its_base() -> None:
    added = layer(
        1,
        content={
            "$edgeAgent": {"properties.desired.modules.more": {}},
            "$edgeHub": {"properties.desired.routes.r": "x"},
        },
    )
    desired = effective([base(), added]).desired
    assert list(desired["$edgeAgent"]["modules"]) == ["filter", "more"]  # type: ignore[call-overload]
    assert list(desired["$edgeHub"]["routes"]) == ["up", "r"]  # type: ignore[call-overload]


def test_nothing_that_was_given_is_changed() -> None:
    below = base()
    before = repr(below)
    effective([below, layer(1, content={"$edgeAgent": {"properties.desired.modules.filter.status": "stopped"}})])
    assert repr(below) == before


def test_equal_priorities_collide_where_they_set_the_same_thing() -> None:
    one, other = layer(3), Deployment("other", layer(4).content, "all", 3, {}, {})
    (told,) = collisions([base(), one, other])
    assert (told.code, told.pointer) == ("LAYER_COLLISION", "/filter/model")
    elsewhere = Deployment("else", {"$edgeAgent": {}, "filter": {"properties.desired.other": 1}}, "all", 3, {}, {})
    assert list(collisions([base(), one, elsewhere])) == []
    assert [told.code for told in collisions([base("a"), base("b")])] == ["LAYER_COLLISION"]


def test_two_models_for_one_site_are_each_as_new_as_their_own_layers() -> None:
    def of(module: str, number: int) -> Deployment:
        content = {"$edgeAgent": {}, module: {"properties.desired.model": {"version": str(number)}}}
        return Deployment(f"{module}-{number}", content, "all", 2 * number, {}, {})

    site = [base(), of("one", 3), of("other", 3), of("one", 2), of("other", 9)]
    desired = effective(site).desired
    assert (desired["one"], desired["other"]) == ({"model": {"version": "3"}}, {"model": {"version": "9"}})
    assert list(collisions(site)) == []


def test_devices_with_the_same_deployments_are_one_group() -> None:
    matched = {"all": ["a", "b", "c", "d"], "canary": ["c"]}
    seen = change([base(), layer(7)], [base(), layer(7), layer(8, "canary")], matched=matched)
    assert [(group.devices, len(group.changes)) for group in seen.groups] == [(["a", "b", "d"], 0), (["c"], 1)]
    assert seen.groups[1].changes == [(("filter", "model", "version"), "7", "8")]
    assert ([one.id for one in seen.made], seen.gone, seen.configurations) == (["v8"], [], 3)


def test_a_layer_that_a_change_overwrites_everywhere_is_told() -> None:
    matched = {"all": ["a", "b"], "canary": ["a"]}
    some = change([base(), layer(7)], [base(), layer(7), layer(8, "canary")], matched=matched)
    every = change([base(), layer(7)], [base(), layer(7), layer(8)], matched=matched)
    assert some.overwritten == []
    assert [one.code for one in every.overwritten] == ["LAYER_SHADOWED"]


def test_only_what_a_change_makes_wrong_is_told() -> None:
    matched = {"all": ["a"]}
    wrong = layer(8, content={"$edgeAgent": {"properties.desired.modules.filter.status": "started"}})
    (group,) = change([base()], [base(), wrong], matched=matched).groups
    assert [one.code for one in group.findings] == ["MODULE_STATUS"]
    (group,) = change([base(), wrong], [base(), wrong, layer(9)], matched=matched).groups
    assert group.findings == []


TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@settings(max_examples=50)
@given(TREES, TREES)
def test_changes_name_every_difference_and_nothing_else(before: dict[str, object], after: dict[str, object]) -> None:
    assert (list(changes(before, after)) == []) == (before == after)
    assert list(changes(before, before)) == []
