import json
from pathlib import Path

import pytest

from functions.loops import Loop, Module, read
from functions.manifests.check import check
from functions.manifests.model import Base, Layer
from functions.manifests.read import read as read_manifest
from functions.ports import Deployment, ModelVersion
from functions.rollout.manifest import base, layer
from tests.manifests.published import schema

LOOP = read(Path("tests/loops/flight-delays.toml"))
MODEL = ModelVersion("flight-delays", "12", "flight-delays/12", {"job": "rt", "sha256": "ab12", "profile": "0f" * 8})
STORE = "https://refluent.blob.core.windows.net"
IMAGE = "refluent.azurecr.io/inference@sha256:" + "5" * 64
INGEST = "refluent.azurecr.io/ingest@sha256:" + "6" * 64
GOLDEN = Path(__file__).parent / "golden"


def site() -> Loop:
    """A loop for a Stack Edge with a GPU: the scoring module, and one that takes files from a share."""
    scoring = Module(name="inference", gpu="stack edge", ports={"8080/tcp": 80})
    shares = {"flights": "/out", **{f"plant-hall-{hall}-line-{hall}": f"/in/hall-{hall}" for hall in range(9)}}
    ingest = Module.model_validate(
        {
            "name": "ingest",
            "image": INGEST,
            "shares": shares,
            "environment": {"SHARE": "/in"},
            "memory": "512 MB",
            "restart": "on-unhealthy",
            "feeds": {"rows": "inference/rows"},
        }
    )
    return LOOP.model_copy(update={"module": [ingest, scoring]})


def made(loop: Loop) -> Deployment:
    return base(loop, image=IMAGE, devices="tags.fleet = 'ny'", environment={"B": "2", "A": "1"})


BASES = {"base-of-one-module": LOOP, "base-of-a-stack-edge": site()}


@pytest.mark.parametrize("name", BASES)
def test_a_base_is_what_the_golden_file_says(name: str) -> None:
    written = json.dumps({"modulesContent": made(BASES[name]).content}, indent=1) + "\n"
    assert written == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


def test_a_layer_is_what_the_golden_file_says() -> None:
    written = json.dumps({"modulesContent": layer(LOOP, MODEL, 0, store=STORE).content}, indent=1) + "\n"
    assert written == (GOLDEN / "layer.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.stem)
def test_what_we_make_is_inside_our_own_fence(path: Path) -> None:
    manifest = read_manifest(path.read_bytes(), name=path.name)
    found = check(manifest, registries=["refluent.azurecr.io"])
    assert {one.code for one in found} <= {"IMAGE_RUNTIME_TAG"}
    assert manifest.kind == ("layered" if path.stem == "layer" else "base")


@pytest.mark.parametrize("name", BASES)
def test_a_base_reads_back_to_the_same_bytes_and_passes_the_published_schema(name: str) -> None:
    content = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["modulesContent"]
    assert json.dumps(Base.parse(content).content()) == json.dumps(content)
    assert list(schema("azure-iot-edge-deployment-2.0").iter_errors({"modulesContent": content})) == []


def test_a_layer_reads_back_to_the_same_bytes() -> None:
    content = json.loads((GOLDEN / "layer.json").read_text(encoding="utf-8"))["modulesContent"]
    assert json.dumps(Layer.parse(content).content()) == json.dumps(content)


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


def test_tags_of_a_model_never_reach_the_manifest() -> None:
    lineage = {**MODEL.lineage, "createOptions": '{"HostConfig":{"Privileged":true}}', "image": "evil.io/x:latest"}
    tagged = ModelVersion(MODEL.model, MODEL.version, MODEL.folder, lineage)
    assert layer(LOOP, tagged, 0, store=STORE).content == layer(LOOP, MODEL, 0, store=STORE).content
