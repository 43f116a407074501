"""signature.json: how a row becomes the one float32 tensor that a model takes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.rows import Column
from training.schema import Kind

INPUT, OUTPUT, COLUMN = "features", "probabilities", 1


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the tensor.

    Args:
        name: The column of the rows that it is made of.
        kind: A number is taken as it is.
        categories: Of a category: its names; a row's value is its place in this list. Empty for a number.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs of a model, in order, and where its answer is."""

    features: tuple[Feature, ...]
    input: str = INPUT
    output: str = OUTPUT
    column: int = COLUMN

    def tensor(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.float32]:
        """Encode rows as the model takes them.

        Args:
            columns: What the rows have; a feature that is not there is missing in every row.
            rows: How many rows there are.

        Returns:
            Shape (rows, features). NaN stands for a missing number and for a missing or unseen category.
        """
        tensor = np.full((rows, len(self.features)), np.nan, np.float32)
        for place, feature in enumerate(self.features):
            if feature.name in columns:
                tensor[:, place] = _encoded(feature, columns[feature.name])
        return tensor

    def to_json(self) -> str:
        """The text of signature.json."""
        features = [
            {"name": one.name, "kind": one.kind} | ({"categories": one.categories} if one.kind == "category" else {})
            for one in self.features
        ]
        output = {"name": self.output, "column": self.column}
        return json.dumps({"features": features, "input": self.input, "output": output}, indent=1)


def read_signature(model: Path) -> Signature:
    """Read a model folder's signature.json.

    Raises:
        SystemExit: There is none, or it is not usable.
    """
    try:
        content = json.loads((model / "signature.json").read_text())
        features = tuple(
            Feature(one["name"], one["kind"], tuple(one.get("categories", ()))) for one in content["features"]
        )
        return Signature(features, content["input"], content["output"]["name"], content["output"]["column"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SystemExit(f"the model has no usable signature.json: {problem!r}; give a whole model folder") from problem


def _encoded(feature: Feature, column: Column) -> Column | list[float]:
    if feature.kind == "number":
        return column
    place: dict[str | None, float] = {name: float(index) for index, name in enumerate(feature.categories)}
    return [place.get(name, np.nan) for name in column]
