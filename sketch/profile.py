"""What a model was trained on, as counts on fixed grids: the reference that every later sketch is compared with.

Every feature owns a block of cells (see `sketch.features`); the model's scores are one more number. All blocks in a row
make one vector of counts, so that adding two sketches is adding two vectors.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from sketch.features import (
    CELLS,
    MOST_CATEGORIES,
    SMALLEST_WIDTH,
    CategoryFeature,
    Column,
    Feature,
    NumberFeature,
    count_categories,
    count_numbers,
    numbers,
)

Kind = Literal["number", "category"]

VERSION = 1
SCORE = "score"
LONGEST_JSON = 4 * 1024 * 1024  # characters; a profile of 25 features has about 40,000


@dataclass(frozen=True, eq=False)
class Profile:
    """The reference distribution of a model's features and scores. It travels with the model.

    Two profiles are equal when their hashes are.

    Attributes:
        rows: Reference rows, >= 1.
        features: What the model reads, in the order of its signature.
        scores: The distribution of what the model answered on the reference.
    """

    rows: int
    features: tuple[Feature, ...]
    scores: NumberFeature

    @staticmethod
    def build(columns: Mapping[str, Column], *, kinds: Mapping[str, Kind], scores: Column) -> "Profile":
        """Count a reference data set.

        Args:
            columns: Values per feature, each of shape (rows,). A number is a float, NaN or None when missing; a
                category is a str, None when missing. Columns that `kinds` does not name are ignored.
            kinds: The features and what they are, in the order of the model's signature.
            scores: What the model answered for these rows, shape (rows,).

        Raises:
            ValueError: No row, no feature, a column that is absent or of another length.
        """
        answers = numbers(scores)
        if not len(answers) or not kinds:
            raise ValueError(f"a profile needs rows and features; got {len(answers)} rows and {len(kinds)} features")
        features: list[Feature] = []
        for name, kind in kinds.items():
            if name not in columns:
                raise ValueError(f"column {name!r} is absent; the reference has {', '.join(sorted(columns)) or 'none'}")
            values = columns[name]
            if len(values) != len(answers):
                raise ValueError(
                    f"column {name!r} and the scores differ in length; the scores have {len(answers)} rows"
                )
            features.append(count_categories(name, values) if kind == "category" else count_numbers(name, values))
        return Profile(rows=len(answers), features=tuple(features), scores=count_numbers(SCORE, answers))

    def to_json(self) -> str:
        """The canonical text: equal profiles have equal texts, and `hash` is computed from it."""
        return json.dumps(
            {
                "version": VERSION,
                "rows": self.rows,
                "features": [_feature_to_dict(feature) for feature in self.features],
                "scores": _feature_to_dict(self.scores),
            },
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        )

    @staticmethod
    def from_json(text: str) -> "Profile":
        """Read what `to_json` wrote.

        Raises:
            ValueError: Anything unsound: not JSON, another version, a grid without width, counts that do not add up.
        """
        if len(text) > LONGEST_JSON:
            raise ValueError(f"a profile has at most {LONGEST_JSON} characters; got {len(text)}")
        try:
            content = json.loads(text, parse_constant=_refuse_constant)
        except RecursionError as problem:
            raise ValueError("a profile is not nested this deeply") from problem
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise ValueError(f"not a profile of version {VERSION}")
        rows, features = content.get("rows"), content.get("features")
        if type(rows) is not int or rows < 1 or not isinstance(features, list) or not features:
            raise ValueError("a profile has a number of rows and a list of features")
        profile = Profile(
            rows=rows,
            features=tuple(_feature_from_dict(feature, rows) for feature in features),
            scores=_number_from_dict(content.get("scores"), rows),
        )
        if len({feature.name for feature in profile.features}) != len(profile.features):
            raise ValueError("two features of the profile have one name")
        return profile

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal characters that name this profile: the start of the SHA-256 of its canonical text."""
        return sha256(self.to_json().encode()).hexdigest()[:16]

    @cached_property
    def blocks(self) -> tuple[tuple[Feature, slice], ...]:
        """Each feature, then the scores, with the cells that are its own in a vector of counts."""
        start, blocks = 0, []
        for feature in (*self.features, self.scores):
            blocks.append((feature, slice(start, start + feature.cells)))
            start += feature.cells
        return tuple(blocks)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Reference rows per cell, all blocks in a row, read-only, shape (cells,)."""
        counts = np.concatenate([np.array(feature.counts, np.int64) for feature, _ in self.blocks])
        counts.flags.writeable = False
        return counts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash, 16)


def _feature_to_dict(feature: Feature) -> dict[str, object]:
    if isinstance(feature, CategoryFeature):
        return {
            "name": feature.name,
            "kind": "category",
            "categories": list(feature.categories),
            "counts": list(feature.counts),
        }
    return {
        "name": feature.name,
        "kind": "number",
        "low": feature.low,
        "width": feature.width,
        "counts": list(feature.counts),
    }


def _feature_from_dict(content: object, rows: int) -> Feature:
    if isinstance(content, dict) and content.get("kind") == "category":
        return _category_from_dict(content, rows)
    return _number_from_dict(content, rows)


def _number_from_dict(content: object, rows: int) -> NumberFeature:
    if not isinstance(content, dict) or content.get("kind") != "number":
        raise ValueError("a feature of a profile is a number or a category")
    name, low, width = content.get("name"), content.get("low"), content.get("width")
    if type(name) is not str:
        raise ValueError("a feature of a profile has a name")
    if type(low) is not float or type(width) is not float or not np.isfinite([low, width]).all():
        raise ValueError(f"feature {name!r} has no finite grid")
    if width < SMALLEST_WIDTH:
        raise ValueError(f"the cells of feature {name!r} are {width} wide; at least {SMALLEST_WIDTH} is needed")
    return NumberFeature(name, low, width, _counts(content.get("counts"), name, length=CELLS + 3, rows=rows))


def _category_from_dict(content: dict[str, object], rows: int) -> CategoryFeature:
    name, categories = content.get("name"), content.get("categories")
    if type(name) is not str:
        raise ValueError("a feature of a profile has a name")
    if not isinstance(categories, list) or not all(isinstance(category, str) for category in categories):
        raise ValueError(f"feature {name!r} has no list of categories")
    if len(categories) > MOST_CATEGORIES or len(set(categories)) != len(categories):
        raise ValueError(f"feature {name!r} has repeated categories, or more than {MOST_CATEGORIES}")
    counts = _counts(content.get("counts"), name, length=len(categories) + 2, rows=rows)
    return CategoryFeature(name, tuple(categories), counts)


def _counts(content: object, name: str, *, length: int, rows: int) -> tuple[int, ...]:
    if not isinstance(content, list) or not all(type(count) is int and count >= 0 for count in content):
        raise ValueError(f"the counts of feature {name!r} are not whole numbers from 0")
    if len(content) != length or sum(content) != rows:
        raise ValueError(f"feature {name!r} needs {length} counts that add up to {rows} rows")
    return tuple(content)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of a profile")
