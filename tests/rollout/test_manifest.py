import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.loops import read
from functions.ports import ModelVersion
from functions.rollout.manifest import base, chunked, layer

LOOP = read(Path("loops/flight-delays.toml"))
MODEL = ModelVersion("flight-delays", "12", "flight-delays/12", {"job": "rt", "sha256": "ab12", "profile": "0f" * 8})
STORE = "https://refluent.blob.core.windows.net"


def test_a_layer_changes_nothing_but_the_module_s_twin() -> None:
    assert layer(LOOP, MODEL, 0, store=STORE).content == {
        "$edgeAgent": {},
        "inference": {
            "properties.desired.model": {
                "model": "flight-delays",
                "version": "12",
                "sha256": "ab12",
                "url": "https://refluent.blob.core.windows.net/models/flight-delays/12/",
                "profile": "0f0f0f0f0f0f0f0f",
            }
        },
    }


def test_priority_is_the_version_so_that_order_does_not_matter() -> None:
    assert layer(LOOP, MODEL, 1, store=STORE).priority == 12


def test_the_id_follows_from_the_content_and_fits_iot_hub() -> None:
    canary = layer(LOOP, MODEL, 0, store=STORE)
    assert canary.id == layer(LOOP, MODEL, 0, store=STORE).id
    assert canary.id != layer(LOOP, MODEL, 0, store="https://other.blob.core.windows.net").id
    assert canary.id.startswith("flight-delays-12-canary-")
    assert canary.id == canary.id.lower()
    assert len(canary.id) <= 128


@pytest.mark.parametrize("ring", [0, 1])
def test_every_layer_counts_who_serves_it_and_who_refused_it(ring: int) -> None:
    metrics = layer(LOOP, MODEL, ring, store=STORE).metrics
    assert set(metrics) == {"ready", "failed"}
    assert all("version = '12'" in query for query in metrics.values())


def test_the_base_runs_the_module_and_routes_its_telemetry() -> None:
    image = "refluent.azurecr.io/inference@sha256:" + "5" * 64
    made = base(LOOP, image=image, devices="tags.fleet = 'ny'", environment={"B": "2", "A": "1"})
    agent = made.content["$edgeAgent"]
    assert isinstance(agent, dict)
    module = agent["properties.desired"]["modules"]["inference"]
    assert module["settings"]["image"] == image
    assert list(module["env"]) == ["A", "B"]
    assert made.priority == 0


@given(st.text(max_size=3000))
def test_chunks_join_up_to_what_was_cut(options: str) -> None:
    parts = chunked(options)
    assert "".join(parts[name] for name in sorted(parts)) == (options or "{}")
    assert all(len(part) <= 512 for part in parts.values())
    assert json.dumps(parts)
