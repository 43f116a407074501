"""Gradient-boosted trees, small enough for an edge device, and the same trees as an ONNX graph."""

from collections.abc import Mapping

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from training.rows import Column
from training.schema import Kind
from training.signature import INPUT, Feature, Signature

SEED = 2013
ROUNDS = 80
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "lambda_l2": 20.0,  # rows of one day go wrong together: a leaf knows less than its rows suggest
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "seed": SEED,
    "deterministic": True,
    "force_row_wise": True,  # otherwise LightGBM times both ways, and may choose differently the next time
    "num_threads": 1,
    "verbosity": -1,
}
OPSET = 9
PRIOR_ROWS = 50  # a name seen n times is believed n / (n + 50)
GAPS = 0.01  # share of values blanked while training


def describe(kinds: Mapping[str, Kind], columns: Mapping[str, Column], label: NDArray[np.float64]) -> Signature:
    """Choose the model's inputs.

    A category's names are listed from the most punctual to the most often late, by their share of true labels, pulled
    towards the overall share where rows are few: then one threshold on the place in the list separates well, and the
    graph needs no test for membership.
    """
    return Signature(
        tuple(
            Feature(name, kind, _by_share(columns[name], label) if kind == "category" else ())
            for name, kind in kinds.items()
        )
    )


def fit(tensor: NDArray[np.float32], label: NDArray[np.float64]) -> lgb.Booster:
    """Train. The same rows give the same trees.

    Args:
        tensor: Shape (rows, features), NaN where missing.
        label: 1.0 or 0.0, shape (rows,).
    """
    # Without gaps LightGBM takes a value that was never missing in training for 0 when it is missing on a device.
    gaps = np.random.default_rng(SEED).random(tensor.shape) < GAPS
    return _in_single_precision(lgb.train(PARAMETERS, lgb.Dataset(np.where(gaps, np.nan, tensor), label), ROUNDS))


def export(booster: lgb.Booster, *, name: str) -> bytes:
    """Give the ONNX graph of a booster: one float32 tensor in, probabilities of false and true out."""
    shape = FloatTensorType([None, booster.num_feature()])
    graph = convert_lightgbm(booster, name, [(INPUT, shape)], target_opset=OPSET, zipmap=False)
    graph.opset_import.sort(key=lambda one: one.domain)  # the converter lists them in a set's order, which varies
    return bytes(graph.SerializeToString())


def probe(tensor: NDArray[np.float32], *, most: int) -> NDArray[np.float32]:
    """Give rows that show whether two forms of one model agree: some as they are, some with each feature missing.

    Args:
        tensor: Rows to choose from, shape (rows, features).
        most: How many to choose at most.

    Returns:
        Shape (chosen rows x (1 + features), features).
    """
    chosen = tensor[:: -(-len(tensor) // most)]
    copies = np.repeat(chosen[np.newaxis], 1 + tensor.shape[1], axis=0)
    for feature in range(tensor.shape[1]):
        copies[1 + feature, :, feature] = np.nan
    return copies.reshape(-1, tensor.shape[1])


def _in_single_precision(booster: lgb.Booster) -> lgb.Booster:
    """Move each threshold down to the nearest float32, which no float32 input can tell from the original.

    A graph holds thresholds as float32, rounded to the nearest. Rounded up, it would send a value that lies just
    between two trained ones, such as 30.915 between 30.91 and 30.92, the other way than LightGBM does.
    """
    lines = booster.model_to_string().split("\n")
    lines = [line for line in lines if not line.startswith("tree_sizes=")]  # lengths in bytes, about to change
    return lgb.Booster(model_str="\n".join(_thresholds_down(line) for line in lines))


def _thresholds_down(line: str) -> str:
    if not line.startswith("threshold="):
        return line
    exact = np.array(line.removeprefix("threshold=").split(), np.float64)
    nearest = exact.astype(np.float32)
    down = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return "threshold=" + " ".join(repr(value) for value in down.tolist())


def _by_share(column: Column, label: NDArray[np.float64]) -> tuple[str, ...]:
    named = np.array([name is not None for name in column])
    names, place = np.unique(np.array([name for name in column if name is not None], np.str_), return_inverse=True)
    seen = np.bincount(place, minlength=len(names))
    late = np.bincount(place, label[named], minlength=len(names))
    share = (late + PRIOR_ROWS * label.mean()) / (seen + PRIOR_ROWS)
    return tuple(names[np.argsort(share, kind="stable")].tolist())
