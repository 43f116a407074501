"""What the loop's file says of the columns, as this module needs it."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import Misconfigured

TYPES = ("number", "category", "label")
SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
FIX = 'give the loop\'s file, or JSON such as {"columns": {"hour": {"type": "number", "min": 0}}}'


@dataclass(frozen=True, slots=True)
class Column:
    """One column: docs/loops.md has what each field means."""

    type: str
    whole: bool = False
    min: float | None = None
    max: float | None = None
    nulls: float = 1.0
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a file, and how large it may be."""

    columns: Mapping[str, Column] = field(default_factory=dict)
    at_most_rows: int = 1_000_000
    at_most_bytes: int = 64_000_000


def schema_from(given: str) -> Schema:
    """Read a schema.

    Args:
        given: The path of a loop file (.toml, whose [data] counts) or of a .json file, or JSON itself.

    Raises:
        Misconfigured: It is none of these, or not a schema.
    """
    try:
        data = _document(given)
        columns = {str(name): _column(about) for name, about in data["columns"].items()}
        rows, size = int(data.get("at_most_rows", 1_000_000)), _size(data.get("at_most_file_size", "64 MB"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Misconfigured("setting INGEST_SCHEMA is no schema", why=f"{problem!r}", fix=FIX) from problem
    if not columns:
        raise Misconfigured("setting INGEST_SCHEMA is no schema", why="it has no columns", fix=FIX)
    return Schema(columns, rows, size)


def _document(given: str) -> Mapping[str, Any]:
    if given.lstrip().startswith("{"):
        document = json.loads(given)
    else:
        text = Path(given).read_text(encoding="utf-8")
        document = tomllib.loads(text)["data"] if given.endswith(".toml") else json.loads(text)
    return dict(document)


def _column(about: Mapping[str, Any]) -> Column:
    column = Column(**{**about, "values": tuple(about.get("values", ()))})
    if column.type not in TYPES:
        raise ValueError(f"{column.type!r} is none of {', '.join(TYPES)}")
    return column


def _size(text: object) -> int:
    match = re.fullmatch(r"(\d+) ?([KMG]?B|)", str(text))
    if not match:
        raise ValueError(f"{text!r} is not a size such as '64 MB'")
    return int(match[1]) * SIZES[match[2]]
