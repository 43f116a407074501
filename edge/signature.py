"""What a model takes and gives, and how columns of values become the tensor its graph takes."""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge.body import Asked, Columns, Reader
from edge.errors import Unfit
from sketch.features import Column

MISSING = float("nan")

_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the model: a number, or a category with the values known at training."""

    name: _Name
    kind: Literal["number", "category"]
    categories: tuple[str, ...] | None = None


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which column of which graph output is the score."""

    name: _Name
    column: Annotated[int, Meta(ge=0)]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file signature.json."""

    features: Annotated[tuple[Feature, ...], Meta(min_length=1, max_length=2_000)]
    input: _Name
    output: Output


class Signature:
    """A model's input and output, as the file signature.json describes them.

    Args:
        document: The decoded file.

    Raises:
        Unfit: Two features share a name, or a feature's categories do not go with its kind.
    """

    def __init__(self, document: Document) -> None:
        _check(document.features)
        self.document = document
        self.kinds: dict[str, str] = {feature.name: feature.kind for feature in document.features}
        self._codes = tuple(_codes(feature) for feature in document.features)
        self._reader = Reader(self.kinds)

    def read(self, body: bytes) -> Asked:
        """What a scoring request asks; see Reader.

        Raises:
            Refusal: Status 400 or 413, naming the row and the field.
        """
        asked = self._reader.read(body)
        return Asked(self._settled(asked.columns), asked.ids)

    def convert(self, documents: object) -> Columns:
        """Columns of rows that are plain dicts already, such as those of samples.json.

        Raises:
            Unfit: A row does not go with the signature.
        """
        return self._settled(self._reader.convert(documents))

    def named(self, columns: Columns) -> dict[str, Column]:
        """The columns by name."""
        return dict(zip(self.kinds, columns, strict=True))

    def tensor(self, columns: Columns) -> NDArray[np.float32]:
        """The columns as the graph takes them, shape (rows, features); a missing number, an unseen category are NaN."""
        rows = len(columns[0])
        turned, pack = np.empty((len(columns), rows), np.float32), _packer(rows, "f")
        for place, (codes, column) in enumerate(zip(self._codes, columns, strict=True)):
            turned[place] = (
                column if codes is None else np.frombuffer(pack(*map(codes.get, column, repeat(MISSING))), np.float32)
            )
        return np.ascontiguousarray(turned.T)

    def _settled(self, columns: Columns) -> Columns:
        """The same with numbers as float64, NaN where missing: what follows need not look at each value again."""
        pack = _packer(len(columns[0]), "d")  # a third of the time that numpy takes to read a column of Python floats
        return tuple(
            _numbers(column, pack) if codes is None else column
            for codes, column in zip(self._codes, columns, strict=True)
        )


def read_signature(text: bytes) -> Signature:
    """Read the file signature.json.

    Raises:
        Unfit: The file is not a signature.
    """
    try:
        return Signature(msgspec.json.decode(text, type=Document))
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Unfit(
            "the model's signature.json cannot be read",
            why=str(problem),
            fix="compare it with the model folder's description in the documentation",
        ) from problem


def _check(features: Sequence[Feature]) -> None:
    names = [feature.name for feature in features]
    twice = {name for name in names if names.count(name) > 1}
    wrong = [feature.name for feature in features if (feature.kind == "category") != (feature.categories is not None)]
    if twice or wrong:
        raise Unfit(
            "the model's signature contradicts itself",
            why=f"feature names given twice: {sorted(twice)}; categories missing or out of place: {wrong}",
            fix="give each feature once, and categories to each category feature only",
        )


def _codes(feature: Feature) -> dict[str | None, float] | None:
    if feature.categories is None:
        return None
    return {value: float(code) for code, value in enumerate(feature.categories)}


@lru_cache(maxsize=64)
def _packer(rows: int, kind: str) -> Callable[..., bytes]:
    return Struct(f"={rows}{kind}").pack


def _numbers(column: Sequence[float | None], pack: Callable[..., bytes]) -> NDArray[np.float64]:
    try:
        return np.frombuffer(pack(*column))
    except struct.error:  # some are missing
        return np.array(column, np.float64)
