import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge.errors import Unfit
from edge.onnx_wire import look_into
from tests.edge.models import graph

MODEL = graph(0.0).SerializeToString()


def external() -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secrets")
    return tensor


def model(*, nodes: list[onnx.NodeProto] | None = None, **parts: object) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(nodes or [], "g", [], [], **parts))


def in_a_sparse_tensor() -> onnx.ModelProto:
    sparse = onnx.SparseTensorProto(values=external(), dims=[1])
    return model(sparse_initializer=[sparse])


def in_an_attribute() -> onnx.ModelProto:
    return model(nodes=[helper.make_node("Constant", [], ["c"], value=external())])


def in_a_list_of_tensors() -> onnx.ModelProto:
    node = helper.make_node("Custom", [], ["c"])
    node.attribute.add(name="all", type=onnx.AttributeProto.TENSORS).tensors.append(external())
    return model(nodes=[node])


def in_a_function() -> onnx.ModelProto:
    inner = helper.make_node("Constant", [], ["c"], value=external())
    found = model()
    found.functions.append(helper.make_function("d", "f", [], ["c"], [inner], [helper.make_opsetid("", 17)]))
    return found


def in_training() -> onnx.ModelProto:
    found = model()
    found.training_info.add().algorithm.initializer.append(external())
    return found


def behind_many_scalars() -> onnx.ModelProto:
    node = helper.make_node("Trees", [], ["c"], weights=[1.5] * 9_000, nodes=[2**40, 1] * 9_000, modes=["LEQ"] * 50)
    node.attribute.append(helper.make_attribute("last", external()))
    return model(nodes=[node])


@pytest.mark.parametrize(
    "make",
    [
        lambda: model(initializer=[external()]),
        in_a_sparse_tensor,
        in_an_attribute,
        in_a_list_of_tensors,
        in_a_function,
        in_training,
        behind_many_scalars,
    ],
)
def test_external_data_is_found_wherever_a_tensor_may_be(make: object) -> None:
    with pytest.raises(Unfit, match="external data"):
        look_into(make().SerializeToString())  # type: ignore[operator] # each makes a model


def test_a_model_that_stands_alone_passes() -> None:
    look_into(MODEL)
    tree = helper.make_node("Trees", [], ["c"], weights=[1.5] * 9_000, nodes=[2**40, -1] * 9_000, modes=["LEQ"] * 50)
    look_into(model(nodes=[tree]).SerializeToString())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_never_anything_but_unfit(data: bytes) -> None:
    with pytest.raises(Unfit):
        look_into(data)


@given(st.integers(0, len(MODEL) - 1), st.integers(0, 255))
def test_a_damaged_model_passes_or_is_unfit_but_never_breaks_the_check(at: int, byte: int) -> None:
    damaged = MODEL[:at] + bytes([byte]) + MODEL[at + 1 :]
    try:
        look_into(damaged)
    except Unfit as problem:
        assert "ONNX" in str(problem) or "external" in str(problem)  # noqa: PT017 - passing is fine too
