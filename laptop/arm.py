"""Azure Resource Manager on a laptop, as far as somebody asks what was deployed: subscriptions, functions, event hub.

The registry's tasks and the Azure ML workspace answer under the same address, as in Azure. What is read here is what
runs: subscriptions are the relay's, functions the host's. Nothing can be changed.

Source: Microsoft.EventGrid 2025-02-15, Microsoft.Web 2024-11-01, Microsoft.EventHub 2024-01-01.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from laptop.event_grid.relay import EventGrid
from laptop.event_grid.subscription import Subscription
from laptop.identity import Identity, Unauthorized
from laptop.iot_hub.telemetry_log import EVENT_HUB, PARTITIONS
from laptop.registry import MANAGEMENT
from laptop.stack import ACCOUNT_ID, GROUP_ID, TOPIC, TOPIC_ID, Stack

EVENT_GRID, WEB, EVENT_HUBS = "2025-02-15", "2024-11-01", "2024-01-01"
SITE_ID = f"{GROUP_ID}/providers/Microsoft.Web/sites/refluent"
SYSTEM_TOPICS = f"{GROUP_ID}/providers/Microsoft.EventGrid/systemTopics"
NAMESPACE_ID = f"{GROUP_ID}/providers/Microsoft.EventHub/namespaces/refluent"
GROUPS = ("$Default", "drift")  # what a deployment makes once

type Json = dict[str, Any]


class ResourceManager:
    """What was deployed to one stack.

    Args:
        stack: Which.
        identity: Checks the tokens.
        grid: Whose subscriptions.
        others: Providers that answer under the same address: they see what is not asked here.
    """

    def __init__(self, stack: Stack, identity: Identity, grid: EventGrid, *, others: Sequence[Starlette]) -> None:
        self._stack, self._identity, self._grid, self._others = stack, identity, grid, others

    def app(self) -> Starlette:
        """The endpoint."""
        grid, web, hubs = (self._of(version) for version in (EVENT_GRID, WEB, EVENT_HUBS))
        *passed, last = self._others
        return Starlette(
            routes=[
                Route(SYSTEM_TOPICS, grid(self._system_topics)),
                Route(f"{SYSTEM_TOPICS}/{{topic}}/eventSubscriptions", grid(self._system_subscriptions)),
                Route(TOPIC_ID.rpartition("/")[0], grid(self._topics)),
                Route(f"{TOPIC_ID}/eventSubscriptions", grid(self._topic_subscriptions)),
                Route(SITE_ID.rpartition("/")[0], web(self._sites)),
                Route(f"{SITE_ID}/functions", web(self._functions)),
                Route(NAMESPACE_ID.rpartition("/")[0], hubs(self._namespaces)),
                Route(f"{NAMESPACE_ID}/eventhubs/{EVENT_HUB}", hubs(self._event_hub)),
                Route(f"{NAMESPACE_ID}/eventhubs/{EVENT_HUB}/consumergroups", hubs(self._groups)),
                *(route for other in passed for route in other.routes),
                Mount("/", last),
            ]
        )

    def _of(
        self, version: str
    ) -> Callable[[Callable[[Request], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
        """Check token and api-version before a question is answered."""

        def checked(act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
            async def answer(request: Request) -> Response:
                try:
                    self._identity.claims(request.headers.get("authorization"), MANAGEMENT)
                except Unauthorized as problem:
                    return _error(401, "AuthenticationFailed", str(problem))
                if request.query_params.get("api-version") != version:
                    return _error(400, "InvalidApiVersionParameter", f"The api-version must be {version}.")
                return await act(request)

            return answer

        return checked

    async def _system_topics(self, _: Request) -> Response:
        sources = sorted({one.source for one, _ in self._grid.subscriptions() if one.source != TOPIC_ID})
        return _page([_system_topic(source) for source in sources])

    async def _system_subscriptions(self, request: Request) -> Response:
        name = request.path_params["topic"]
        ours = [(one, there) for one, there in self._grid.subscriptions() if _topic_name(one.source) == name]
        if not ours:
            return _error(404, "ResourceNotFound", f"The system topic '{name}' was not found.")
        return _page([_subscription(one, f"{SYSTEM_TOPICS}/{name}", admitted=there) for one, there in ours])

    async def _topics(self, _: Request) -> Response:
        properties = {"endpoint": self._stack.topic_url, "inputSchema": "CloudEventSchemaV1_0"}
        return _page([{"id": TOPIC_ID, "name": TOPIC, "properties": {**properties, "provisioningState": "Succeeded"}}])

    async def _topic_subscriptions(self, _: Request) -> Response:
        ours = [(one, there) for one, there in self._grid.subscriptions() if one.source == TOPIC_ID]
        return _page([_subscription(one, TOPIC_ID, admitted=there) for one, there in ours])

    async def _sites(self, _: Request) -> Response:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        properties = {
            "state": "Running" if await self._host("host/status") else "Stopped",
            "defaultHostName": self._stack.host_url.removeprefix("http://"),
            "functionAppConfig": {"runtime": {"name": "python", "version": version}},
        }
        return _page([{"id": SITE_ID, "name": "refluent", "kind": "functionapp,linux", "properties": properties}])

    async def _functions(self, _: Request) -> Response:
        found = await self._host("functions") or []
        return _page([{"id": f"{SITE_ID}/functions/{one['name']}", "properties": one} for one in found])

    async def _host(self, path: str) -> Any:  # noqa: ANN401  # the host's own JSON
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                answer = await client.get(f"{self._stack.host_url}/admin/{path}")
            except httpx.TransportError:
                return None
        return answer.json() if answer.is_success else None

    async def _namespaces(self, _: Request) -> Response:
        properties = {"serviceBusEndpoint": f"https://{self._stack.hub_hostname}/", "disableLocalAuth": True}
        return _page([{"id": NAMESPACE_ID, "name": "refluent", "properties": properties}])

    async def _event_hub(self, _: Request) -> Response:
        properties = {"partitionCount": len(PARTITIONS), "status": "Active"}
        return JSONResponse(
            {"id": f"{NAMESPACE_ID}/eventhubs/{EVENT_HUB}", "name": EVENT_HUB, "properties": properties}
        )

    async def _groups(self, _: Request) -> Response:
        place = f"{NAMESPACE_ID}/eventhubs/{EVENT_HUB}/consumergroups"
        return _page([{"id": f"{place}/{name}", "name": name, "properties": {}} for name in GROUPS])


def _topic_name(source: str) -> str:
    provider = source.split("/providers/")[1].split("/", maxsplit=1)[0]
    return f"refluent-{provider.rpartition('.')[2].lower()}"


def _system_topic(source: str) -> Json:
    name = _topic_name(source)
    properties = {"source": source, "provisioningState": "Succeeded", "topicType": source.split("/providers/")[1]}
    return {"id": f"{SYSTEM_TOPICS}/{name}", "name": name, "properties": properties}


def _subscription(one: Subscription, topic: str, *, admitted: bool) -> Json:
    """As Azure tells it; the function is a resource there and an address here, of the same name."""
    function = one.endpoint.partition("functionName=")[2]
    properties: Json = {
        "provisioningState": "Succeeded" if admitted else "AwaitingManualAction",
        "destination": {
            "endpointType": "AzureFunction",
            "properties": {
                "resourceId": f"{SITE_ID}/functions/{function}",
                "maxEventsPerBatch": one.events_per_batch_max,
            },
        },
        "filter": {
            "includedEventTypes": list(one.filter.event_types),
            "subjectBeginsWith": one.filter.subject_begins_with,
        },
        "eventDeliverySchema": "CloudEventSchemaV1_0" if one.schema == "cloud" else "EventGridSchema",
        "retryPolicy": {"maxDeliveryAttempts": one.retry.attempts_max, "eventTimeToLiveInMinutes": one.retry.ttl_min},
    }
    if one.dead_letter:
        place = {"resourceId": ACCOUNT_ID, "blobContainerName": one.dead_letter}
        properties["deadLetterDestination"] = {"endpointType": "StorageBlob", "properties": place}
    return {"id": f"{topic}/eventSubscriptions/{one.name}", "name": one.name, "properties": properties}


def _page(resources: Sequence[Json]) -> Response:
    return JSONResponse({"value": list(resources)})


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
