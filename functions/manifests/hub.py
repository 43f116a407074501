"""What $edgeHub reads: routes and how long messages are kept; whole in a base, path by path in a layer.

Source: Azure/iotedge, edge-hub (EdgeHubConfigParser.cs, RouteSpecConverter.cs).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from functions.manifests.agent import HUB_VERSIONS, SYSTEM, UINT32, check_version
from functions.manifests.findings import Finding, Place, finding
from functions.manifests.placeholders import holds_surely, is_open
from functions.manifests.routes import RouteError, parse
from functions.manifests.values import out_of_range, unknown_keys, wrong_type

PRIORITY_MAX = 9
_KNOWN = ("schemaVersion", "routes", "storeAndForwardConfiguration", "mqttBroker", "integrity")


@dataclass(frozen=True, slots=True)
class HubCheck:
    """Checks of one $edgeHub section.

    Args:
        modules: Names of the modules that routes may name; None where a base below may have more.
    """

    modules: Collection[str] | None

    def whole(self, desired: Mapping[str, object], at: Place) -> Iterator[Finding]:
        """The whole of $edgeHub, as a base has it."""
        version = desired.get("schemaVersion")
        yield from check_version(version, (*at, "schemaVersion"), known=HUB_VERSIONS)
        routes = desired.get("routes")
        if routes is None:
            code = "MISSING_DEFAULT" if version == "1.0" else "MISSING"
            yield finding(code, at, "there is no routes")
        else:
            yield from self._routes(routes, (*at, "routes"), old=version == "1.0")
        kept = desired.get("storeAndForwardConfiguration")
        if kept is None:
            yield finding("MISSING_DEFAULT", at, "there is no storeAndForwardConfiguration")
        else:
            yield from _kept(kept, (*at, "storeAndForwardConfiguration"))
        yield from unknown_keys(desired, at, known=_KNOWN)

    def path(self, parts: tuple[str, ...], value: object, at: Place) -> Iterator[Finding]:
        """One path of $edgeHub, as a layer has it."""
        match parts:
            case ("routes",):
                yield from self._routes(value, at, old=False)
            case ("routes", _):
                yield from self._route(value, at, old=False)
            case ("storeAndForwardConfiguration",):
                yield from _kept(value, at)
            case ("storeAndForwardConfiguration", "timeToLiveSecs"):
                yield from _seconds(value, at)
            case ("schemaVersion",):
                yield from check_version(value, at, known=HUB_VERSIONS)

    def _routes(self, value: object, at: Place, *, old: bool) -> Iterator[Finding]:
        if not isinstance(value, dict):
            yield from wrong_type(value, at, dict)
            return
        for name, route in value.items():
            if not str(name).strip():
                yield finding("ROUTE_SYNTAX", (*at, name), "a route has no name")
            yield from self._route(route, (*at, name), old=old)

    def _route(self, value: object, at: Place, *, old: bool) -> Iterator[Finding]:
        match value:
            case None:
                return  # null removes it
            case str():
                if value.strip() or not old:
                    yield from self._text(value, at)
            case dict():
                if old:
                    yield finding("ROUTE_OBJECT_VERSION", at, "is an object, and schemaVersion is 1.0")
                if not isinstance(value.get("route"), str):
                    yield finding("MISSING" if value.get("route") is None else "WRONG_TYPE", at, "route is no text")
                else:
                    yield from self._text(str(value["route"]), (*at, "route"))
                yield from _numbers(value, at)
                yield from unknown_keys(value, at, known=("route", "priority", "timeToLiveSecs"))
            case _:
                yield finding("WRONG_TYPE", at, "is neither a text nor an object")

    def _text(self, text: str, at: Place) -> Iterator[Finding]:
        if holds_surely(text):
            return
        try:
            route = parse(text)
        except RouteError as problem:
            yield finding("ROUTE_SYNTAX", at, str(problem))
            return
        if not route.known_source:
            yield finding("ROUTE_SOURCE", at, f"no message comes from the source of {text[:80]!r}")
        for name in {route.source_module, route.sink_module} - {""}:
            if self.modules is not None and name not in (*self.modules, *SYSTEM, "$edgeAgent", "$edgeHub"):
                yield finding("ROUTE_MODULE", at, f"there is no module {name[:60]!r}")


def _numbers(value: Mapping[str, object], at: Place) -> Iterator[Finding]:
    for name, most in (("priority", PRIORITY_MAX), ("timeToLiveSecs", UINT32)):
        if value.get(name) is not None:
            yield from out_of_range(value[name], (*at, name), most=most, rule="ROUTE_NUMBER")


def _kept(value: object, at: Place) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield from wrong_type(value, at, dict)
    elif value.get("timeToLiveSecs") is None:
        yield finding("MISSING_DEFAULT", at, "there is no timeToLiveSecs")
    else:
        yield from _seconds(value["timeToLiveSecs"], (*at, "timeToLiveSecs"))


def _seconds(value: object, at: Place) -> Iterator[Finding]:
    if not is_open(value):
        yield from wrong_type(value, at, int)
