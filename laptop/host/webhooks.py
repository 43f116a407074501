"""Event Grid's two doors into the host, the event and the blob webhook, as Microsoft's extensions answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from laptop.host import worker
from laptop.host.blobs import BlobTriggers
from laptop.host.invocations import Event, Invocations
from laptop.host.worker import Function

Deliver = Callable[[Sequence[msgspec.Raw]], Awaitable[Response]]
_NULL = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct, rename="camel"):
    """The part of an event both doors look at, in Event Grid's schema or CloudEvents."""

    data: msgspec.Raw = _NULL
    event_type: str = ""
    type: str = ""


class _Code(msgspec.Struct, rename="camel"):
    validation_code: str


class _Validation(msgspec.Struct):
    data: _Code


class _Blob(msgspec.Struct):
    url: str


class EventGridWebhook:
    """POST /runtime/webhooks/eventgrid?functionName=F.

    Args:
        functions: The app's functions that run; it serves those with an Event Grid trigger.
        invocations: Runs them.
    """

    def __init__(self, functions: Sequence[Function], invocations: Invocations) -> None:
        self._functions = {one.name: one for one in functions if one.trigger.kind == "eventGridTrigger"}
        self._invocations = invocations

    async def answer(self, request: Request) -> Response:
        """Answer a handshake, or run the function once per event, all at the same time."""
        name = request.query_params.get("functionName", "")
        function = self._functions.get(name)
        if function is None:
            return Response(f"cannot find function: '{name}'", 404)

        async def deliver(events: Sequence[msgspec.Raw]) -> Response:
            outcomes = await asyncio.gather(*(self._invocations.start(function, _event(raw)) for raw in events))
            failed = [outcome.error for outcome in outcomes if not outcome.succeeded]
            if failed:
                return Response(f"Exception while executing function: Functions.{name} -> {failed[0]}", 500)
            return Response(status_code=202)

        return await _answer(request, deliver)


class BlobWebhook:
    """POST /runtime/webhooks/blobs?functionName=Host.Functions.F.

    Args:
        blobs: The app's blob functions, or None if it has none.
    """

    def __init__(self, blobs: BlobTriggers | None) -> None:
        self._blobs = blobs

    async def answer(self, request: Request) -> Response:
        """Answer a handshake, or put every created blob in the function's queue."""
        name = request.query_params.get("functionName", "").removeprefix("Host.Functions.")
        blobs = self._blobs
        if blobs is None or name not in blobs:
            return Response(f"cannot find function: '{name}'", 404)

        async def deliver(events: Sequence[msgspec.Raw]) -> Response:
            for raw in events:
                event = msgspec.json.decode(raw, type=_Envelope)
                if (event.event_type or event.type) == "Microsoft.Storage.BlobCreated":
                    await blobs.announce(name, msgspec.json.decode(event.data, type=_Blob).url)
            return Response(status_code=202)

        return await _answer(request, deliver)


async def _answer(request: Request, deliver: Deliver) -> Response:
    if request.method == "OPTIONS":
        origin = request.headers.get("webhook-request-origin", "eventgrid.azure.net")
        return Response(headers={"Webhook-Allowed-Origin": origin})
    match request.headers.get("aeg-event-type", "").lower():
        case "subscriptionvalidation":
            (event, *_) = _elements(await request.body()) or [msgspec.Raw(b"{}")]
            code = msgspec.json.decode(event, type=_Validation).data.validation_code
            return JSONResponse({"validationResponse": code})
        case "notification":
            return await deliver(_elements(await request.body()))
        case "unsubscribe":
            return Response(status_code=202)
    return Response(status_code=400)


def _elements(body: bytes) -> list[msgspec.Raw]:
    return msgspec.json.decode(body if body.lstrip().startswith(b"[") else b"[" + body + b"]", type=list[msgspec.Raw])


def _event(raw: msgspec.Raw) -> Event:
    """One delivered event, byte for byte; what is not even an object fails in the worker, as it does in Azure."""
    try:
        data = msgspec.json.decode(raw, type=_Envelope).data
    except msgspec.ValidationError:
        data = _NULL
    return Event(
        worker.raw_document(bytes(raw)),
        {"data": worker.raw_document(bytes(data))},
        reason="EventGrid trigger fired",
        expressions=lambda: msgspec.json.decode(raw, type=dict[str, object]),
    )
