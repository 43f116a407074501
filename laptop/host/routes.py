"""HTTP routes of functions, as ASP.NET reads them: `a/{id}`, `{id:int}`, `{id?}`, `{*rest}`, in any letter case."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from laptop.host.settings import CannotStart
from laptop.host.worker import Function

_PARAMETER = re.compile(r"\{(?P<all>\*{0,2})(?P<name>\w+)(?::(?P<kind>\w+))?(?P<optional>\?)?\}")
_KINDS = {
    None: r"[^/]+",
    "alpha": r"[A-Za-z]+",
    "bool": r"true|false",
    "guid": r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}",
    "int": r"-?\d+",
    "long": r"-?\d+",
}
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "QUERY", "TRACE")


@dataclass(frozen=True, slots=True)
class FunctionRoute:
    """One HTTP function's address.

    Args:
        function: The function.
        path: Its whole template, with the app's prefix.
        methods: What it answers, upper case.
        pattern: Matches request paths.
        order: Sorts routes: literals before parameters before the rest.
    """

    function: Function
    path: str
    methods: Sequence[str]
    pattern: re.Pattern[str]
    order: tuple[int, ...]

    @classmethod
    def of(cls, function: Function, prefix: str) -> Self:
        """Read an HTTP trigger.

        Args:
            function: The function.
            prefix: host.json's routePrefix.

        Raises:
            CannotStart: The template uses something this host does not know.
        """
        template = "/".join(part.strip("/") for part in (prefix, function.trigger.text("route", function.name)) if part)
        segments = [segment for segment in template.split("/") if segment]
        pattern = "".join(_segment(segment, function) for segment in segments)
        methods = [method.upper() for method in function.trigger.options.get("methods") or METHODS]
        order = tuple(2 if "{*" in segment else 1 if "{" in segment else 0 for segment in segments)
        return cls(function, "/" + "/".join(segments), methods, re.compile(f"{pattern}/?", re.IGNORECASE), order)


class Routes:
    """All HTTP functions of an app.

    Args:
        routes: Their routes, in any order.
    """

    def __init__(self, routes: Sequence[FunctionRoute]) -> None:
        self._routes = sorted(routes, key=lambda route: route.order)

    def find(self, method: str, path: str) -> tuple[Function, dict[str, str]] | None:
        """The function that answers a request, and its route parameters; None if none does."""
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is not None and method in route.methods:
                return route.function, {name: value or "" for name, value in match.groupdict().items() if value}
        return None


def _segment(segment: str, function: Function) -> str:
    match = _PARAMETER.fullmatch(segment)
    if match is None:
        if "{" in segment:
            raise _unknown(segment, function)
        return "/" + re.escape(segment)
    if match["kind"] not in _KINDS:
        raise _unknown(segment, function)
    if match["all"]:
        return f"(?:/(?P<{match['name']}>.*))?"
    one = f"/(?P<{match['name']}>{_KINDS[match['kind']]})"
    return f"(?:{one})?" if match["optional"] else one


def _unknown(segment: str, function: Function) -> CannotStart:
    known = ", ".join(kind for kind in _KINDS if kind)
    return CannotStart(
        f"function {function.name}, route {function.trigger.text('route')!r} cannot be bound",
        why=f"{segment!r} is no parameter this host can match",
        fix=f"use {{name}}, {{name?}}, {{*name}} or {{name:kind}} with one of {known}, a whole segment each",
    )
