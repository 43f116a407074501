import asyncio
import gc
import io
import json
import pickle
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.model import Model
from tests.edge.device import Bench, desired, rows, until
from tests.edge.models import Folder, graph, model_folder, moved, signature
from tests.fakes.edge import FakeStore

ONE = {"temp": 41.0, "carrier": "AA"}


def on_a_device(tmp_path: Path, story: Callable[[Bench, httpx.AsyncClient], Awaitable[None]]) -> None:
    """Tell a story on a device where version 1 serves; in the end something must still serve."""

    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client() as client:
            await bench.serves("1")
            await story(bench, client)
            assert (await client.post("/score", content=rows(ONE))).status_code == 200

    asyncio.run(tell())


def test_a_newer_model_takes_over(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        before = (await client.post("/score", content=rows(ONE))).json()
        bench.deploy(model_folder("2"))
        await bench.serves("2")
        after = (await client.post("/score", content=rows(ONE))).json()
        assert (before["version"], after["version"]) == ("1", "2")
        assert after["scores"][0] > before["scores"][0]
        assert bench.hub.reported["model"]["sha256"] == model_folder("2").wanted.sha256

    on_a_device(tmp_path, story)


def test_models_that_served_before_are_let_go(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        before = _models()
        for version in ("2", "3", "4", "5"):
            assert (await client.post("/score", content=rows(ONE))).status_code == 200
            bench.deploy(model_folder(version))
            await bench.serves(version)
        await until(lambda: _models() <= before)  # the last one's window is still on its way to the hub

    on_a_device(tmp_path, story)


def _models() -> int:
    """How many there are in this process."""
    gc.collect()
    return sum(isinstance(one, Model) for one in gc.get_objects())


def test_a_patch_that_arrives_again_changes_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        reads, reports = len(bench.store.read_paths), len(bench.hub.reports)
        bench.hub.repeat()
        bench.hub.hang_up()
        await until(lambda: bench.hub.connections == 2 and len(bench.hub.reports) > reports)
        assert len(bench.store.read_paths) == reads
        assert bench.device.serving.swaps == 1

    on_a_device(tmp_path, story)


def test_the_newest_wins_while_an_older_one_still_loads(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.store.open.clear()
        bench.deploy(model_folder("2"))
        await until(lambda: bench.hub.reported.get("candidate", {}).get("version") == "2")
        bench.deploy(model_folder("3"))
        bench.store.open.set()
        await bench.serves("3")
        assert "2" not in {report["model"]["version"] for report in bench.hub.reports if report["model"]}

    on_a_device(tmp_path, story)


def test_going_back_while_a_newer_one_loads_leaves_the_old_one_serving(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.store.open.clear()
        bench.deploy(model_folder("2"))
        await until(lambda: bench.hub.reported.get("candidate"))
        bench.deploy(model_folder("1"))
        bench.store.open.set()
        await bench.serves("1")
        assert bench.device.serving.swaps == 1

    on_a_device(tmp_path, story)


def test_a_twin_without_a_model_leaves_what_serves(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.hub.deploy(None)
        bench.hub.deploy({"version": "9"})
        assert "twin's desired property" in await bench.refuses("9")
        bench.hub.deploy(None)
        await bench.serves("1")

    on_a_device(tmp_path, story)


def test_going_back_one_version_needs_no_store(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2"))
        await bench.serves("2")
        bench.store.away = True
        bench.hub.deploy(desired(model_folder("1")))
        await bench.serves("1")

    on_a_device(tmp_path, story)


def test_a_store_that_is_away_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.following.FIRST_RETRY_SECONDS", 0.01)

    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.store.away = True
        bench.deploy(model_folder("2"))
        await until(lambda: "no route" in str(bench.hub.reported.get("candidate", {}).get("reason")))
        assert bench.hub.reported["candidate"]["state"] == "fetching"
        bench.store.away = False
        await bench.serves("2")

    on_a_device(tmp_path, story)


def test_after_a_refusal_a_good_model_takes_over(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2").with_file("samples.json", b"{}"))
        await bench.refuses("2")
        bench.deploy(model_folder("3"))
        await bench.serves("3")

    on_a_device(tmp_path, story)


def external_data() -> bytes:
    model = graph(0.0)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/hostname")
    return bytes(model.SerializeToString())


def external_data_in_a_branch() -> bytes:
    branch = onnx.load_from_string(external_data()).graph
    del branch.input[:]
    node = helper.make_node("If", ["condition"], ["probabilities"], then_branch=branch, else_branch=branch)
    return bytes(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())


def archive() -> bytes:
    """A zip with a pickle in it, as other frameworks save their models."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("archive/data.pkl", pickle.dumps({"weights": [1.0]}))
    return content.getvalue()


def other_input() -> bytes:
    return bytes(graph(0.0).SerializeToString()).replace(b"features", b"numbers_")


def wrong_samples(**changes: object) -> bytes:
    return json.dumps(json.loads(model_folder("2").files["samples.json"]) | changes).encode()


UNFIT: dict[str, tuple[Callable[[], Folder], str]] = {
    "external data": (lambda: model_folder("2").with_file("model.onnx", external_data()), "external data"),
    "external data in a branch": (
        lambda: model_folder("2").with_file("model.onnx", external_data_in_a_branch()),
        "external data",
    ),
    "a pickle": (lambda: model_folder("2").with_file("model.onnx", pickle.dumps({"weights": [1.0]})), "not an ONNX"),
    "an archive": (lambda: model_folder("2").with_file("model.onnx", archive()), "not an ONNX"),
    "half a graph": (
        lambda: model_folder("2").with_file("model.onnx", graph(0.0).SerializeToString()[:-40]),
        "not an ONNX model",
    ),
    "another input": (lambda: model_folder("2").with_file("model.onnx", other_input()), "does not go with its sig"),
    "an unknown operator": (
        lambda: model_folder("2").with_file(
            "model.onnx", graph(0.0).SerializeToString().replace(b"Sigmoid", b"Evilest")
        ),
        "it has Evilest",
    ),
    "other scores": (lambda: model_folder("2").with_file("samples.json", wrong_samples(scores=[0.5] * 16)), "differ"),
    "too few scores": (lambda: model_folder("2").with_file("samples.json", wrong_samples(scores=[0.5])), "differ"),
    "any scores will do": (lambda: model_folder("2").with_file("samples.json", wrong_samples(tolerance=1.0)), "toler"),
    "other sample rows": (
        lambda: model_folder("2").with_file("samples.json", wrong_samples(rows=[{"temp": 1.0}] * 16)),
        "sample rows",
    ),
    "no signature": (lambda: model_folder("2").with_file("signature.json", b"{"), "signature.json"),
    "a signature with a twin feature": (
        lambda: model_folder("2").with_file(
            "signature.json", json.dumps(signature() | {"features": [{"name": "temp", "kind": "number"}] * 2}).encode()
        ),
        "contradicts itself",
    ),
    "a score column beyond the output": (
        lambda: model_folder("2").with_file(
            "signature.json", json.dumps(signature() | {"output": {"name": "probabilities", "column": 2}}).encode()
        ),
        "cannot score its own samples",
    ),
    "another profile": (
        lambda: model_folder("2").with_file("profile.json", model_folder("3").files["profile.json"]),
        "profile",
    ),
    "no profile": (lambda: model_folder("2").with_file("profile.json", b"\xff"), "profile.json"),
    "one file more": (lambda: model_folder("2").with_file("weights.pkl", b"."), "files a device loads"),
    "a foreign store": (lambda: moved(model_folder("2"), "https://evil.example/store/m/2/"), "outside"),
    "a name before the host": (lambda: moved(model_folder("2"), "https://models.example@evil.example/m/"), "outside"),
    "a way out of the store": (lambda: moved(model_folder("2"), "https://models.example/store/../keys/"), "outside"),
    "an encoded way out": (lambda: moved(model_folder("2"), "https://models.example/store/%2e%2e/keys/"), "outside"),
    "the store itself": (lambda: moved(model_folder("2"), "https://models.example/store/"), "outside"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_model_is_refused_with_its_reason_and_the_old_one_serves_on(tmp_path: Path, case: str) -> None:
    make, words = UNFIT[case]

    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(make())
        reason = await bench.refuses("2")
        assert words in reason
        assert "because:" in reason
        assert "\n" not in reason
        assert len(reason) <= 500
        assert bench.hub.reported["model"]["version"] == "1"
        assert (await client.post("/score", content=rows(ONE))).json()["version"] == "1"

    on_a_device(tmp_path, story)


def test_what_nobody_foresaw_ends_as_a_reason_too(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.store.breaks = KeyError("surprise")
        bench.deploy(model_folder("2"))
        assert "KeyError: 'surprise'" in await bench.refuses("2")

    on_a_device(tmp_path, story)


def fails_beyond(limit: float) -> bytes:
    """The same model, but its graph breaks for a temperature beyond the limit."""
    model = graph(0.5)
    table = numpy_helper.from_array(np.zeros((int(limit), 1), np.float32), "table")
    model.graph.initializer.extend([table, numpy_helper.from_array(np.array([0], np.int64), "first")])
    lookup = [
        helper.make_node("Gather", ["filled", "first"], ["temp"], axis=1),
        helper.make_node("Cast", ["temp"], ["place"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["place", "axis"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["nothing"], axis=0),
        helper.make_node("Add", ["linear", "nothing"], ["checked"]),
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    for place, node in enumerate(lookup):
        model.graph.node.insert(3 + place, node)
    next(node for node in model.graph.node if node.output[0] == "shifted").input[0] = "checked"
    return bytes(model.SerializeToString())


def test_a_graph_that_breaks_on_a_row_fails_that_request_and_no_other(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2").with_file("model.onnx", fails_beyond(100)))
        await bench.serves("2")
        reply = await client.post("/score", content=rows(ONE | {"temp": 1000.0}))
        assert (reply.status_code, reply.json()["error"]["code"]) == (500, "MODEL_FAILED")

    on_a_device(tmp_path, story)


@pytest.mark.parametrize("name", ["files.json", "model.onnx", "signature.json", "profile.json", "samples.json"])
def test_a_file_changed_in_the_store_breaks_the_chain_of_checksums(tmp_path: Path, name: str) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        folder = model_folder("2")
        changed = folder.files[name].replace(folder.files[name][-20:-19], b"\0")
        bench.store.put(folder.wanted.url, folder.files | {name: changed})
        bench.hub.deploy(desired(folder))
        assert f"{name} is not the file that was promoted" in await bench.refuses("2")

    on_a_device(tmp_path, story)


def test_a_file_that_grew_in_the_store_is_not_read_to_its_end(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        folder = model_folder("2")
        bench.store.put(folder.wanted.url, folder.files | {"model.onnx": folder.files["model.onnx"] + b"\0" * 10_000})
        bench.hub.deploy(desired(folder))
        assert "model.onnx is larger than it may be" in await bench.refuses("2")

    on_a_device(tmp_path, story)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        folder = model_folder("2")
        bench.store.put(folder.wanted.url, {name: folder.files[name] for name in ("files.json", "files.sig")})
        bench.hub.deploy(desired(folder))
        assert "the model store has no flight-delays/2/model.onnx" in await bench.refuses("2")

    on_a_device(tmp_path, story)


def test_a_model_too_large_for_the_device_is_not_fetched(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path, model_mebibytes=1)
        folder = model_folder("2").with_file("model.onnx", b"\0" * (1024 * 1024 + 1))
        bench.deploy(folder)
        async with bench.client():
            assert "too large" in await bench.refuses("2")
        assert bench.store.read_paths == ["flight-delays/2/files.json", "flight-delays/2/files.sig"]

    asyncio.run(tell())


def test_a_device_that_starts_offline_serves_what_served_last(tmp_path: Path) -> None:
    def first(bench: Bench, _: httpx.AsyncClient) -> Awaitable[None]:
        bench.deploy(model_folder("2"))
        return bench.serves("2")

    on_a_device(tmp_path, first)
    assert version_served_offline(tmp_path) == "2"


def test_a_damaged_disk_costs_one_version_not_the_service(tmp_path: Path) -> None:
    def first(bench: Bench, _: httpx.AsyncClient) -> Awaitable[None]:
        bench.deploy(model_folder("2"))
        return bench.serves("2")

    on_a_device(tmp_path, first)
    (tmp_path / model_folder("2").wanted.sha256 / "model.onnx").write_bytes(b"half")
    assert version_served_offline(tmp_path) == "1"


def test_only_the_last_two_models_stay_on_disk(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        for version in ("2", "3", "4"):
            bench.deploy(model_folder(version))
            await bench.serves(version)

    on_a_device(tmp_path, story)
    kept = {model_folder(version).wanted.sha256 for version in ("3", "4")}
    assert {path.name for path in tmp_path.iterdir()} == kept | {"served.json", "telemetry"}


def test_a_device_that_starts_with_nothing_waits_for_its_first_model(tmp_path: Path) -> None:
    (tmp_path / "served.json").write_text("not a list")
    assert version_served_offline(tmp_path) is None


def version_served_offline(tmp_path: Path) -> str | None:
    async def tell() -> str | None:
        bench = Bench(tmp_path, store=FakeStore("https://models.example/store/"))
        bench.store.away = bench.hub.away = True
        async with bench.client() as client:
            reply = await client.post("/score", content=rows(ONE))
            version: str | None = reply.json().get("version")
            return version

    return asyncio.run(tell())


def starts(folder: Path) -> Bench:
    """A device that starts from disk, and whose process then ends without being asked to."""
    bench = Bench(folder)
    bench.device.serving.start_from_disk()
    return bench


def serving(bench: Bench) -> str:
    model = bench.device.serving.model
    assert model is not None
    return model.wanted.version


def two_days(folder: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        bench.deploy(model_folder("2"))
        await bench.serves("2")

    on_a_device(folder, story)


def test_a_model_that_ends_the_process_again_and_again_is_left_for_the_one_before_it(tmp_path: Path) -> None:
    two_days(tmp_path)
    assert [serving(starts(tmp_path)) for _ in range(5)] == ["2", "2", "2", "1", "1"]

    async def next_day() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("2"))  # the twin has not changed
        async with bench.client() as client:
            reason = await bench.refuses("2")
            assert "the process ended 3 times within 60 s of a start" in reason
            assert (await client.post("/score", content=rows(ONE))).json()["version"] == "1"
            bench.deploy(model_folder("3"))
            await bench.serves("3")

    asyncio.run(next_day())
    assert serving(starts(tmp_path)) == "3"


def test_a_process_that_ends_because_it_was_asked_to_speaks_for_its_model(tmp_path: Path) -> None:
    two_days(tmp_path)

    async def a_day() -> None:
        async with Bench(tmp_path).client():
            pass

    for _ in range(3):
        starts(tmp_path)
        starts(tmp_path)
        asyncio.run(a_day())
    assert serving(starts(tmp_path)) == "2"


def test_a_process_that_lives_for_a_minute_speaks_for_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_days(tmp_path)
    monkeypatch.setattr("edge.serving.TRUSTED_SECONDS", 0.0)

    async def a_minute_and_then_the_end() -> None:
        serving = starts(tmp_path).device.serving
        living = asyncio.create_task(serving.trust())
        await until(lambda: not (tmp_path / "doubted.json").exists())
        living.cancel()

    for _ in range(5):
        asyncio.run(a_minute_and_then_the_end())
    assert serving(starts(tmp_path)) == "2"


def test_the_only_model_on_the_disk_is_kept_whatever_happens(tmp_path: Path) -> None:
    async def story(_: Bench, __: httpx.AsyncClient) -> None: ...

    on_a_device(tmp_path, story)
    assert [serving(starts(tmp_path)) for _ in range(6)] == ["1"] * 6
