"""Values that are longer than a property of Table Storage may be, kept over as many properties as they need.

A value is cut into full parts and a last one that is not full: `state`, `state__2`, `state__3`, ... So whoever reads
knows where it ends, whatever a longer one that was there before has left behind, and a part may be empty.
"""

import re
from collections.abc import Iterator
from typing import Final

from functions.ports import Row, Value

_BYTES: Final = 64 * 1024  # of a property; the service's own limit
_CHARACTERS: Final = 16 * 1024  # as many take 64 KiB at most, as UTF-16
_FURTHER: Final = re.compile(r".+__\d+")  # a property that is a further part; no name in a row looks like it


def cut(row: Row) -> dict[str, Value]:
    """The properties that hold a row."""
    return {name: part for whole, value in row.items() for name, part in _cut(whole, value)}


def joined(properties: Row) -> dict[str, Value]:
    """The row that `cut` made properties of."""
    return {
        name: _joined(name, value, properties) for name, value in properties.items() if not _FURTHER.fullmatch(name)
    }


def goes_on(value: Value) -> bool:
    """Whether a property is a full part, which another one follows."""
    return isinstance(value, bytes | str) and len(value) == _most(value)


def _cut(name: str, value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, bytes | str):
        most = _most(value)
        for number, start in enumerate(range(0, len(value) + 1, most), 1):
            yield _named(name, number), value[start : start + most]
    else:
        yield name, value


def _joined(name: str, value: Value, properties: Row) -> Value:
    whole, part, number = value, value, 1
    while goes_on(part):
        number += 1
        part = properties[_named(name, number)]
        whole += part  # type: ignore[operator] # parts of one value are of its type
    return whole


def _most(value: bytes | str) -> int:
    return _BYTES if isinstance(value, bytes) else _CHARACTERS


def _named(name: str, number: int) -> str:
    return name if number == 1 else f"{name}__{number}"
