"""A model of fifteen features for bench/edge.py: gradient-boosted trees in a signed folder, and rows to ask with."""

import json
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge.signature import Signature, read_signature
from sketch.profile import Profile
from tests.edge.models import Folder, folder
from training import boosting

NUMBERS = [f"number_{n}" for n in range(11)]
CATEGORIES = [f"category_{n}" for n in range(4)]
KNOWN = [f"value_{n}" for n in range(12)]
ROWS, MISSING = 20_000, 0.01

type Row = dict[str, float | str | None]


def rows(count: int, *, seed: int) -> list[Row]:
    """Rows as a client sends them: rounded numbers, some missing, some categories that training never saw."""
    dice = np.random.default_rng(seed)
    numbers = np.round(dice.normal(20, 10, (count, len(NUMBERS))), 2)
    numbers[dice.random(numbers.shape) < MISSING] = np.nan
    names = dice.integers(0, len(KNOWN) + 1, (count, len(CATEGORIES)))
    found: list[Row] = []
    for values, places in zip(numbers.tolist(), names.tolist(), strict=True):
        row: Row = {name: None if value != value else value for name, value in zip(NUMBERS, values, strict=True)}  # noqa: PLR0124 - NaN
        found.append(row | {name: f"value_{place}" for name, place in zip(CATEGORIES, places, strict=True)})
    return found


@cache
def signature() -> Signature:
    """What the model takes."""
    return read_signature(_document())


def _document() -> bytes:
    features: list[dict[str, object]] = [{"name": name, "kind": "number"} for name in NUMBERS]
    features += [{"name": name, "kind": "category", "categories": KNOWN} for name in CATEGORIES]
    document = {"features": features, "input": "features", "output": {"name": "probabilities", "column": 1}}
    return json.dumps(document).encode()


def tensor(asked: list[Row]) -> NDArray[np.float32]:
    """The rows as the graph takes them."""
    return signature().tensor(signature().batch(signature().convert(asked)))


@cache
def graph() -> bytes:
    """Trees as many and as large as the sample pipeline's, exported as it does."""
    matrix = tensor(rows(ROWS, seed=1))
    pull = np.nan_to_num(matrix) @ np.random.default_rng(2).normal(0, 0.05, matrix.shape[1])
    label = (pull + np.random.default_rng(3).normal(0, 1, ROWS) > np.median(pull)).astype(np.float64)
    return boosting.export(boosting.fit(matrix, label), name="bench")


def model(version: str, *, score: NDArray[np.float32], sample: list[Row]) -> Folder:
    """The same trees in a folder of their own.

    Args:
        version: Its version.
        score: What the graph gives for the sample.
        sample: Rows to try it with.
    """
    columns = {name: [row[name] for row in sample] for name in (*NUMBERS, *CATEGORIES)}
    profile = Profile.build(columns, kinds=signature().kinds, scores=score)  # type: ignore[arg-type] # as the file has them
    files = {
        "model.onnx": graph(),
        "signature.json": _document(),
        "profile.json": profile.to_json().encode(),
        "samples.json": json.dumps({"rows": sample, "scores": score.tolist(), "tolerance": 1e-5}).encode(),
    }
    return folder(version, files, profile=profile.hash)
