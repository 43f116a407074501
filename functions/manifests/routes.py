"""Routes of $edgeHub: `FROM <source> [WHERE <condition>] INTO <sink>`.

Source: Azure/iotedge, EndpointFactory.cs and RouteSpec; IoT Edge documentation, "Declare routes".
"""

import re
from dataclasses import dataclass

_ROUTE = re.compile(
    r"""(?isx)\s*FROM\s+(?P<source>\S+)(?:\s+WHERE\s+(?P<condition>.+?))?\s+INTO\s+
    (?P<sink>\$\w+|(?P<function>\w+)\s*\(\s*(?P<text>"[^"]*"|'[^']*')\s*\))\s*"""
)
_SOURCES = re.compile(
    r"(?i)/\*|/messages(/.*)?|/(twinChangeNotifications|deviceLifecycleEvents|moduleLifecycleEvents"
    r"|deviceConnectionStateEvents|digitalTwinChangeEvents)(/.*)?"
)
_FROM_MODULE = re.compile(r"(?i)/messages/modules/(?P<module>[^/*]+)(/.*)?")
_TEXTS = re.compile(r"""'[^']*'|"[^"]*\"""")
_DANGLING = re.compile(r"(?i)(=|<|>|!|\+|(?<!\w)(and|or|not))\s*$|^\s*(=|<|>|(and|or)(?!\w))")


class RouteError(ValueError):
    """A text that is no route; says why."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route that $edgeHub can read.

    Args:
        source_module: Module it reads from; empty for any.
        sink_module: Module it writes to; empty for the cloud.
        known_source: Whether messages come from such a source at all.
    """

    source_module: str
    sink_module: str
    known_source: bool


def parse(text: str) -> Route:
    """Read a route.

    Raises:
        RouteError: $edgeHub would refuse it, and with it the whole configuration.
    """
    match = _ROUTE.fullmatch(text)
    if not match:
        raise RouteError(f"{text[:120]!r} is not FROM <source> [WHERE <condition>] INTO <sink>")
    source = match["source"]
    if not source.startswith("/"):
        raise RouteError(f"the source {source[:60]!r} does not start with a slash")
    if match["condition"] is not None:
        _check_condition(match["condition"])
    module = _FROM_MODULE.fullmatch(source)
    return Route(module["module"] if module else "", _sink(match), bool(_SOURCES.fullmatch(source)))


def _sink(match: re.Match[str]) -> str:
    if match["function"] is None:
        if match["sink"].lower() != "$upstream":
            raise RouteError(f"the sink {match['sink']!r} is not $upstream")
        return ""
    if match["function"].lower() != "brokeredendpoint":
        raise RouteError(f"the sink {match['function']!r} is not BrokeredEndpoint")
    parts = match["text"][1:-1].strip().removeprefix("/").removesuffix("/").split("/")
    if len(parts) != len(("modules", "name", "inputs", "name")):
        raise RouteError(f"the endpoint {match['text']} is not /modules/<module>/inputs/<input>")
    return parts[1]


def _check_condition(text: str) -> None:
    bare = _TEXTS.sub("0", text)
    if "'" in bare or '"' in bare:
        raise RouteError("the condition has a text that never ends")
    depth = 0
    for letter in bare:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth < 0:
            break
    if depth:
        raise RouteError("the condition's parentheses do not match")
    if _DANGLING.search(bare):
        raise RouteError("the condition has an operator without an operand")
