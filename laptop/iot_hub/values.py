"""How IoT Hub's query language calculates: expressions over JSON documents, with undefined as a third truth value."""

from collections.abc import Callable, Mapping
from typing import Final


class _Undefined:
    """What a missing property evaluates to: neither true, nor false, nor equal to anything."""


UNDEFINED: Final = _Undefined()
Document = Mapping[str, object]
Expression = Callable[[Document], object]
Path = tuple[str, ...]


def lookup(document: object, path: Path) -> object:
    """The value at a path; UNDEFINED where there is none."""
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return UNDEFINED
        document = document[name]
    return document


def _truth(value: object) -> object:
    return value if isinstance(value, bool) else UNDEFINED


def either(left: Expression, right: Expression) -> Expression:
    """OR: true when one side is, whatever the other."""

    def test(document: Document) -> object:
        sides = (_truth(left(document)), _truth(right(document)))
        return True if True in sides else UNDEFINED if UNDEFINED in sides else False

    return test


def both(left: Expression, right: Expression) -> Expression:
    """AND: false when one side is, whatever the other."""

    def test(document: Document) -> object:
        sides = (_truth(left(document)), _truth(right(document)))
        return False if False in sides else UNDEFINED if UNDEFINED in sides else True

    return test


def negated(inner: Expression) -> Expression:
    """NOT: undefined stays undefined."""

    def test(document: Document) -> object:
        value = _truth(inner(document))
        return value if value is UNDEFINED else not value

    return test


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "null" if value is None else ""


_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _compare(a: object, symbol: str, b: object) -> object:
    """Only values of one primitive type compare; anything else is undefined, so that no filter passes on it."""
    kind = _kind(a)
    if not kind or kind != _kind(b):
        return UNDEFINED
    if symbol in ("=", "!=", "<>"):
        return (a == b) == (symbol == "=")
    return _ORDER[symbol](a, b) if kind in ("number", "string") else UNDEFINED  # type: ignore[arg-type]  # both of kind


def compared(left: Expression, symbol: str, right: Expression) -> Expression:
    """A comparison by one of ``= != <> < > <= >=``."""
    return lambda document: _compare(left(document), symbol, right(document))


def contained(left: Expression, values: list[object]) -> Expression:
    """IN: whether the value equals one of a list."""

    def test(document: Document) -> object:
        value = left(document)
        return value if value is UNDEFINED else any(_compare(value, "=", one) is True for one in values)

    return test


def calculated(left: Expression, symbol: str, right: Expression) -> Expression:
    """Arithmetic by one of ``+ - * / %``; undefined unless both sides are numbers."""

    def value(document: Document) -> object:
        a, b = left(document), right(document)
        if _kind(a) != "number" or _kind(b) != "number" or (symbol in "/%" and b == 0):
            return UNDEFINED
        return _ARITHMETIC[symbol](a, b)  # type: ignore[arg-type]  # both are numbers

    return value


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
}


def starting(left: Expression, right: Expression) -> Expression:
    """STARTSWITH: whether one string begins with the other."""

    def test(document: Document) -> object:
        a, b = left(document), right(document)
        return a.startswith(b) if isinstance(a, str) and isinstance(b, str) else UNDEFINED

    return test
