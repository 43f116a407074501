import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest

from sketch.profile import Profile
from tests.edge.device import Bench, rows, until
from tests.edge.models import CARRIERS, ROWS, TEMP_WEIGHT, Folder, expected, folder, graph, model_folder
from tests.edge.test_serving import fails_beyond
from tests.edge.test_telemetry import on_a_device

ONE = {"temp": 41.0, "carrier": "AA"}


def beside_model_1(
    tmp_path: Path, story: Callable[[Bench, httpx.AsyncClient], Awaitable[None]], **settings: int
) -> list[dict[str, Any]]:
    """Tell a story on a device where version 1 serves, to its end; returns what it told the hub."""

    async def to_its_end(bench: Bench, client: httpx.AsyncClient) -> None:
        await story(bench, client)
        assert (await client.post("/score", content=rows(ONE))).json()["version"] == "1"

    return on_a_device(tmp_path, to_its_end, **settings)


async def shadows(bench: Bench, version: str, state: str = "scoring") -> dict[str, Any]:
    def shows() -> bool:
        shown = bench.hub.reported.get("shadow", {})
        return (shown.get("version"), shown.get("state")) == (version, state)

    await until(shows)
    shown: dict[str, Any] = bench.hub.reported["shadow"]
    return shown


def told_of_one_row(tmp_path: Path, silent: Folder) -> dict[str, Any]:
    """What a device tells of a row that version 2 scored silently."""

    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(silent, slot="shadow")
        await shadows(bench, "2")
        await client.post("/score", content=rows(ONE))
        await until(lambda: bench.device.shadow._rows == 1)

    (message,) = beside_model_1(tmp_path, story)
    return message


def test_a_shadow_scores_the_same_rows_and_only_its_disagreement_is_told(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("3"), slot="shadow")
        assert (await shadows(bench, "3"))["reason"] is None
        reply = (await client.post("/score", content=rows(*ROWS))).json()
        assert reply["scores"] == pytest.approx([expected(row) for row in ROWS], abs=1e-5)
        await until(lambda: bench.device.shadow._rows == len(ROWS))
        bench.device.telemetry.close()
        await until(lambda: bench.hub.messages)
        assert "shadow" not in bench.hub.reported["model"]

    first, second = beside_model_1(tmp_path, story)
    served, silent = ([expected(row, bias) for row in ROWS] for bias in (0.0, 1.0))
    assert first["version"] == "1"
    assert first["shadow"] == {
        "version": "3",
        "rows": len(ROWS),
        "moved": pytest.approx(np.mean(np.abs(np.array(served) - silent)), abs=1e-5),
        "flipped": sum((a < 0.5) != (b < 0.5) for a, b in zip(served, silent, strict=True)),
    }
    assert first["shadow"]["flipped"] > 0
    assert second["rows"] == 1


def test_without_a_shadow_nothing_is_said_of_one(tmp_path: Path) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        await client.post("/score", content=rows(ONE))

    (message,) = beside_model_1(tmp_path, story)
    assert "shadow" not in message


def test_a_shadow_that_is_not_wanted_any_more_ends(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2"), slot="shadow")
        await shadows(bench, "2")
        bench.deploy(model_folder("3"), slot="shadow")
        await shadows(bench, "3")
        bench.hub.deploy(None, slot="shadow")
        await until(lambda: "shadow" not in bench.hub.reported)
        assert bench.device.shadow.model is None

    beside_model_1(tmp_path, story)


def test_a_shadow_that_takes_over_is_not_fetched_twice(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
            bench.deploy(model_folder("2"), slot="shadow")
            await shadows(bench, "2")
            reads = len(bench.store.reads)
            bench.deploy(model_folder("2"))
            await bench.serves("2")
            assert len(bench.store.reads) == reads

    asyncio.run(tell())


def test_an_unfit_shadow_is_refused_like_any_model(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2").with_file("samples.json", b"{}"), slot="shadow")
        assert "samples.json" in (await shadows(bench, "2", "failed"))["reason"]
        assert "candidate" not in bench.hub.reported
        bench.hub.deploy({"version": "9", "sha256": "?"}, slot="shadow")
        assert "desired property `shadow`" in (await shadows(bench, "9", "failed"))["reason"]

    beside_model_1(tmp_path, story)


def test_a_shadow_that_breaks_on_a_row_breaks_no_answer(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2").with_file("model.onnx", fails_beyond(100)), slot="shadow")
        await shadows(bench, "2")
        reply = await client.post("/score", content=rows(ONE | {"temp": 1000.0}))
        assert reply.status_code == 200
        assert "could not score" in (await shadows(bench, "2", "failed"))["reason"]

    beside_model_1(tmp_path, story)


def turned(version: str = "2") -> Folder:
    """Model 2 with its features in another order."""
    model = graph(0.5)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights)[::-1].copy(), "weights"))
    given = model_folder(version)
    document = json.loads(given.files["signature.json"])
    document["features"].reverse()
    changed = {"model.onnx": model.SerializeToString(), "signature.json": json.dumps(document).encode()}
    return folder(version, given.files | changed, profile=given.wanted.profile)


def test_a_shadow_that_lists_its_features_in_another_order_gets_them_so(tmp_path: Path) -> None:
    message = told_of_one_row(tmp_path, turned())
    assert message["shadow"]["moved"] == pytest.approx(expected(ONE, 0.5) - expected(ONE), abs=1e-5)


def recoded() -> Folder:
    """Model 2 with its categories in another order, hence with other codes: the first is now the last."""
    given = model_folder("2")
    document = json.loads(given.files["signature.json"])
    document["features"][1]["categories"].reverse()
    samples = json.loads(given.files["samples.json"])
    samples["scores"] = [expected(_turned_round(row), 0.5) for row in samples["rows"]]
    changed = {"signature.json": json.dumps(document).encode(), "samples.json": json.dumps(samples).encode()}
    return folder("2", given.files | changed, profile=given.wanted.profile)


def _turned_round(row: dict[str, object]) -> dict[str, object]:
    other = dict(zip(CARRIERS, reversed(CARRIERS), strict=True))
    return row | {"carrier": other.get(str(row["carrier"]))}


def test_a_shadow_reads_categories_by_its_own_codes(tmp_path: Path) -> None:
    message = told_of_one_row(tmp_path, recoded())
    served, silent = expected(ONE), expected(_turned_round(ONE), 0.5)
    assert message["shadow"]["moved"] == pytest.approx(abs(silent - served), abs=1e-5)


def narrow() -> Folder:
    """A model of one feature that nobody asks with here."""
    names = {"pressure": [1.0, 2.0]}
    scores = [1 / (1 + np.exp(-TEMP_WEIGHT * value)) for value in names["pressure"]]
    model = onnx.load_from_string(graph(0.0).SerializeToString().replace(b"features", b"features"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(onnx.numpy_helper.from_array(np.array([[TEMP_WEIGHT]], np.float32), "weights"))
    profile = Profile.build(names, kinds={"pressure": "number"}, scores=np.array(scores))
    files = {
        "model.onnx": model.SerializeToString(),
        "signature.json": json.dumps(
            {
                "features": [{"name": "pressure", "kind": "number"}],
                "input": "features",
                "output": {"name": "probabilities", "column": 1},
            }
        ).encode(),
        "profile.json": profile.to_json().encode(),
        "samples.json": json.dumps(
            {"rows": [{"pressure": value} for value in names["pressure"]], "scores": scores, "tolerance": 1e-5}
        ).encode(),
    }
    return folder("2", files, profile=profile.hash)


def test_a_shadow_that_needs_what_nobody_sends_says_so(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(narrow(), slot="shadow")
        await shadows(bench, "2")
        await client.post("/score", content=rows(ONE))
        assert "other features" in (await shadows(bench, "2", "failed"))["reason"]

    beside_model_1(tmp_path, story)


def test_what_a_shadow_has_no_time_for_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.shadow.QUEUE_ROWS", 3)

    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2"), slot="shadow")
        await shadows(bench, "2")
        await client.post("/score", content=rows(ONE, ONE, ONE, ONE))
        assert bench.device.shadow.left_out == 4
        assert "refluent_edge_shadow_rows_left_out_total 4.0" in (await client.get("/metrics")).text

    beside_model_1(tmp_path, story)
