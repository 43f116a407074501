"""Whether a value may be a parameter's: its written type, and its decorators."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.bicep.syntax import Array, Literal, Parameter, Text
from tests.infra.bicep.values import Runtime, Thing, Value


class Wrong(Exception):
    """An expression that no deployment could evaluate; the message says what is wrong, and where."""


KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "int": (int,), "bool": (bool,), "object": (dict,), "array": (list,),
}  # fmt: skip


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of a written type: a name, `kind[]`, an object type or a union of literals."""
    kind = kind.strip()
    if kind.endswith("?"):
        return value is None or fits(kind[:-1], value)
    if kind.startswith("{"):
        return isinstance(value, dict)
    if "|" in kind or kind.startswith("'"):
        return isinstance(value, Runtime) or any(value == one.strip().strip("'") for one in kind.split("|"))
    if kind.endswith("[]"):
        inner = kind[:-2].removeprefix("(").removesuffix(")")
        return isinstance(value, list) and all(fits(inner, one) for one in value)
    if isinstance(value, Runtime) and value.path[:1] != ("outputs",):
        return True  # a property of a resource: the published types know its type, a deployment only its text
    return isinstance(value, KINDS.get(kind, ())) and (kind == "bool") == isinstance(value, bool)


def check_parameter(parameter: Parameter, value: Value) -> Iterator[str]:
    """What is wrong with a value for a parameter; one that only Azure knows is not measured."""
    if value is None and parameter.nullable:
        return
    if isinstance(value, Thing) or not fits(parameter.type, value):
        yield f"{parameter.name} is declared {parameter.type}, and is given {value!r}"
        return
    if isinstance(value, Runtime):
        return
    limits = {one.name: plain(one.arguments[0]) for one in parameter.decorators if one.arguments}
    if "allowed" in limits and value not in limits["allowed"]:
        yield f"{parameter.name} may be one of {limits['allowed']}, and is given {value!r}"
    size = len(value) if isinstance(value, str | list | dict) else 0
    number = value if isinstance(value, int) else 0
    for name, broken in (
        ("minLength", size < limits.get("minLength", 0)),
        ("maxLength", size > limits.get("maxLength", size)),
        ("minValue", number < limits.get("minValue", number)),
        ("maxValue", number > limits.get("maxValue", number)),
    ):
        if broken:
            yield f"{parameter.name} has @{name}({limits[name]}), and is given {value!r}"


def secure(parameter: Parameter) -> bool:
    """Whether its value is kept out of logs."""
    return any(one.name == "secure" for one in parameter.decorators)


def looks_secret(name: str) -> bool:
    """Whether a name says that its value is a secret."""
    return bool(re.search(r"(?i)(secret|password|connectionstring|accountkey|sharedaccess|sastoken|privatekey)", name))


def plain(node: object) -> Any:  # a value of any kind
    """The value of a literal, a plain text or an array of those; None for anything else."""
    match node:
        case Literal(value=value):
            return value
        case Text(parts=parts):
            return "".join(str(part) for part in parts)
        case Array(items=items):
            return [plain(one) for one in items]
    return None
