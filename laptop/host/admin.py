"""The host's own pages: its status, its functions, running one by hand, and the books of its invocations."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from azure.functions.meta import Datum
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.host import worker
from laptop.host.blobs import BlobTriggers
from laptop.host.event_hubs import Message, single_event
from laptop.host.invocations import Event, Invocations
from laptop.host.queues import fields
from laptop.host.timers import timer_event
from laptop.host.worker import Function

_BEGAN = time.monotonic()


class Admin:
    """`/admin/*` and `/laptop/invocations`.

    Args:
        functions: The app's functions by name.
        invocations: Runs them.
        blobs: Its blob functions, if it has any.
        disabled: Names of functions that nothing wakes.
        urls: Where HTTP functions answer, by name.
        host_id: The host's id.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        invocations: Invocations,
        *,
        blobs: BlobTriggers | None,
        disabled: Sequence[str],
        urls: Mapping[str, str],
        host_id: str,
    ) -> None:
        self._functions, self._invocations, self._blobs = functions, invocations, blobs
        self._disabled, self._urls, self._host_id = disabled, urls, host_id

    def routes(self) -> list[Route]:
        """The pages."""
        return [
            Route("/admin/host/status", self._status),
            Route("/admin/functions", self._list),
            Route("/admin/functions/{name}", self._show, methods=["GET"]),
            Route("/admin/functions/{name}", self._invoke, methods=["POST"]),
            Route("/laptop/invocations", self._books),
        ]

    async def _status(self, _: Request) -> Response:
        uptime_ms = int(1e3 * (time.monotonic() - _BEGAN))
        version = f"laptop, azure-functions-runtime {worker.VERSION}"
        return JSONResponse(
            {"id": self._host_id, "state": "Running", "version": version, "processUptime": uptime_ms, "errors": []}
        )

    async def _books(self, _: Request) -> Response:
        return JSONResponse(self._invocations.figures())

    async def _list(self, request: Request) -> Response:
        return JSONResponse([self._page(function, request) for function in self._functions.values()])

    async def _show(self, request: Request) -> Response:
        function = self._functions.get(request.path_params["name"])
        return Response(status_code=404) if function is None else JSONResponse(self._page(function, request))

    async def _invoke(self, request: Request) -> Response:
        function = self._functions.get(request.path_params["name"])
        if function is None:
            return Response(status_code=404)
        text = _input(await request.body())
        by_hand = {"httpTrigger": False, "blobTrigger": self._blobs is not None}.get(function.trigger.kind, True)
        if text is None or not by_hand:
            return Response(status_code=400)
        if self._blobs is not None and function.trigger.kind == "blobTrigger":
            self._invocations.work.start(self._blobs.run(function.name, text))
        else:
            self._invocations.start(function, _by_hand(function, text))
        return Response(status_code=202)

    def _page(self, function: Function, request: Request) -> dict[str, object]:
        bindings = [function.trigger, *function.outputs.values()]
        return {
            "name": function.name,
            "href": str(request.url_for("_show", name=function.name)),
            "config": {
                "name": function.name,
                "entryPoint": function.name,
                "scriptFile": function.script,
                "language": "python",
                "bindings": [{"type": one.kind, "name": one.name, **one.options} for one in bindings],
            },
            "invoke_url_template": self._urls.get(function.name),
            "isDisabled": function.name in self._disabled,
            "isDirect": True,
            "isProxy": False,
            "language": "python",
            "test_data": None,
        }


def _input(body: bytes) -> str | None:
    """The text in `{"input": text}`; None if the body is something else."""
    try:
        order = json.loads(body)
    except ValueError:
        return None
    value = order.get("input", "") if isinstance(order, dict) else {}
    if value is None:
        return ""
    return None if isinstance(value, dict | list) else str(value)


def _by_hand(function: Function, text: str) -> Event:
    match function.trigger.kind:
        case "timerTrigger":
            return timer_event(None, past_due=False)
        case "eventGridTrigger":
            data = fields(text).get("data")
            return Event(Datum(text, "json"), {"data": worker.document(data)}, expressions=lambda: fields(text))
        case "eventHubTrigger":  # one event even if the function takes many, as the real host does
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            message = Message(sequence_number=0, offset="0", enqueued_time_utc=now, body=text.encode())
            return single_event(message, {}, binary=function.trigger.text("dataType").upper() == "BINARY")
    metadata = {"Id": worker.text(str(uuid.uuid4())), "DequeueCount": worker.text("1")}
    return Event(worker.text(text), metadata, expressions=lambda: fields(text))
