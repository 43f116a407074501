"""IoT Hub's rules for the desired properties of any module: names, texts, numbers, depth, size.

Source: IoT Hub developer guide, device and module twins, "Tags and properties format" and "Twin size".
"""

import re
from collections.abc import Iterator

from functions.manifests import placeholders
from functions.manifests.findings import Finding, Place, finding

DESIRED_BYTES_MAX = 32 * 1024
NAME_BYTES_MAX, TEXT_BYTES_MAX = 1024, 4096
DEPTH_MAX = 10  # of objects below properties.desired
NUMBER_BYTES, BOOLEAN_BYTES = 8, 4
WHOLE = range(-(2**52), 2**52)
_BAD_NAME = re.compile(r"[\x00-\x20\x7f-\x9f.$]")


def check_twin(desired: object, at: Place, *, template: bool) -> Iterator[Finding]:
    """Hold a module's desired properties against IoT Hub's rules."""
    size = size_bytes(desired)
    if size > DESIRED_BYTES_MAX:
        yield finding("TWIN_SIZE", at, f"{size} bytes of desired properties")
    yield from _walk(desired, at, 0, template=template)


def size_bytes(value: object) -> int:
    """What IoT Hub counts a value as, bytes: names and texts in UTF-8, 8 a number, 4 a boolean."""
    match value:
        case dict():
            return sum(len(str(name).encode()) + size_bytes(inner) for name, inner in value.items())
        case list():
            return sum(size_bytes(inner) for inner in value)
        case str():
            return len(value.encode(errors="replace"))
        case bool():
            return BOOLEAN_BYTES
        case None:
            return 0
    return NUMBER_BYTES


def _walk(value: object, at: Place, depth: int, *, template: bool) -> Iterator[Finding]:
    match value:
        case dict():
            if depth > DEPTH_MAX:
                yield finding("TWIN_DEPTH", at, f"an object on level {depth} below properties.desired")
                return
            for name, inner in value.items():
                yield from _name(str(name), (*at, name))
                yield from _walk(inner, (*at, name), depth + 1, template=template)
        case list():
            for index, inner in enumerate(value):
                yield from _walk(inner, (*at, index), depth, template=template)
        case str() if len(value.encode(errors="replace")) > TEXT_BYTES_MAX and not template:
            yield finding("TWIN_STRING", at, f"a text of {len(value.encode(errors='replace'))} bytes")
        case int() if not isinstance(value, bool) and value not in WHOLE:
            yield finding("TWIN_NUMBER", at, "a whole number that IoT Hub does not keep exactly")


def _name(name: str, at: Place) -> Iterator[Finding]:
    if _BAD_NAME.search(name) and not placeholders.holds_surely(name):
        yield finding("TWIN_KEY", at, f"the name {name[:40]!r}")
    if len(name.encode(errors="replace")) > NAME_BYTES_MAX:
        yield finding("TWIN_STRING", at, f"a name of {len(name.encode(errors='replace'))} bytes")
