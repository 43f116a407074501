"""The manners of ARM over HTTP: versions, options, pages, bodies, and errors in its envelope."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast, get_args
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from laptop.identity import Unauthorized
from laptop.ml.assets import View
from laptop.ml.refusal import Refusal, unsupported, user_error

API_VERSIONS = (
    "2023-04-01", "2023-04-01-preview", "2023-08-01-preview", "2024-01-01-preview",
    "2024-10-01-preview", "2025-01-01-preview",
)  # fmt: skip
PAGE = 30  # resources per answer; the others are behind nextLink
Handler = Callable[[Request], Awaitable[Response]]


def check_options(request: Request, known: Sequence[str]) -> None:
    """Refuse a request for a version or an option that is not honoured here.

    Raises:
        Refusal: It names no api-version, an unknown one, or an unknown option.
    """
    version = request.query_params.get("api-version")
    if version is None:
        raise Refusal(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if version not in API_VERSIONS:
        raise Refusal(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(API_VERSIONS)}'.",
        )
    for option in request.query_params:
        if option not in ("api-version", *known):
            raise unsupported(f"The option {option} of {request.method} {request.url.path}")


async def properties(request: Request) -> dict[str, Any]:
    """The properties of the resource in the body.

    Raises:
        Refusal: The body is not JSON, or not a resource.
    """
    body = await json_object(request)
    found = body.get("properties")
    if not isinstance(found, dict):
        raise _bad_content("it has no object named properties")
    return found


async def json_object(request: Request) -> dict[str, Any]:
    """The body, a JSON object; empty when there is no body.

    Raises:
        Refusal: It is something else.
    """
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as problem:
        raise _bad_content(str(problem)) from problem
    if not isinstance(body, dict):
        raise _bad_content("it is not an object")
    return body


def view(request: Request) -> View:
    """Whether archived resources are asked for.

    Raises:
        Refusal: The option has an unknown value.
    """
    asked = request.query_params.get("listViewType", "ActiveOnly")
    if asked not in get_args(View):
        raise user_error(f"The listViewType {asked} is unknown; use one of {', '.join(get_args(View))}.")
    return cast("View", asked)


def number(request: Request, option: str, default: int) -> int:
    """A non-negative whole number among the options.

    Raises:
        Refusal: It is something else.
    """
    text = request.query_params.get(option, str(default))
    if not text.isdigit():
        raise user_error(f"The option {option} must be a whole number, not '{text}'.")
    return int(text)


def page(request: Request, base_url: str, *, resources: Sequence[dict[str, Any]]) -> JSONResponse:
    """One page of a list, with the address of the next one while there is more.

    Args:
        request: Says where the page starts ($skip) and how many are wanted at most ($top).
        base_url: The endpoint's own address, without a path.
        resources: The whole list.
    """
    start, top = number(request, "$skip", 0), number(request, "$top", len(resources))
    end = min(start + PAGE, top, len(resources))
    answer: dict[str, Any] = {"value": list(resources[start:end])}
    if end < min(top, len(resources)):
        query = {**request.query_params, "$skip": str(end)}
        answer["nextLink"] = f"{base_url}{request.url.path}?{urlencode(query)}"
    return JSONResponse(answer)


async def refused(_: Request, problem: Exception) -> Response:
    """The answer to a refusal."""
    assert isinstance(problem, Refusal)  # noqa: S101 - Starlette's signature is wider than its promise
    return JSONResponse(problem.body(), status_code=problem.status)


async def unauthorized(_: Request, problem: Exception) -> Response:
    """The answer to a missing or foreign token."""
    assert isinstance(problem, Unauthorized)  # noqa: S101 - Starlette's signature is wider than its promise
    refusal = Refusal(401, "InvalidAuthenticationToken", f"{problem.what}: {problem.why}. {problem.fix}.")
    return JSONResponse(refusal.body(), status_code=401, headers={"WWW-Authenticate": "Bearer"})


async def no_route(request: Request, problem: Exception) -> Response:
    """The answer to a path or method nobody serves here."""
    what = f"{request.method} {request.url.path}"
    if getattr(problem, "status_code", 404) == 405:  # noqa: PLR2004 - method not allowed
        refusal = Refusal(405, "MethodNotAllowed", f"{what} is not supported by the laptop's endpoint.")
    else:
        refusal = Refusal(404, "InvalidResourceType", f"{what} could not be found: no such resource type here.")
    return JSONResponse(refusal.body(), status_code=refusal.status)


def _bad_content(why: str) -> Refusal:
    return Refusal(400, "InvalidRequestContent", f"The request content was invalid: {why}.")
