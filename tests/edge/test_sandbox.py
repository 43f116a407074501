"""What a hostile model does to ONNX Runtime ends in the process that tried it, and the old model serves on."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edge.errors import Away, Unfit
from edge.sandbox import Sandbox
from tests.edge.device import SANDBOX, Bench, rows
from tests.edge.models import Folder, model_folder

DEEP = 50_000  # levels of one tree: ONNX Runtime descends by recursion, and runs out of stack


def model_of(nodes: list[NodeProto], **constants: object) -> bytes:
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def deep_tree() -> bytes:
    """A tree that is one long chain: every node leads to the next, or to a leaf."""
    leaves, count = range(DEEP, 2 * DEEP + 1), 2 * DEEP + 1
    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["probabilities"], domain="ai.onnx.ml", n_targets=2,
        nodes_treeids=[0] * count, nodes_nodeids=list(range(count)), nodes_featureids=[0] * count,
        nodes_modes=["BRANCH_LEQ"] * DEEP + ["LEAF"] * (DEEP + 1), nodes_values=[0.5] * count,
        nodes_truenodeids=[*range(1, DEEP), count - 1, *[0] * (DEEP + 1)],
        nodes_falsenodeids=[*range(DEEP, 2 * DEEP), *[0] * (DEEP + 1)],
        target_treeids=[0] * (DEEP + 1), target_nodeids=list(leaves), target_ids=[0] * (DEEP + 1),
        target_weights=[1.0] * (DEEP + 1),
    )  # fmt: skip
    return model_of([node])


def swollen() -> bytes:
    """A few bytes that ask for 400 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["sum"], keepdims=1),
        helper.make_node("Add", ["features", "sum"], ["probabilities"]),
    ]
    return model_of(nodes, shape=np.array([100_000, 1_000_000], np.int64))


def slow() -> bytes:
    """A few bytes that compute for minutes: the product of large matrices, again and again."""
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["p0"])]
    nodes += [helper.make_node("MatMul", [f"p{n}", f"p{n}"], [f"p{n + 1}"]) for n in range(60)]
    nodes += [
        helper.make_node("ReduceSum", ["p60"], ["sum"], keepdims=1),
        helper.make_node("Add", ["features", "sum"], ["probabilities"]),
    ]
    return model_of(nodes, shape=np.array([3_000, 3_000], np.int64))


def looping() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [helper.make_tensor_value_info("n", TensorProto.INT64, []), helper.make_tensor_value_info("go", 9, [])],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    nodes = [
        helper.make_node("Loop", ["", "yes"], [], body=body),
        helper.make_node("Identity", ["features"], ["probabilities"]),
    ]
    return model_of(nodes, yes=np.bool_(1))


def rolling_dice() -> bytes:
    return model_of([helper.make_node("RandomNormalLike", ["features"], ["probabilities"])])


def of_another_domain() -> bytes:
    return model_of([helper.make_node("Evil", ["features"], ["probabilities"], domain="com.evil")])


def with_functions() -> bytes:
    model = onnx.load_from_string(model_folder("2").files["model.onnx"])
    model.functions.add(name="f", domain="")
    return bytes(model.SerializeToString())


def of_the_future() -> bytes:
    model = onnx.load_from_string(model_folder("2").files["model.onnx"])
    model.opset_import[0].version = 99
    return bytes(model.SerializeToString())


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a tree that overflows the stack": (deep_tree, "ended with signal SIGSEGV"),
    "more memory than there is": (swollen, "cannot score its own samples"),
    "an endless loop": (looping, "it has Loop"),
    "dice": (rolling_dice, "it has RandomNormalLike"),
    "operators from elsewhere": (of_another_domain, "it has com.evil.Evil"),
    "operators it brings along": (with_functions, "functions of its own"),
    "operators of the future": (of_the_future, "ai.onnx 99"),
}


def hostile(case: str) -> Folder:
    return model_folder("2").with_file("model.onnx", HOSTILE[case][0]())


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_model_is_refused_and_the_old_one_serves_on(tmp_path: Path, case: str) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client() as client:
            await bench.serves("1")
            bench.deploy(hostile(case))
            assert HOSTILE[case][1] in await bench.refuses("2")
            reply = await client.post("/score", content=rows({"temp": 41.0, "carrier": "AA"}))
            assert (reply.status_code, reply.json()["version"]) == (200, "1")
            bench.deploy(model_folder("3"))
            await bench.serves("3")

    asyncio.run(tell())


@pytest.fixture
def sound(tmp_path: Path) -> Folder:
    return on_disk(tmp_path, model_folder("2"))


def on_disk(folder: Path, model: Folder) -> Folder:
    for name, content in model.files.items():
        (folder / name).write_bytes(content)
    return model


def test_a_model_that_takes_its_time_is_killed(tmp_path: Path) -> None:
    model = on_disk(tmp_path, model_folder("2").with_file("model.onnx", slow()))
    with Sandbox(mebibytes=2_048, seconds=1) as sandbox, pytest.raises(Unfit, match=r"SIG(XCPU|KILL)"):
        sandbox.check(tmp_path, model.wanted)


def test_memory_is_limited_beyond_what_the_interpreter_has(tmp_path: Path, sound: Folder) -> None:
    with Sandbox(mebibytes=1, seconds=20) as sandbox, pytest.raises(Unfit, match=r"CHECK_MEBIBYTES|ONNX Runtime"):
        sandbox.check(tmp_path, sound.wanted)


def test_a_process_that_ended_while_idle_is_started_again(tmp_path: Path, sound: Folder) -> None:
    SANDBOX.check(tmp_path, sound.wanted)
    assert SANDBOX._process
    SANDBOX._process.kill()
    SANDBOX._process.wait()
    SANDBOX.check(tmp_path, sound.wanted)


def test_the_process_that_tries_models_knows_no_secret(
    tmp_path: Path, sound: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EdgeHubConnectionString", "SharedAccessKey=secret")
    with Sandbox(mebibytes=2_048, seconds=20) as sandbox:
        sandbox.check(tmp_path, sound.wanted)
        assert sandbox._process
        told = Path(f"/proc/{sandbox._process.pid}/environ").read_bytes()
    assert b"PYTHONPATH" in told
    assert b"secret" not in told


@pytest.mark.parametrize("command", [(sys.executable, "-c", ""), (sys.executable, "-c", "import nothing_at_all")])
def test_a_sandbox_that_cannot_run_blames_no_model(tmp_path: Path, sound: Folder, command: tuple[str, ...]) -> None:
    with Sandbox(mebibytes=2_048, seconds=20, command=command) as sandbox, pytest.raises(Away, match="could not be"):
        sandbox.check(tmp_path, sound.wanted)
