"""Small questions to a JSON value that say what is wrong where: type, choice, range. Placeholders pass them all."""

from collections.abc import Iterator, Mapping, Sequence

from functions.manifests.findings import Finding, Place, finding
from functions.manifests.placeholders import is_open

TYPES: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


def wrong_type(value: object, at: Place, wanted: type) -> Iterator[Finding]:
    """Say so unless a value is of a type, or open."""
    sound = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if not sound and not is_open(value):
        yield finding("WRONG_TYPE", at, f"is {TYPES.get(type(value), 'something else')}, not {TYPES[wanted]}")


def no_choice(value: object, at: Place, *, of: Sequence[str], rule: str) -> Iterator[Finding]:
    """Say so unless a text is one of a few."""
    if is_open(value):
        return
    if not isinstance(value, str):
        yield finding("WRONG_TYPE", at, f"is {TYPES.get(type(value), 'something else')}, not a text")
    elif value.lower() not in of or (value not in of and len(of) == 1):  # the agent compares a lone choice exactly
        yield finding(rule, at, f"{value[:60]!r} is none of {', '.join(of)}")
    elif value not in of:
        yield finding("LETTER_CASE", at, f"{value!r} instead of {value.lower()!r}")


def out_of_range(value: object, at: Place, *, most: int, rule: str) -> Iterator[Finding]:
    """Say so unless a value is a whole number from 0 to a limit."""
    if is_open(value):
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole:
        yield finding("WRONG_TYPE", at, f"is {TYPES.get(type(value), 'something else')}, not a whole number")
    elif not 0 <= int(str(value)) <= most:
        yield finding(rule, at, f"{value} is not from 0 to {most}")


def unknown_keys(value: Mapping[str, object], at: Place, *, known: Sequence[str]) -> Iterator[Finding]:
    """Say which names nobody reads."""
    for name in value:
        if name not in known and not is_open(name):
            yield finding("UNKNOWN_KEY", (*at, name), f"{name!r} is none of {', '.join(known)}")
