"""Scores as a device computes them: the ONNX graph in ONNX Runtime, rows encoded by the model's own signature."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as problems

from training.rows import Rows
from training.signature import Signature, read_signature

JUDGED = "judged"  # in a model folder: the same recipe without the held-out days; what the model is judged by

RUNTIME_PROBLEMS = (
    problems.Fail,
    problems.InvalidArgument,
    problems.InvalidGraph,
    problems.InvalidProtobuf,
    problems.NotImplemented,
    problems.RuntimeException,
)


def judged_by(model: Path) -> Path:
    """Give the folder that a model is judged by: its twin that has not learnt the held-out days, or itself."""
    twin = model / JUDGED
    return twin if twin.is_dir() else model


def score(model: Path, rows: Rows) -> NDArray[np.float64]:
    """Score rows with a model folder: its graph, fed as its signature says.

    Returns:
        As `run` does.

    Raises:
        SystemExit: The folder is not whole, or as `run` raises.
    """
    signature = read_signature(model)
    try:
        graph = (model / "model.onnx").read_bytes()
    except OSError as problem:
        raise SystemExit(
            f"the model in {model.name}/ has no model.onnx: {problem}; give a whole model folder"
        ) from problem
    return run(graph, signature, signature.tensor(rows.columns, len(rows)))


def run(graph: bytes, signature: Signature, tensor: NDArray[np.float32]) -> NDArray[np.float64]:
    """Run an ONNX graph.

    Args:
        graph: model.onnx.
        signature: Which output has the answer.
        tensor: Shape (rows, features).

    Returns:
        The probability that the label is true, shape (rows,), each in 0..1.

    Raises:
        SystemExit: The graph does not run, or an answer is not a probability.
    """
    try:
        session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        answer = session.run([signature.output], {signature.input: tensor})[0]
        scores = np.asarray(answer[:, signature.column], np.float64)
    except (ValueError, IndexError, *RUNTIME_PROBLEMS) as problem:
        raise SystemExit(f"the model does not run: {problem}") from problem
    wrong = int(np.sum(~((scores >= 0) & (scores <= 1))))  # NaN is neither
    if wrong:
        raise SystemExit(f"the model gives no probability for {wrong} of {len(scores)} rows: NaN, or outside 0..1")
    return scores
