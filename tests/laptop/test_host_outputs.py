"""Events that functions put out, at a topic."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.functions.meta import Datum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from laptop.host.client import Client, Unreachable
from laptop.host.outputs import Outputs
from laptop.host.settings import HostJson, Settings
from laptop.host.worker import Binding
from laptop.identity import Identity
from laptop.stack import Stack
from tests.addresses import free_port
from tests.laptop.serving import http_server, serving

pytestmark = pytest.mark.enable_socket
BY_KEY = Binding("eventGrid", "out", {"topicEndpointUri": "TOPIC", "topicKeySetting": "KEY"})
BY_IDENTITY = Binding("eventGrid", "out", {"connection": "Mine"})


class Topic:
    """Takes events that carry the right key or token."""

    def __init__(self, identity: Identity) -> None:
        self._identity, self.taken = identity, list[object]()

    async def publish(self, request: Request) -> Response:
        if request.headers.get("aeg-sas-key") != "k":
            if "authorization" not in request.headers:
                return Response(status_code=401)
            self._identity.claims(request.headers["authorization"], "https://eventgrid.azure.net")
        self.taken += await request.json()
        return Response()


@pytest.fixture
def topic(address: str, tmp_path: Path) -> Iterator[tuple[Topic, dict[str, str]]]:
    stack = Stack(address, tmp_path)
    identity, doors = Identity(stack), [free_port(address) for _ in range(2)]
    topic = Topic(identity)
    app = Starlette(routes=[Route("/api/events", topic.publish, methods=["POST"])])
    url = f"http://{address}:{doors[0]}/api/events"
    with serving(http_server(app, stack, doors[0]), http_server(identity.app(), stack, doors[1])):
        yield (
            topic,
            {
                "TOPIC": url,
                "KEY": "k",
                "Mine__topicEndpointUri": url,
                "IDENTITY_ENDPOINT": f"http://{address}:{doors[1]}/msi/token",
                "IDENTITY_HEADER": "laptop",
            },
        )


def write(settings: dict[str, str], binding: Binding, value: Datum) -> None:
    async def once() -> None:
        client = Client(Settings(settings))
        try:
            await Outputs(Settings(settings), client, HostJson()).write(binding, value, {})
        finally:
            client.close()

    asyncio.run(once())


@pytest.mark.parametrize("binding", [BY_KEY, BY_IDENTITY])
def test_one_event_and_a_list_of_events_reach_the_topic(topic: tuple[Topic, dict[str, str]], binding: Binding) -> None:
    at, settings = topic
    write(settings, binding, Datum(json.dumps({"id": "1"}), "json"))
    write(settings, binding, Datum(json.dumps([{"id": "2"}, {"id": "3"}]), "json"))
    assert at.taken == [{"id": "1"}, {"id": "2"}, {"id": "3"}]


def test_a_topic_that_refuses_makes_the_output_fail(topic: tuple[Topic, dict[str, str]]) -> None:
    with pytest.raises(Unreachable, match="401"):
        write({**topic[1], "KEY": "wrong"}, BY_KEY, Datum("{}", "json"))
