"""What a model takes and gives, and how columns of values become the tensor its graph takes."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge.body import Columns, Reader, Text
from edge.errors import Unfit
from sketch.features import Column

_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the model: a number, or a category with the values known at training."""

    name: _Name
    kind: Literal["number", "category"]
    categories: tuple[Text, ...] | None = None


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which column of which graph output is the score."""

    name: _Name
    column: Annotated[int, Meta(ge=0)]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file signature.json."""

    features: Annotated[tuple[Feature, ...], Meta(min_length=1, max_length=2_000)]
    input: _Name
    output: Output


class Batch(NamedTuple):
    """Rows as everything behind the endpoint takes them.

    Args:
        values: A line per feature, shape (features, rows): numbers, and the codes of categories; NaN where a number is
            missing, or a category is missing or was not known at training.
        texts: The categories as they were asked: a column per feature that is one, in the signature's order.
        ids: An id per row; empty if the request gave none.
    """

    values: NDArray[np.float64]
    texts: tuple[Sequence[str | None], ...]
    ids: Sequence[str] = ()


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

    def read(self, body: bytes) -> Batch:
        """What a scoring request asks; see Reader.

        Raises:
            Refusal: Status 400 or 413, naming the row and the field.
        """
        columns, ids = self._reader.read(body)
        return self.batch(columns, ids)

    def convert(self, documents: object) -> Columns:
        """Columns of rows that are plain dicts already, such as those of samples.json.

        Raises:
            Unfit: A row does not go with the signature.
        """
        return self._reader.convert(documents)

    def batch(self, columns: Columns, ids: Sequence[str] = ()) -> Batch:
        """The columns, looked at once: what follows need not touch each value again."""
        known: list[Iterable[float | None]] = [
            column if codes is None else map(codes.get, column)
            for codes, column in zip(self._codes, columns, strict=True)
        ]
        rows = len(columns[0])
        # The one way by which numpy reads Python's numbers in a pass; it takes None for NaN.
        values = np.fromiter(chain.from_iterable(known), np.float64, count=len(columns) * rows)
        texts = tuple(column for codes, column in zip(self._codes, columns, strict=True) if codes is not None)
        return Batch(values.reshape(len(columns), rows), texts, ids)

    def named(self, batch: Batch) -> dict[str, Column]:
        """The rows as columns by name, categories as they were asked."""
        texts = iter(batch.texts)
        return {
            name: values if codes is None else next(texts)
            for name, codes, values in zip(self.kinds, self._codes, batch.values, strict=True)
        }

    def tensor(self, batch: Batch) -> NDArray[np.float32]:
        """The rows as the graph takes them, shape (rows, features)."""
        return batch.values.T.astype(np.float32, order="C")


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
