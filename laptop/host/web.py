"""The host's HTTP side: admin pages first, then the webhooks, then the functions' own routes."""

import logging
from collections.abc import Sequence

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from laptop.host.admin import Admin
from laptop.host.http_trigger import HttpFunctions
from laptop.host.routes import METHODS, FunctionRoute
from laptop.host.webhooks import BlobWebhook, EventGridWebhook
from laptop.host.worker import Function

_log = logging.getLogger("host")


def web(admin: Admin, grid: EventGridWebhook, blobs: BlobWebhook, functions: HttpFunctions) -> Starlette:
    """The application the server runs."""

    async def webhook(request: Request) -> Response:
        match request.path_params["extension"].lower():
            case "eventgrid":
                return await grid.answer(request)
            case "blobs":
                return await blobs.answer(request)
        return Response(status_code=404)

    routes: list[BaseRoute] = [
        *admin.routes(),
        Route("/runtime/webhooks/{extension}", webhook, methods=list(METHODS)),
        Route("/{path:path}", functions.answer, methods=list(METHODS)),
    ]
    handlers = {404: _empty, 405: _empty, msgspec.DecodeError: _unreadable}
    return Starlette(routes=routes, exception_handlers=handlers)


def table(
    functions: Sequence[Function], routes: Sequence[FunctionRoute], url: str, disabled: Sequence[str]
) -> list[str]:
    """One line per function: what wakes it, and where.

    Args:
        functions: The app's functions.
        routes: The routes of its HTTP functions.
        url: The host's address.
        disabled: Names of functions that nothing wakes.
    """
    http = {route.function.name: f"[{','.join(route.methods)}] {url}{route.path}" for route in routes}
    lines = []
    for function in functions:
        where = "disabled" if function.name in disabled else http.get(function.name) or _address(function, url)
        lines.append(f"{function.name}: {function.trigger.kind} → {where}")
    return lines


def _address(function: Function, url: str) -> str:
    trigger = function.trigger
    match trigger.kind:
        case "eventGridTrigger":
            return f"{url}/runtime/webhooks/eventgrid?functionName={function.name}"
        case "blobTrigger":
            return f"{url}/runtime/webhooks/blobs?functionName=Host.Functions.{function.name}"
        case "eventHubTrigger":
            return f"{trigger.text('eventHubName')} as {trigger.text('consumerGroup', '$Default')}"
    return trigger.text("schedule") or trigger.text("queueName")


async def _unreadable(_: Request, problem: Exception) -> Response:
    """Not left to the server, which would close the connection just as its next request may be on the way."""
    _log.warning("a call could not be read: %s", problem)
    return Response(status_code=500)


async def _empty(_: Request, problem: Exception) -> Response:
    return Response(status_code=getattr(problem, "status_code", 404))
