"""IoT Hub's service API, version 2021-04-12, over HTTP; and the event hub's messages for the Functions host."""

import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.identity import Identity, Unauthorized
from laptop.iot_hub import sas
from laptop.iot_hub.bodies import (
    ConfigurationBody,
    Content,
    IdentityBody,
    MethodBody,
    QueryBody,
    TestQueriesBody,
    TwinBody,
    modules_of,
    read,
)
from laptop.iot_hub.configurations import etag
from laptop.iot_hub.errors import HubError, not_supported
from laptop.iot_hub.query import QueryError, parse_query, parse_target_condition
from laptop.iot_hub.registry import Name
from laptop.iot_hub.telemetry_log import EVENT_HUB, PARTITIONS, Message

if TYPE_CHECKING:
    from laptop.iot_hub.hub import IotHub

API_VERSION = "2021-04-12"
AUDIENCE = "https://iothubs.azure.net"
EVENT_HUBS_AUDIENCE = "https://eventhubs.azure.net"
_PAGE, _PAGE_MAX = 100, 1000
_WAIT_SECONDS_MAX = 60.0
_MESSAGES_MAX = 1000
_NOT_HERE = ("jobs", "digitaltwins", "messages", "fileUpload", "enrollments")

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """Turns requests into calls on the hub, and its refusals into the service's envelopes.

    Args:
        hub: The hub.
        identity: Checks bearer tokens.
        hostname: The hub's host name and port, which signatures must name.
        policy_key: The key of the iothubowner policy, base64.
    """

    def __init__(self, hub: "IotHub", identity: Identity, *, hostname: str, policy_key: str) -> None:
        self._hub = hub
        self._identity = identity
        self._hostname = hostname
        self._policy_key = policy_key

    def app(self) -> Starlette:
        """The ASGI application."""
        events = f"/laptop/eventhubs/{EVENT_HUB}/partitions"
        service: list[tuple[str, str, Handler]] = [
            ("GET", "/configurations", self._configurations),
            ("POST", "/configurations/testQueries", self._test_queries),
            ("GET", "/configurations/{id}", self._configuration),
            ("PUT", "/configurations/{id}", self._put_configuration),
            ("DELETE", "/configurations/{id}", self._delete_configuration),
            ("GET", "/devices", self._devices),
            ("POST", "/devices/query", self._query),
            ("POST", "/devices/{device}/applyConfigurationContent", self._apply_content),
            ("GET", "/devices/{device}/modules", self._modules),
            *_both("GET", "/devices/{device}", self._get_identity),
            *_both("PUT", "/devices/{device}", self._put_identity),
            *_both("DELETE", "/devices/{device}", self._delete_identity),
            *_both("GET", "/twins/{device}", self._get_twin),
            *_both("PATCH", "/twins/{device}", self._write_twin),
            *_both("PUT", "/twins/{device}", self._write_twin),
            *(
                (verb, f"{path}/methods", self._invoke)
                for verb, path, _ in _both("POST", "/twins/{device}", self._invoke)
            ),
            ("GET", "/statistics/devices", self._device_statistics),
            ("GET", "/statistics/service", self._service_statistics),
        ]
        routes = [Route(path, self._service(handler), methods=[verb]) for verb, path, handler in service]
        return Starlette(
            routes=[
                *routes,
                Route(events, self._events(self._partitions)),
                Route(f"{events}/{{partition}}/messages", self._events(self._messages)),
                Route("/{rest:path}", self._service(_refuse), methods=["GET", "PUT", "POST", "PATCH", "DELETE"]),
            ],
            exception_handlers={HubError: _refused},
        )

    def _service(self, handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            self._authorize(request)
            if request.query_params.get("api-version") != API_VERSION:
                given = request.query_params.get("api-version")
                raise HubError(
                    400, "InvalidProtocolVersion", f"api-version {given} is not supported: use {API_VERSION}"
                )
            return await handler(request)

        return checked

    def _events(self, handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            self._claims(request, EVENT_HUBS_AUDIENCE)
            return await handler(request)

        return checked

    def _authorize(self, request: Request) -> None:
        authorization = request.headers.get("authorization", "")
        if not authorization.startswith("SharedAccessSignature"):
            self._claims(request, AUDIENCE)
            return
        try:
            signature = sas.parse(authorization)
            if signature.policy != "iothubowner":
                raise sas.BadSignature(f"There is no policy '{signature.policy}'")  # noqa: TRY301 - as the others
            signature.check([self._policy_key], resources=[self._hostname], now=time.time())
        except sas.BadSignature as problem:
            raise HubError(401, "IotHubUnauthorizedAccess", f"Unauthorized: {problem}") from problem

    def _claims(self, request: Request, audience: str) -> None:
        try:
            self._identity.claims(request.headers.get("authorization"), audience)
        except Unauthorized as problem:
            raise HubError(401, "IotHubUnauthorizedAccess", f"Unauthorized: {problem}") from problem

    async def _configurations(self, request: Request) -> Response:
        self._hub.throttle("configuration")
        found = self._hub.configurations.all()[: _count(request.query_params.get("top"), _PAGE)]
        return JSONResponse([self._hub.configurations.document(one) for one in found])

    async def _configuration(self, request: Request) -> Response:
        self._hub.throttle("configuration")
        return self._configuration_response(request.path_params["id"], 200)

    async def _put_configuration(self, request: Request) -> Response:
        self._hub.throttle("configuration")
        body = read(ConfigurationBody, await request.body())
        name = request.path_params["id"]
        _, new = self._hub.write_configuration(name, body, if_match=request.headers.get("if-match"))
        return self._configuration_response(name, 201 if new else 200)

    async def _delete_configuration(self, request: Request) -> Response:
        self._hub.throttle("configuration")
        self._hub.delete_configuration(request.path_params["id"], if_match=request.headers.get("if-match"))
        return Response(status_code=204)

    def _configuration_response(self, name: str, status: int) -> Response:
        configuration = self._hub.configurations.get(name)
        headers = {"ETag": f'"{etag(configuration)}"'}
        return JSONResponse(self._hub.configurations.document(configuration), status_code=status, headers=headers)

    async def _test_queries(self, request: Request) -> Response:
        self._hub.throttle("configuration")
        body = read(TestQueriesBody, await request.body())
        metrics = {name: _problem(parse_query, text) for name, text in (body.custom_metric_queries or {}).items()}
        return JSONResponse(
            {
                "targetConditionError": _problem(parse_target_condition, body.target_condition or "*"),
                "customMetricQueryErrors": {name: problem for name, problem in metrics.items() if problem},
            }
        )

    async def _apply_content(self, request: Request) -> Response:
        content = read(Content, await request.body())
        self._hub.apply_content(request.path_params["device"], modules_of(content))
        return Response(status_code=204)

    async def _devices(self, request: Request) -> Response:
        found = list(self._hub.registry.devices())[: _count(request.query_params.get("top"), _PAGE_MAX)]
        return JSONResponse([entry.identity_document() for entry in found])

    async def _modules(self, request: Request) -> Response:
        device = self._hub.registry.get(Name(request.path_params["device"]))
        return JSONResponse([entry.identity_document() for entry in self._hub.registry.modules(device.name.device)])

    async def _get_identity(self, request: Request) -> Response:
        return JSONResponse(self._hub.registry.get(_name(request)).identity_document())

    async def _put_identity(self, request: Request) -> Response:
        body = read(IdentityBody, await request.body())
        entry = self._hub.write_identity(_name(request), body, if_match=request.headers.get("if-match"))
        return JSONResponse(entry.identity_document())

    async def _delete_identity(self, request: Request) -> Response:
        self._hub.delete_identity(_name(request), if_match=request.headers.get("if-match"))
        return Response(status_code=204)

    async def _get_twin(self, request: Request) -> Response:
        return JSONResponse(self._hub.registry.get(_name(request)).twin_document())

    async def _write_twin(self, request: Request) -> Response:
        body = read(TwinBody, await request.body())
        whole, if_match = request.method == "PUT", request.headers.get("if-match")
        return JSONResponse(self._hub.write_twin(_name(request), body, whole=whole, if_match=if_match).twin_document())

    async def _invoke(self, request: Request) -> Response:
        body, entry = read(MethodBody, await request.body()), self._hub.registry.get(_name(request))
        status, payload = await self._hub.devices.invoke(
            entry.name,
            body.method_name,
            body.payload,
            connect_seconds=body.connect_timeout_in_seconds,
            answer_seconds=body.response_timeout_in_seconds,
        )
        return JSONResponse({"status": status, "payload": payload})

    async def _query(self, request: Request) -> Response:
        self._hub.throttle("query")
        body = read(QueryBody, await request.body())
        try:
            rows, kind = self._hub.query(body.query)
        except QueryError as problem:
            what = f"SQL query parse failed due to following errors: {problem}"
            raise HubError(400, "ArgumentInvalid", what) from problem
        size = _count(request.headers.get("x-ms-max-item-count"), _PAGE)
        start = _start(request.headers.get("x-ms-continuation"))
        headers = {"x-ms-item-type": kind}
        if start + size < len(rows):
            headers["x-ms-continuation"] = base64.b64encode(json.dumps({"start": start + size}).encode()).decode()
        return JSONResponse(rows[start : start + size], headers=headers)

    async def _device_statistics(self, _: Request) -> Response:
        return JSONResponse(self._hub.statistics())

    async def _service_statistics(self, _: Request) -> Response:
        return JSONResponse({"connectedDeviceCount": len(self._hub.devices.broker.clients)})

    async def _partitions(self, _: Request) -> Response:
        return JSONResponse({"partitionIds": list(PARTITIONS)})

    async def _messages(self, request: Request) -> Response:
        partition, query = request.path_params["partition"], request.query_params
        if partition not in PARTITIONS:
            raise HubError(404, "PartitionNotFound", partition)
        try:
            first, limit = int(query.get("from", "0")), int(query.get("max", "100"))
            seconds = float(query.get("wait", "0"))
        except ValueError as problem:
            raise HubError(400, "ArgumentInvalid", f"from, max and wait must be numbers: {problem}") from problem
        await self._hub.telemetry.wait(partition, first, min(seconds, _WAIT_SECONDS_MAX))
        messages = self._hub.telemetry.read(partition, first, min(limit, _MESSAGES_MAX))
        return JSONResponse({"messages": [_message(one) for one in messages]})


def _both(verb: str, device: str, handler: Handler) -> list[tuple[str, str, Handler]]:
    """The route of a device, and the one of its modules."""
    return [(verb, device, handler), (verb, f"{device}/modules/{{module}}", handler)]


def _name(request: Request) -> Name:
    return Name(request.path_params["device"], request.path_params.get("module", ""))


def _count(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        raise HubError(400, "ArgumentInvalid", f"'{text}' is not a count of items")
    return min(int(text), _PAGE_MAX)


def _start(token: str | None) -> int:
    try:
        return int(json.loads(base64.b64decode(token))["start"]) if token else 0
    except (ValueError, KeyError, TypeError) as problem:
        raise HubError(400, "ArgumentInvalid", "The continuation token is not one of this hub's") from problem


def _problem(parse: Callable[[str], object], text: str) -> str | None:
    try:
        parse(text)
    except QueryError as problem:
        return str(problem)
    return None


def _message(message: Message) -> dict[str, object]:
    return {
        "sequenceNumber": message.sequence_number,
        "offset": message.offset,
        "enqueuedTimeUtc": message.enqueued,
        "partitionKey": message.partition_key,
        "systemProperties": message.system_properties,
        "properties": message.properties,
        "body": base64.b64encode(message.body).decode(),
    }


async def _refuse(request: Request) -> Response:
    path = unquote(request.url.path)
    if path.strip("/").split("/")[0] in _NOT_HERE or path in ("/devices", "/devices/"):
        raise not_supported(f"{request.method} {path}")
    raise HubError(404, "NotFound", f"{request.method} {path} is not part of the service API {API_VERSION}")


async def _refused(_: Request, problem: Exception) -> Response:
    if not isinstance(problem, HubError):
        raise problem
    return JSONResponse(problem.body, status_code=problem.status, headers=problem.headers)
