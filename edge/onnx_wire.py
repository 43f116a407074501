"""Looks through the bytes of an ONNX file: which operators it has, and whether it would make the runtime read files.

ONNX Runtime resolves external tensor data relative to a folder, so a hostile model could name any file of the device.
Only the few message fields that can lead to a tensor or an operator are followed; the rest is skipped.

Source: onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, SparseTensorProto, FunctionProto,
TrainingInfoProto) and the protocol buffer wire format.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from edge.errors import Unfit

VARINT, I64, LENGTH, I32 = 0, 1, 2, 5
DEPTH = 64  # subgraphs within subgraphs; real models stay below ten
IR_VERSION, GRAPH = 1, 7  # fields of ModelProto
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of TensorProto
OPERATOR, NODE_DOMAIN = 4, 7  # fields of NodeProto
OPSET_DOMAIN, OPSET_VERSION = 1, 2  # fields of OperatorSetIdProto
NAME_BYTES = 100

# message → {field: message it holds}; every path from a model to a tensor or an operator
PATHS: Final = {
    "model": {GRAPH: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
    "opset": {},
}

# A tree ensemble's attributes are millions of single scalars and short texts: they are skipped in runs, each short
# enough not to hold the interpreter for long.
_SHORT_TEXT = b"|".join(re.escape(bytes([size])) + b".{%d}" % size for size in range(33))
_SCALARS = re.compile(
    rb"(?:[\x08\x10\x18\x20\x28\x30\x38\x40\x48\x50\x58\x60\x68\x78][\x80-\xff]{0,9}[\x00-\x7f]"
    rb"|[\x0d\x15\x1d\x25\x2d\x35\x3d\x45\x4d\x55\x5d\x65\x6d\x75\x7d].{4}"
    rb"|\x4a(?:" + _SHORT_TEXT + rb")){1,512}",
    re.DOTALL,
)


@dataclass(slots=True)
class Insides:
    """What an ONNX file holds.

    Args:
        operators: Domain and name of every operator, of subgraphs too; the domain of ONNX itself is empty.
        opsets: Domain -> version of the operator set that the model was made with.
        nodes: How many nodes its graphs have together.
        functions: Whether the model brings operators of its own.
    """

    operators: set[tuple[str, str]] = field(default_factory=set)
    opsets: dict[str, int] = field(default_factory=dict)
    nodes: int = 0
    functions: bool = False


def look_into(model: bytes) -> Insides:
    """Make sure that a model stands alone, and say what it is made of.

    Args:
        model: The content of an ONNX file.

    Raises:
        Unfit: The bytes are not an ONNX model, or refer to data outside the file.
    """
    insides = Insides()
    seen = _walk(model, "model", 0, len(model), insides, depth=0)
    if not {IR_VERSION, GRAPH} <= seen.keys():
        raise _not_onnx("the ONNX version or the graph is missing")
    return insides


def _walk(data: bytes, message: str, at: int, end: int, insides: Insides, *, depth: int) -> dict[int, tuple[int, int]]:
    """Follow one message; returns, for each field seen, where its last value starts and ends."""
    if depth > DEPTH:
        raise _not_onnx(f"graphs are nested more than {DEPTH} deep")
    seen: dict[int, tuple[int, int]] = {}
    while at < end:
        if message == "attribute" and (run := _SCALARS.match(data, at, end)):
            at = run.end()
            continue
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        _refuse_tensor(message, number, data, at)
        start, at = _value(data, at, end, wire)
        seen[number] = start, at
        if wire == LENGTH and (inner := PATHS[message].get(number)):
            _note(inner, data, _walk(data, inner, start, at, insides, depth=depth + 1), insides)
    return seen


def _note(message: str, data: bytes, seen: dict[int, tuple[int, int]], insides: Insides) -> None:
    if message == "node":
        insides.nodes += 1
        insides.operators.add((_text(data, seen, NODE_DOMAIN), _text(data, seen, OPERATOR)))
    elif message == "opset":
        start, end = seen.get(OPSET_VERSION, (0, 0))
        insides.opsets[_text(data, seen, OPSET_DOMAIN)] = _varint(data, start, end)[0] if end else 0
    elif message == "function":
        insides.functions = True


def _text(data: bytes, seen: dict[int, tuple[int, int]], number: int) -> str:
    start, end = seen.get(number, (0, 0))
    return data[start : min(end, start + NAME_BYTES)].decode("utf-8", "replace")


def _refuse_tensor(message: str, number: int, data: bytes, at: int) -> None:
    if message == "tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and data[at : at + 1] != b"\0")):
        raise Unfit(
            "the model keeps some of its weights in another file",
            why="a tensor in model.onnx is stored as external data",
            fix="export the model with all its weights inside model.onnx",
        )


def _value(data: bytes, at: int, end: int, wire: int) -> tuple[int, int]:
    if wire == VARINT:
        return at, _varint(data, at, end)[1]
    if wire == LENGTH:
        length, start = _varint(data, at, end)
    elif wire in (I32, I64):
        length, start = (4 if wire == I32 else 8), at
    else:
        raise _not_onnx(f"unknown wire type {wire} at byte {at}")
    if start + length > end:
        raise _not_onnx(f"it ends in the middle of a value at byte {at}")
    return start, start + length


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : min(at + 10, end)]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, at + index + 1
    raise _not_onnx(f"it ends in the middle of a number at byte {at}")


def _not_onnx(why: str) -> Unfit:
    return Unfit(
        "model.onnx is not an ONNX model",
        why=why,
        fix="export the model as ONNX; pickles, archives and other formats are never loaded",
    )
