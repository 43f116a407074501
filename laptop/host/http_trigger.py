"""HTTP triggers: a request becomes what the worker expects, the function's answer becomes a response."""

from http.cookies import SimpleCookie

from azure.functions.meta import Datum
from starlette.requests import Request
from starlette.responses import Response

from laptop.host import worker
from laptop.host.invocations import Event, Invocations, outputs
from laptop.host.routes import Routes
from laptop.host.worker import Function, Outcome


class HttpFunctions:
    """Everything below the route prefix; what no function answers is 404, also when only the method differs.

    Args:
        routes: The functions.
        invocations: Runs them.
    """

    def __init__(self, routes: Routes, invocations: Invocations) -> None:
        self._routes, self._invocations = routes, invocations

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        found = self._routes.find(request.method, request.scope["path"])
        if found is None:
            return Response(status_code=404)
        function, parameters = found
        event = Event(await _read(request, parameters), trace=request.headers.get("traceparent", ""))
        outcome = await self._invocations.start(function, event)
        return _response(function, outcome)


async def _read(request: Request, parameters: dict[str, str]) -> Datum:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        query[name] = f"{query[name]},{value}" if name in query else value
    return Datum(
        {
            "method": worker.text(request.method),
            "url": worker.text(_url(request)),
            "headers": _texts(headers),
            "params": _texts(parameters),
            "query": _texts(query),
            "body": worker.blob(await request.body()),
        },
        "http",
    )


def _url(request: Request) -> str:
    """The address as the client wrote it: Starlette's own has lost the escapes."""
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1")
    return f"{request.url.scheme}://{request.url.netloc}{path}" + (f"?{query}" if query else "")


def _texts(values: dict[str, str]) -> dict[str, Datum]:
    return {name: worker.text(value) for name, value in values.items()}


def _response(function: Function, outcome: Outcome) -> Response:
    if not outcome.succeeded:
        return Response(status_code=500)
    given = [value for name, value in outputs(function, outcome) if function.outputs[name].kind == "http"]
    if not given:
        return Response(status_code=204)
    answer = given[0]
    if answer.type != "http":
        return Response(answer.value, media_type="text/plain")
    body = answer.value["body"].value
    response = Response(body, int(answer.value["status_code"].value))
    for name, value in answer.value["headers"].items():
        response.headers[name] = value.value
    cookies: list[SimpleCookie] = answer.value.get("cookies") or []
    for cookie in cookies:
        for morsel in cookie.values():
            response.headers.append("set-cookie", morsel.OutputString())
    return response
