"""What answers turned out to be right about: the body of `POST /outcomes`, read and checked."""

from typing import Literal, NoReturn

import msgspec

from edge.body import NOT_JSON, Id, field_of, refuse_text
from edge.errors import Refusal

OUTCOMES = 10_000  # per request

type Label = bool | Literal[0, 1]


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What came of one scored row.

    Args:
        id: As the scoring request had it.
        label: Whether what the model is asked about was so.
    """

    id: Id
    label: Label


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same on its side."""

    ids: list[Id]
    labels: list[Label]


_listed = msgspec.json.Decoder(list[Outcome])
_columns = msgspec.json.Decoder(Columns)


def read(body: bytes) -> list[tuple[str, bool]]:
    """Ids and labels of `[{"id": "a", "label": 1}, ...]` or `{"ids": ["a", ...], "labels": [1, ...]}`.

    Raises:
        Refusal: Status 400 or 413, naming the field.
    """
    try:
        if body.lstrip()[:1] == b"[":
            found = [(one.id, bool(one.label)) for one in _listed.decode(body)]
        else:
            columns = _columns.decode(body)
            if len(columns.ids) != len(columns.labels):
                _refuse(f"{len(columns.labels)} labels, and there are {len(columns.ids)} ids", "labels")
            found = [(id_, bool(label)) for id_, label in zip(columns.ids, columns.labels, strict=True)]
    except msgspec.ValidationError as problem:
        _refuse(*field_of(problem), problem)
    except NOT_JSON as problem:
        refuse_text(problem, body)
    if not 1 <= len(found) <= OUTCOMES:
        raise Refusal(
            f"{len(found)} outcomes cannot be taken in one request",
            why=f"a request holds 1 to {OUTCOMES} outcomes",
            fix="split the outcomes over several requests",
            status=413 if found else 400,
            code="TOO_MANY_OUTCOMES" if found else "NO_OUTCOMES",
        )
    return found


def _refuse(why: str, field: str, problem: Exception | None = None) -> NoReturn:
    raise Refusal(
        f"the outcomes cannot be read at {field or 'their top level'}",
        why=why,
        fix='send [{"id": "…", "label": 1}, …] or {"ids": ["…"], "labels": [1]}: an id is text of 1 to 64 characters, '
        "a label is 0, 1, false or true",
        status=400,
        code="BAD_OUTCOME",
        field=field or None,
    ) from problem
