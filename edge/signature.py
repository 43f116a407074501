"""What one row must look like, and how rows become the tensor a model's graph takes."""

import re
import struct
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import astuple
from numpy.typing import NDArray

from edge.errors import Refusal, Unfit

ROWS = 10_000  # per request; more is a batch job, not an edge device's question
FLOAT32_MAX = float(np.finfo(np.float32).max)  # the tensor is float32: anything larger would become infinity
MISSING = float("nan")

_Number = Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)] | None
_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_PLACE = re.compile(r"^(?P<why>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `(?P<name>[^`]*)`")


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
        self.names = tuple(feature.name for feature in document.features)
        self._codes = tuple(_codes(feature) for feature in document.features)
        self._row = _row_type(document.features)
        batch = msgspec.defstruct("Batch", [("rows", list[self._row])], forbid_unknown_fields=True)  # type: ignore[name-defined] # the type is made from the file
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._row)
        self._many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(batch)

    def read(self, body: bytes) -> list[Any]:
        """Rows of a request: `{"rows": [...]}`, or one bare row.

        Raises:
            Refusal: Status 400 or 413, naming the row and the field.
        """
        try:
            rows: list[Any] = self._many.decode(body)
        except msgspec.ValidationError as problem:
            rows = [self._bare(body, problem)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            _refuse_text(problem)
        else:
            rows = rows.rows  # type: ignore[attr-defined] # a Batch, made above
        if not 1 <= len(rows) <= ROWS:
            raise Refusal(
                f"{len(rows)} rows cannot be scored in one request",
                why=f"a request holds 1 to {ROWS} rows",
                fix="split the rows over several requests",
                status=413 if rows else 400,
                code="TOO_MANY_ROWS" if rows else "NO_ROWS",
                field="rows",
            )
        return rows

    def rows(self, documents: object) -> list[Any]:
        """Rows that are plain dicts already, such as those of samples.json.

        Raises:
            Unfit: A row does not go with this signature.
        """
        try:
            return msgspec.convert(documents, list[self._row])  # type: ignore[name-defined] # the type is made from the file
        except msgspec.ValidationError as problem:
            raise Unfit(
                "the model's sample rows do not go with its signature",
                why=str(problem),
                fix="write samples.json and signature.json in the same training run",
            ) from problem

    def columns(self, rows: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
        """The rows turned on their side: feature name → one value per row, None where missing."""
        return dict(zip(self.names, zip(*map(astuple, rows), strict=True), strict=True))

    def tensor(self, rows: Sequence[Any]) -> NDArray[np.float32]:
        """The rows as the graph takes them, shape (rows, features); a missing number and an unseen category are NaN."""
        pack = Struct(f"={len(rows)}f").pack  # a third of the time that numpy takes to read a column of Python floats
        packed = b"".join(
            [
                _packed(column, pack) if codes is None else pack(*map(codes.__getitem__, column))
                for codes, column in zip(self._codes, zip(*map(astuple, rows), strict=True), strict=True)
            ]
        )
        return np.ascontiguousarray(np.frombuffer(packed, np.float32).reshape(len(self.names), len(rows)).T)

    def _bare(self, body: bytes, problem: msgspec.ValidationError) -> Any:  # noqa: ANN401 - the row's type is made at run time
        why, path = _parts(problem)
        stranger = _FIELD.search(why)
        if path or not stranger or stranger["name"] not in self.names:
            _refuse_row(problem)  # no feature at the top level, hence not meant as one bare row
        try:
            return self._one.decode(body)
        except msgspec.ValidationError as closer:
            _refuse_row(closer)


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


class _Codes(dict[str | None, float]):
    """What a category's value is in the tensor; what was not seen at training is missing."""

    def __missing__(self, _: str | None) -> float:
        return MISSING


def _codes(feature: Feature) -> _Codes | None:
    if feature.categories is None:
        return None
    return _Codes({value: float(code) for code, value in enumerate(feature.categories)})


def _packed(column: Sequence[float | None], pack: Callable[..., bytes]) -> bytes:
    try:
        return pack(*column)
    except struct.error:  # some are missing
        return pack(*[MISSING if value is None else value for value in column])


def _row_type(features: Sequence[Feature]) -> Any:  # noqa: ANN401 - a Struct type that exists only at run time
    fields = [
        (f"f{index}", _Number if feature.kind == "number" else str | None) for index, feature in enumerate(features)
    ]
    rename = {f"f{index}": feature.name for index, feature in enumerate(features)}
    # gc=False: rows hold only numbers and text, so the collector need not visit thousands of them.
    return msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, frozen=True, gc=False)


def _parts(problem: msgspec.ValidationError) -> tuple[str, str]:
    parts = _PLACE.match(str(problem))
    return (parts["why"], parts["path"] or "") if parts else (str(problem), "")


def _refuse_row(problem: msgspec.ValidationError) -> NoReturn:
    why, path = _parts(problem)
    name = _FIELD.search(why)
    field = ".".join(part for part in (path.removeprefix("$").lstrip("."), name["name"] if name else "") if part)
    raise Refusal(
        f"the request does not go with the model's signature at {field or 'its top level'}",
        why=why,
        fix='send {"rows": [{...}]} with every feature in each row; null stands for a missing value',
        status=400,
        code="BAD_ROW",
        field=field or None,
    ) from problem


def _refuse_text(problem: Exception) -> NoReturn:
    raise Refusal(
        "the request is not JSON",
        why=str(problem),
        fix="send UTF-8 JSON; NaN and Infinity are no JSON numbers: null stands for a missing value",
        status=400,
        code="BAD_JSON",
    ) from problem
