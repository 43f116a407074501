import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.manifests.model import Base, Layer, Module, Route, Settings, Variable
from functions.manifests.options import chunked, joined, parsed
from tests.manifests.published import schema
from tests.manifests.wild import PINNED

FEW = settings(max_examples=25)

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)
MODULES = st.builds(
    Module,
    settings=st.builds(Settings, image=st.just(PINNED), options=st.dictionaries(st.text(max_size=9), JSON, max_size=4)),
    env=st.none() | st.dictionaries(NAMES, st.builds(Variable, value=st.text() | st.booleans() | st.integers())),
    status=st.sampled_from(["running", "stopped"]),
    restart_policy=st.sampled_from(["never", "on-failure", "on-unhealthy", "always"]),
    startup_order=st.none() | st.integers(0, 2**32 - 1),
    version=st.none() | st.text(max_size=5),
)
ROUTES = st.just("FROM /* INTO $upstream") | st.builds(
    Route, route=st.just("FROM /* INTO $upstream"), priority=st.none() | st.integers(0, 9)
)
LAYERS = st.builds(
    Layer,
    modules=st.dictionaries(NAMES, MODULES, max_size=3),
    routes=st.dictionaries(NAMES, ROUTES, max_size=3),
    twins=st.dictionaries(NAMES, st.dictionaries(NAMES, JSON, min_size=1, max_size=3), max_size=3),
)


def written(content: object) -> bytes:
    return json.dumps(content).encode()


@FEW
@given(LAYERS)
def test_a_layer_read_back_is_written_to_the_same_bytes(layer: Layer) -> None:
    content: Any = json.loads(written(layer.content()))
    assert Layer.parse(content) == layer
    assert written(Layer.parse(content).content()) == written(content)


@FEW
@given(st.dictionaries(NAMES, MODULES, max_size=3), st.dictionaries(NAMES, ROUTES, max_size=3))
def test_a_base_read_back_is_written_to_the_same_bytes(
    modules: dict[str, Module], routes: dict[str, str | Route]
) -> None:
    content = json.loads(written(whole(modules, routes).content()))
    assert written(Base.parse(content).content()) == written(content)


@FEW
@given(st.dictionaries(NAMES, MODULES, max_size=3), st.dictionaries(NAMES, ROUTES, max_size=3))
def test_a_base_passes_the_published_schemas(modules: dict[str, Module], routes: dict[str, str | Route]) -> None:
    # That of $edgeAgent alone is of no use: as published, it wants the modules beside properties.desired
    deployment, hub = schema("azure-iot-edge-deployment-2.0"), schema("azure-iot-edgehub-deployment-1.1")
    content: Any = json.loads(written(whole(modules, routes).content()))
    assert list(deployment.iter_errors({"modulesContent": content})) == []
    assert list(hub.iter_errors({"$edgeHub": content["$edgeHub"]})) == []


def whole(modules: dict[str, Module], routes: dict[str, str | Route]) -> Base:
    agent = {
        "systemModules": {
            "edgeAgent": {"settings": Settings(image="a:1")},
            "edgeHub": Module(settings=Settings(image="h:1")),
        },
        "modules": modules,
    }
    return Base.model_validate(
        {"agent": agent, "hub": {"routes": routes, "storeAndForwardConfiguration": {"timeToLiveSecs": 5}}}
    )


def test_what_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Module.model_validate({"settings": {"image": "a:1", "createOptions": "{}"}, "privileged": True})


@given(st.text(max_size=3000))
def test_chunks_join_up_to_what_was_cut(options: str) -> None:
    parts = chunked(options)
    assert joined(parts) == (options or "{}")
    assert all(len(part) <= 512 for part in parts.values())


@pytest.mark.parametrize("text", ["", "  ", "null", "{}", "NULL"])
def test_no_options_are_an_empty_object(text: str) -> None:
    assert parsed(text) == {}


def test_options_are_read_as_leniently_as_the_agent_reads_them() -> None:
    assert parsed("{'Env': ['it\\'s'], /* x */ HostConfig: {\"a\": 1,},}") == {"Env": ["it's"], "HostConfig": {"a": 1}}
