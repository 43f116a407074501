"""A scoring request's body, read against a model's signature: rows, columns or one bare row become columns.

Rows may have ids, by which their outcomes are told later: `ids` beside rows or columns, `id` in a bare row.

Checked while it is decoded, so that a sound request costs one pass; only a refused one is looked at again.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from edge.errors import Refusal, Unfit

ROWS = 10_000  # per request; more is a batch job, not an edge device's question
CHARACTERS = (
    1_000  # of a category: rows are kept for a while until they are counted, which a novel in each would not bear
)
FLOAT32_MAX = float(np.finfo(np.float32).max)  # the tensor is float32: anything larger would become infinity

type Columns = Sequence[Any]  # one per feature, in the signature's order, all as long as there are rows

COLON = np.array(ord(":"), np.uint8)  # as an array: numpy would make one of a number at every comparison
FEW_BYTES = 24 * 1024  # numpy counts ten times as fast as bytes do, once it has begun

Id = Annotated[str, Meta(min_length=1, max_length=64)]
_Number = Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)] | None
Text = Annotated[str, Meta(max_length=CHARACTERS)]
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_PLACE = re.compile(r"^(?P<why>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
FIELD = re.compile(r"field `(?P<name>[^`]*)`")


class Asked(NamedTuple):
    """What a request asks.

    Args:
        columns: Its rows, turned.
        ids: An id per row; empty if it gives none.
    """

    columns: Columns
    ids: Sequence[str]


class Reader:
    """Reads bodies for one signature.

    Args:
        kinds: Feature name -> whether it is a number or a category, in the signature's order.
    """

    def __init__(self, kinds: dict[str, str]) -> None:
        self._names = tuple(kinds)
        types = [
            (f"f{place}", _Number if kind == "number" else Text | None) for place, kind in enumerate(kinds.values())
        ]
        rename = {f"f{place}": name for place, name in enumerate(kinds)}
        # gc=False: rows hold only numbers and text, so the collector need not visit thousands of them.
        row = msgspec.defstruct("Row", types, rename=rename, forbid_unknown_fields=True, frozen=True, gc=False)
        lists = [(name, list[kind]) for name, kind in types]  # type: ignore[valid-type] # made from the file
        columns = msgspec.defstruct("Columns", lists, rename=rename, forbid_unknown_fields=True, frozen=True)
        request = msgspec.defstruct(
            "Request",
            [
                ("rows", list[row] | UnsetType, UNSET),  # type: ignore[valid-type] # likewise
                ("columns", columns | UnsetType, UNSET),
                ("ids", list[Id] | UnsetType, UNSET),
            ],
            forbid_unknown_fields=True,
        )
        self._rows: Any = list[row]  # type: ignore[valid-type] # likewise
        id_ = [] if "id" in kinds else [("id", Id | UnsetType, UNSET)]
        one = msgspec.defstruct("One", [*types, *id_], rename=rename, forbid_unknown_fields=True, frozen=True)
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(one)
        self._request: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request)

    def read(self, body: bytes) -> Asked:
        """What a request asks: `{"rows": [{...}]}`, `{"columns": {"name": [...]}}`, or one bare row.

        Raises:
            Refusal: Status 400 or 413, naming the row and the field.
        """
        try:
            request = self._request.decode(body)
        except msgspec.ValidationError as problem:
            return self._bare(body, problem)
        except NOT_JSON as problem:
            refuse_text(problem, body)
        ids = () if request.ids is UNSET else request.ids
        colons = 1 + sum(id_.count(":") for id_ in ids) if request.ids is not UNSET else 0
        if request.columns is UNSET:
            columns = self._turned(request.rows, body, colons)
        elif request.rows is not UNSET:
            _refuse_shape("a request has rows or columns, not both", "columns")
        else:
            columns = self._level(request.columns, body, colons)
        if request.ids is not UNSET and len(ids) != len(columns[0]):
            _refuse_shape(f"{len(ids)} ids, and there are {len(columns[0])} rows", "ids")
        return Asked(columns, ids)

    def convert(self, documents: object) -> Columns:
        """Columns of rows that are plain dicts already, such as those of samples.json.

        Raises:
            Unfit: A row does not go with the signature.
        """
        try:
            return tuple(zip(*map(astuple, msgspec.convert(documents, self._rows)), strict=True))
        except msgspec.ValidationError as problem:
            raise Unfit(
                "the model's sample rows do not go with its signature",
                why=str(problem),
                fix="write samples.json and signature.json in the same training run",
            ) from problem

    def _turned(self, rows: list[Any] | UnsetType, body: bytes, colons: int) -> Columns:
        if rows is UNSET:
            _refuse_shape("Object missing required field `rows`", "rows")
        _refuse_count(len(rows), "rows")
        self._refuse_repeated(body, colons=colons + 1 + len(rows) * len(self._names))
        return tuple(zip(*map(astuple, rows), strict=True))

    def _level(self, columns: Any, body: bytes, colons: int) -> Columns:  # noqa: ANN401 - the struct's type is made at run time
        found: tuple[list[Any], ...] = astuple(columns)
        _refuse_count(len(found[0]), f"columns.{self._names[0]}")
        for name, column in zip(self._names, found, strict=True):
            if len(column) != len(found[0]):
                why = f"{len(column)} values, and {self._names[0]} has {len(found[0])}"
                _refuse_shape(why, f"columns.{name}")
        self._refuse_repeated(body, colons=colons + 1 + len(self._names))
        return found

    def _bare(self, body: bytes, problem: msgspec.ValidationError) -> Asked:
        why, path = parts(problem)
        stranger = FIELD.search(why)
        if path or not stranger or stranger["name"] not in (*self._names, "id"):
            _refuse_row(problem)  # no feature at the top level, hence not meant as one bare row
        try:
            row = self._one.decode(body)
        except msgspec.ValidationError as closer:
            _refuse_row(closer)
        except NOT_JSON as broken:
            refuse_text(broken, body)
        values, id_ = astuple(row), getattr(row, "id", UNSET)
        colons = 0 if id_ is UNSET else 1 + id_.count(":")
        self._refuse_repeated(body, colons=colons + len(self._names))
        columns = tuple((value,) for value in values[: len(self._names)])
        return Asked(columns, () if id_ is UNSET else (id_,))

    def _refuse_repeated(self, body: bytes, *, colons: int) -> None:
        """Every name stands where it must, so with the fewest colons possible none stands there twice."""
        if _colons(body) != colons:
            json.loads(body, object_pairs_hook=_refuse_twice)


def _colons(body: bytes) -> int:
    if len(body) < FEW_BYTES:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == COLON))


def _refuse_twice(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        _refuse_shape(f"field `{twice}` stands there twice, and it is not said which one counts", twice)


def _refuse_count(rows: int, field: str) -> None:
    if not 1 <= rows <= ROWS:
        raise Refusal(
            f"{rows} rows cannot be scored in one request",
            why=f"a request holds 1 to {ROWS} rows",
            fix="split the rows over several requests",
            status=413 if rows else 400,
            code="TOO_MANY_ROWS" if rows else "NO_ROWS",
            field=field,
        )


def parts(problem: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says is wrong, and where: "" for the top level."""
    found = _PLACE.match(str(problem))
    return (found["why"], found["path"] or "") if found else (str(problem), "")


def field_of(problem: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says is wrong, and the field it is about, such as `rows[3].temp`."""
    why, path = parts(problem)
    name = FIELD.search(why)
    return why, ".".join(part for part in (path.removeprefix("$").lstrip("."), name["name"] if name else "") if part)


def _refuse_row(problem: msgspec.ValidationError) -> NoReturn:
    why, field = field_of(problem)
    _refuse_shape(why, field, problem)


def _refuse_shape(why: str, field: str, problem: Exception | None = None) -> NoReturn:
    raise Refusal(
        f"the request does not go with the model's signature at {field or 'its top level'}",
        why=why,
        fix='send {"rows": [{...}]} with every feature in each row, or {"columns": {...}} with a list of equal length '
        "for every feature; null stands for a missing value",
        status=400,
        code="BAD_ROW",
        field=field or None,
    ) from problem


def refuse_text(problem: Exception, body: bytes) -> NoReturn:
    """Refuse a body that is not JSON; if it is NaN or Infinity, say where."""
    raise Refusal(
        "the request is not JSON",
        why=str(problem),
        fix="send UTF-8 JSON; NaN and Infinity are no JSON numbers: null stands for a missing value",
        status=400,
        code="BAD_JSON",
        field=_stray(body),
    ) from problem


class _Stray:
    """NaN, Infinity or -Infinity where a number should be."""

    def __init__(self, _: str) -> None:
        pass


def _stray(body: bytes) -> str | None:
    """Where the first NaN or Infinity stands, if that is all that is wrong; such as `rows[3].temp`."""
    try:
        return next(_paths(json.loads(body, parse_constant=_Stray), ""), None)
    except (ValueError, RecursionError):
        return None


def _paths(document: object, path: str) -> Iterator[str]:
    if isinstance(document, _Stray):
        yield path.removeprefix(".")
    elif isinstance(document, dict):
        for name, value in document.items():
            yield from _paths(value, f"{path}.{name}")
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from _paths(value, f"{path}[{place}]")
