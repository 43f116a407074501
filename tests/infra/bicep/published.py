"""Azure's own resource types, where they lie beside the project, which has no copy; whether a resource is one."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep.values import Runtime, Thing, Value

FILE = Path(__file__).parents[4] / "shared" / "data" / "bicep-types.json.gz"
REQUIRED, READ_ONLY, WRITE_ONLY = 1, 2, 4
KINDS = {bool: "bool", int: "int", str: "string", dict: "object", list: "array"}
WANTED = {
    "StringType": "string", "StringLiteralType": "string", "IntegerType": "int", "BooleanType": "bool",
    "ObjectType": "object", "DiscriminatedObjectType": "object", "ArrayType": "array",
}  # fmt: skip
type Kind = dict[str, Any]


@cache
def types() -> "Types":
    """The published types; without them, the test that asks is skipped."""
    if not FILE.is_file():
        pytest.skip(f"{FILE.name} is not in {FILE.parent}: it is Azure/bicep-types-az, and no copy is kept here")
    return Types({name.lower(): found for name, found in json.loads(gzip.decompress(FILE.read_bytes())).items()})


@dataclass(frozen=True, slots=True)
class Types:
    """Types by `type@version` in lower case.

    Args:
        known: Each with its `root`, the number of its body's type, and its `types` by number.
    """

    known: Mapping[str, Kind]

    def check(self, thing: Thing) -> Iterator[str]:
        """What is wrong with a resource, as the published type has it; nothing is said of what only Azure knows."""
        found = self.known.get(f"{thing.type}@{thing.api}".lower())
        if found is None:
            yield f"{thing.at}: {thing} is a {thing.type}@{thing.api}, which is not published"
            return
        body: dict[str, Value] = {"name": thing.name} if thing.existing else thing.body
        checker = _Checker(self, found["types"])
        for problem in checker.check(body, str(found["root"]), "", skip_required=thing.existing):
            yield f"{thing.at}: {thing} {problem}"
        yield from _place(thing)

    def kind(self, thing: Thing, path: tuple[str, ...]) -> tuple[str | None, str]:
        """The kind of what a path leads to, None if that is not said; and what is wrong with the path."""
        found = self.known.get(f"{thing.type}@{thing.api}".lower())
        if found is None or path[0] in ("id", "name", "type", "apiVersion"):
            return "string", ""
        here: Kind = found["types"][str(found["root"])]
        for step in path:
            if here["$type"] == "ArrayType":
                here = _of(found["types"], here["itemType"])
                continue
            properties = _properties(found["types"], here)
            if step in properties:
                if properties[step]["flags"] & WRITE_ONLY:
                    return None, f"{step} can be written and not read"
                here = _of(found["types"], properties[step]["type"])
            elif here.get("additionalProperties"):
                here = _of(found["types"], here["additionalProperties"])
            elif here["$type"] == "AnyType" or not properties:
                return None, ""
            else:
                return None, f"there is no {step} in a {thing.type}"
        return WANTED.get(here["$type"]), ""


@dataclass(frozen=True, slots=True)
class _Checker:
    all: Types
    types: Mapping[str, Kind]

    def check(self, value: Value, number: str, path: str, *, skip_required: bool = False) -> Iterator[str]:
        kind = self.types[number]
        if value is None or kind["$type"] == "AnyType":
            return
        if kind["$type"] == "UnionType":
            yield from self._union(value, kind, path)
            return
        wanted, given = WANTED[kind["$type"]], self._kind(value)
        if given not in (wanted, None):
            yield f"{path or 'its body'} is {wanted}, and is given {given} {value!r}"
        elif isinstance(value, dict):
            yield from self._object(value, kind, path, skip_required=skip_required)
        elif isinstance(value, list):
            yield from self._array(value, kind, path)
        elif not isinstance(value, Runtime):
            yield from _plain(value, kind, path)

    def _kind(self, value: Value) -> str | None:
        if isinstance(value, Runtime):
            return self.all.kind(value.thing, value.path)[0] if value.thing and value.thing.type else None
        return KINDS.get(type(value), type(value).__name__)

    def _union(self, value: Value, kind: Kind, path: str) -> Iterator[str]:
        elements = [_of(self.types, one) for one in kind["elements"]]
        literals = [one["value"] for one in elements if one["$type"] == "StringLiteralType"]
        given = self._kind(value)
        if given not in (None, *(WANTED.get(one["$type"]) for one in elements)):
            yield f"{path} may not be {given} {value!r}"
        elif isinstance(value, str) and literals and "{" not in value and value not in literals:
            yield f"{path} may be one of {literals}, and is {value!r}"

    def _object(self, value: dict[str, Value], kind: Kind, path: str, *, skip_required: bool) -> Iterator[str]:
        properties, more = kind.get("properties", {}), kind.get("additionalProperties")
        if kind["$type"] == "DiscriminatedObjectType":
            says = kind["discriminator"]
            chosen = value.get(says, value.get("name") if says == "name" else None)
            if chosen not in kind["elements"]:
                yield f"{path}.{says} may be one of {sorted(kind['elements'])}, and is {chosen!r}"
                return
            special = _of(self.types, kind["elements"][chosen])
            properties, more = {**kind["baseProperties"], **special["properties"]}, special.get("additionalProperties")
        yield from self._given(value, properties, more, path)
        for name, about in () if skip_required else properties.items():
            needed = about["flags"] & REQUIRED and not about["flags"] & READ_ONLY
            if needed and value.get(name) is None:
                yield f"lacks {path}.{name}, which is required"

    def _given(self, value: dict[str, Value], properties: Kind, more: Kind | None, path: str) -> Iterator[str]:
        for name, inner in value.items():
            at = f"{path}.{name}".lstrip(".")
            if name in properties:
                if properties[name]["flags"] & READ_ONLY:
                    yield f"{at} can only be read"
                yield from self.check(inner, _number(properties[name]["type"]), at)
            elif more:
                yield from self.check(inner, _number(more), at)
            else:
                near = get_close_matches(name, properties, 1)
                yield f"has no property {at}" + (f"; is {near[0]} meant?" if near else "")

    def _array(self, value: list[Value], kind: Kind, path: str) -> Iterator[str]:
        if not kind.get("minLength", 0) <= len(value) <= kind.get("maxLength", len(value)):
            yield f"{path} has {len(value)} items"
        for place, one in enumerate(value):
            yield from self.check(one, _number(kind["itemType"]), f"{path}[{place}]")


def _plain(value: Value, kind: Kind, path: str) -> Iterator[str]:
    if isinstance(value, str) and "{" not in value:
        if kind["$type"] == "StringLiteralType" and value != kind["value"]:
            yield f"{path} must be {kind['value']!r}, and is {value!r}"
        if not kind.get("minLength", 0) <= len(value) <= kind.get("maxLength", len(value)):
            yield f"{path} is {len(value)} characters long: {value!r}"
        if not re.search(kind.get("pattern", ""), value):
            yield f"{path} does not match {kind['pattern']}: {value!r}"
    if isinstance(value, int) and not kind.get("minValue", value) <= value <= kind.get("maxValue", value):
        yield f"{path} is {value}, outside {kind.get('minValue')} to {kind.get('maxValue')}"


def _place(thing: Thing) -> Iterator[str]:
    """A child's type continues its parent's; without a parent, its name has as many parts as its type."""
    parts = len(thing.type.split("/")) - 1
    if thing.parent and thing.type.rpartition("/")[0].lower() != thing.parent.type.lower():
        yield f"{thing.at}: {thing} is a {thing.type}, and its parent a {thing.parent.type}"
    if isinstance(thing.name, str) and len(thing.name.split("/")) != (1 if thing.parent else parts):
        yield f"{thing.at}: {thing} is a {thing.type}, and is named {thing.name}"


def _properties(known: Mapping[str, Kind], here: Kind) -> Kind:
    """Of an object; of one that comes in several kinds, those of all kinds."""
    properties = {**here.get("baseProperties", {}), **here.get("properties", {})}
    for one in here.get("elements", {}).values() if here["$type"] == "DiscriminatedObjectType" else ():
        properties |= _of(known, one)["properties"]
    return properties


def _number(reference: Kind) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _of(known: Mapping[str, Kind], reference: Kind) -> Kind:
    return known[_number(reference)]
