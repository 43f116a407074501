"""A file's bytes become a manifest: whatever its encoding, wrapper and comments; or the line it breaks at."""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from functions.manifests import placeholders
from functions.manifests.findings import Finding, Place, finding

type Kind = Literal["base", "layered", "not-a-deployment"]
type Json = dict[str, object]

AGENT, HUB, DESIRED = "$edgeAgent", "$edgeHub", "properties.desired"
FILE_BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 100  # of brackets; deeper ones are an attack on the reader, not a manifest
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DULL = re.compile(r"[^\"/\[\]{}$<#]*")
_OTHERS = ("deviceContent", "moduleContent")
_TRAITS = ('"modulesContent"', '"$edgeAgent"')


@dataclass(frozen=True, slots=True)
class Manifest:
    """A deployment as it stands in a file.

    Args:
        kind: base brings the whole of $edgeAgent; layered lies on one that does.
        modules: Module -> what is set: `properties.desired`, or `properties.desired.<path>`.
        at: Where the modules stand in the file.
        template: Whether a tool fills something in before it is sent.
        target: Target condition, if the file has one.
        priority: Priority, if the file has one.
        found: What is wrong with the file as a file.
    """

    kind: Kind
    modules: Mapping[str, object] = field(default_factory=dict)
    at: Place = ()
    template: bool = False
    target: str | None = None
    priority: int | None = None
    found: tuple[Finding, ...] = ()


def read(data: bytes, *, name: str = "") -> Manifest:
    """Read a manifest.

    Args:
        data: The file's bytes.
        name: The file's name; `.template.` in it tells a template.
    """
    try:
        text, found = _plain(_decoded(data))
        document = _parsed(text, found)
    except json.JSONDecodeError as problem:
        reason = f"line {problem.lineno}, column {problem.colno}: {problem.msg}"
        return Manifest(_guessed(data), found=(finding("JSON_SYNTAX", (), reason),))
    return _unwrapped(document, found, template=".template." in name or _has_gaps(document))


def _has_gaps(value: object) -> bool:
    """Whether a tool fills something in, or says that it does."""
    match value:
        case dict():
            return "$schema-template" in value or any(
                _has_gaps(inner) or (placeholders.holds_surely(name)) for name, inner in value.items()
            )
        case list():
            return any(_has_gaps(inner) for inner in value)
    return placeholders.holds(value)


def _decoded(data: bytes) -> str:
    if len(data) > FILE_BYTES_MAX:
        raise json.JSONDecodeError(f"{len(data)} bytes are more than {FILE_BYTES_MAX}", "", 0)
    encoding = next((encoding for mark, encoding in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        sound = data[: problem.start].decode(encoding, errors="replace")
        raise json.JSONDecodeError(f"not {encoding} text", sound + " ", len(sound)) from problem


def _plain(text: str) -> tuple[str, list[Finding]]:
    """Blank out comments and quote bare placeholders; positions stay, as far as quotes allow."""
    found: list[Finding] = []
    parts: list[str] = []
    at = depth = 0
    while at < len(text):
        if text[at] == '"':
            end = _string_end(text, at)
        elif text.startswith(("//", "/*"), at):
            end = _comment_end(text, at)
            blank = "".join("\n" if letter == "\n" else " " for letter in text[at:end])
            found = found or [finding("COMMENTS", (), f"line {text.count(chr(10), 0, at) + 1} has a comment")]
            parts.append(blank)
            at = end
            continue
        elif (end := placeholders.bare(text, at)) > at:
            parts.append(json.dumps(text[at:end]))
            at = end
            continue
        else:
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(text[at], 0)
            if depth > DEPTH_MAX:
                raise json.JSONDecodeError(f"more than {DEPTH_MAX} brackets deep", text, at)
            end = _DULL.match(text, at + 1).end()  # type: ignore[union-attr]  # matches everywhere, if only nothing
        parts.append(text[at:end])
        at = end
    return "".join(parts), found


def _string_end(text: str, start: int) -> int:
    at = start + 1
    while at < len(text) and text[at] not in '"\n':
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def _comment_end(text: str, start: int) -> int:
    close = "\n" if text.startswith("//", start) else "*/"
    end = text.find(close, start + 2)
    if end < 0 and close == "*/":
        raise json.JSONDecodeError("a comment that never ends", text, start)
    return len(text) if end < 0 else end + (2 if close == "*/" else 0)


def _parsed(text: str, found: list[Finding]) -> object:
    def once(pairs: list[tuple[str, object]]) -> Json:
        names = [name for name, _ in pairs]
        found.extend(
            finding("DUPLICATE_KEY", (), f"{name!r} stands twice in one object")
            for name in sorted({name for name in names if names.count(name) > 1})
        )
        return dict(pairs)

    def never(word: str) -> object:
        raise json.JSONDecodeError(f"{word} is no JSON number", text, text.find(word))

    def whole(digits: str) -> int:
        return int(digits) if len(digits) < len(str(2**64)) else 2**64  # as good as any number that is too large

    return json.loads(text, object_pairs_hook=once, parse_constant=never, parse_int=whole)


def _guessed(data: bytes) -> Kind:
    text = data.decode("utf-8", errors="replace")
    if not any(trait in text for trait in _TRAITS):
        return "not-a-deployment"
    return "base" if f'"{DESIRED}"' in text or f'"{DESIRED}.' not in text else "layered"


def _unwrapped(document: object, found: list[Finding], *, template: bool) -> Manifest:
    if not isinstance(document, dict):
        return _no_deployment(found, f"the file holds a {type(document).__name__}, not an object")
    outer, at = document, ()  # type: tuple[Json, Place]
    inner = document.get("content")
    if isinstance(inner, dict) and "modulesContent" not in document:
        outer, at = inner, ("content",)
    name = next((one for one in ("modulesContent", "moduleContent") if _is_wrapper(outer, one)), None)
    if name is None and AGENT not in outer and HUB not in outer:
        return _no_deployment(found, "there is neither modulesContent nor $edgeAgent")
    modules = outer[name] if name else {key: value for key, value in outer.items() if not key.startswith("$schema")}
    at = (*at, name) if name else at
    if name != "modulesContent":
        found.append(
            finding("WRAPPER", at, "it is called moduleContent")
            if name
            else finding("NO_WRAPPER", at, "the modules stand in the file without modulesContent")
        )
    if not isinstance(modules, dict):
        found.append(finding("WRAPPER", at, f"{name} is a {type(modules).__name__}, not an object"))
        return Manifest("base", at=at, template=template, found=tuple(found))
    target, priority = document.get("targetCondition"), document.get("priority")
    return Manifest(
        kind=_kind(modules),
        modules=modules,
        at=at,
        template=template,
        target=target if isinstance(target, str) else None,
        priority=priority if isinstance(priority, int) and not isinstance(priority, bool) else None,
        found=tuple(found),
    )


def _is_wrapper(outer: Json, name: str) -> bool:
    """Whether modules stand there; IoT Hub's configurations of devices and of one module have such names too."""
    inner = outer.get(name)
    if name == "modulesContent":
        return name in outer and (inner is not None or not any(outer.get(one) for one in _OTHERS))
    return isinstance(inner, dict) and (AGENT in inner or HUB in inner)


def _kind(modules: Json) -> Kind:
    agent, hub = modules.get(AGENT), modules.get(HUB)
    if agent == {} and isinstance(hub, dict) and DESIRED in hub:
        return "base"  # one that has lost its modules: a layer has no use for the whole of $edgeHub
    if not isinstance(agent, dict):
        others = [key for section in modules.values() if isinstance(section, dict) for key in section]
        return "layered" if any(key.startswith(f"{DESIRED}.") for key in others) else "base"
    return "base" if DESIRED in agent or any(not key.startswith(f"{DESIRED}.") for key in agent) else "layered"


def _no_deployment(found: list[Finding], reason: str) -> Manifest:
    return Manifest("not-a-deployment", found=(*found, finding("NOT_A_DEPLOYMENT", (), reason)))
