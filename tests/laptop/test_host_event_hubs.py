"""Event hubs: batches, partitions, checkpoints and retries, from a small stand-in for the laptop's telemetry log."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.identity import Identity
from laptop.stack import Stack
from laptop.tls import write_certificates
from tests.addresses import free_port
from tests.laptop.hosting import RunningHost, running_host
from tests.laptop.serving import eventually, http_server, https_server, serving

pytestmark = pytest.mark.enable_socket
ENQUEUED = "2026-11-22T10:00:00.123Z"


class Log:
    """Two partitions of messages, read as the laptop's IoT Hub serves them."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._partitions: dict[str, list[bytes]] = {"0": [], "1": []}

    def append(self, partition: str, *bodies: str) -> None:
        self._partitions[partition].extend(body.encode() for body in bodies)

    def app(self) -> Starlette:
        root = "/laptop/eventhubs/telemetry/partitions"
        return Starlette(routes=[Route(root, self._list), Route(f"{root}/{{partition}}/messages", self._read)])

    async def _list(self, request: Request) -> Response:
        self._identity.claims(request.headers.get("authorization"), "https://eventhubs.azure.net")
        return JSONResponse({"partitionIds": sorted(self._partitions)})

    async def _read(self, request: Request) -> Response:
        self._identity.claims(request.headers.get("authorization"), "https://eventhubs.azure.net")
        first, limit = int(request.query_params["from"]), int(request.query_params["max"])
        partition = request.path_params["partition"]
        for _ in range(25):
            if found := self._partitions[partition][first : first + limit]:
                break
            await asyncio.sleep(0.02)
        return JSONResponse({"messages": [_message(first + at, body) for at, body in enumerate(found)]})


def _message(sequence: int, body: bytes) -> dict[str, object]:
    return {
        "sequenceNumber": sequence,
        "offset": str(100 * sequence),
        "enqueuedTimeUtc": ENQUEUED,
        "partitionKey": "edge-1",
        "systemProperties": {"iothub-connection-device-id": "edge-1", "iothub-message-source": "Telemetry"},
        "properties": {"own": "1"},
        "body": base64.b64encode(body).decode(),
    }


Start = Callable[[], RunningHost]


@pytest.fixture(scope="module")
def place(address: str, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    stack = Stack(address, tmp_path_factory.mktemp("home"))
    write_certificates(stack)
    return stack


@pytest.fixture(scope="module")
def log(place: Stack) -> Log:
    log = Log(Identity(place))
    log.append("0", "a", "b", "c", "d")
    log.append("1", "other")
    return log


@pytest.fixture(scope="module")
def settings(place: Stack, log: Log) -> Iterator[dict[str, str]]:
    """The log and the managed identity, running, and the settings that lead to them."""
    hub, identity = free_port(place.address), free_port(place.address)
    servers = https_server(log.app(), place, hub), http_server(Identity(place).app(), place, identity)
    with serving(*servers):
        yield {
            "HUB": "telemetry",
            "Telemetry__fullyQualifiedNamespace": f"{place.address}:{hub}",
            "IDENTITY_ENDPOINT": f"http://{place.address}:{identity}/msi/token",
            "IDENTITY_HEADER": "laptop",
            "SSL_CERT_FILE": str(place.authority),
        }


@pytest.fixture(scope="module")
def host(place: Stack, settings: dict[str, str]) -> Iterator[RunningHost]:
    with running_host("telemetry", place, **settings) as host:
        yield host


def batches_of(host: RunningHost) -> list[list[str]]:
    return [[message[0] for message in batch] for batch in host.seen()["many"]]


def bodies(host: RunningHost) -> list[str]:
    return [body for batch in batches_of(host) for body in batch]


def test_a_batch_is_as_large_as_host_json_allows_and_stays_within_a_partition(host: RunningHost) -> None:
    eventually(lambda: {"a", "b", "c", "d", "other"} <= set(bodies(host)), "not everything arrived")
    batches = batches_of(host)
    assert ["a", "b", "c"] in batches
    assert ["d"] in [batch[:1] for batch in batches]
    assert ["other"] in [batch[:1] for batch in batches]


def test_a_message_arrives_with_its_place_and_its_device(host: RunningHost) -> None:
    eventually(lambda: "b" in bodies(host), "it did not arrive")
    (second,) = [message for batch in host.seen()["many"] for message in batch if message[0] == "b"]
    device = {"connection-device-id": "edge-1", "message-source": "Telemetry"}
    assert second == ["b", 1, 100, "edge-1", "2026-11-22T10:00:00.123000+00:00", device, "0"]


def test_cardinality_one_runs_once_per_message(host: RunningHost) -> None:
    eventually(lambda: "b" in [message[0] for message in host.seen()["one"]], "it did not arrive")
    (second,) = [message for message in host.seen()["one"] if message[0] == "b"]
    device = {"connection-device-id": "edge-1", "message-source": "Telemetry"}
    assert second == ["b", 1, "100", "edge-1", "2026-11-22T10:00:00.123000+00:00", device, "0"]


def test_a_failed_batch_is_passed_over_unless_a_retry_policy_holds_it(host: RunningHost, log: Log) -> None:
    log.append("1", "fails", "next")
    eventually(lambda: "next" in bodies(host), "the partition stands still")
    eventually(lambda: "next" in str(host.seen()["stubborn"]), "the retried batch never passed")
    assert bodies(host).count("fails") == 1
    tries = [retry for retry, batch in host.seen()["stubborn"] if "fails" in batch]
    assert tries == [0, 1, 2, 3]


def test_an_operator_posts_one_message_to_a_function_that_takes_many(host: RunningHost) -> None:
    """As in Azure: such a function is given the message itself, not a list."""
    assert host.invoke("on_many", "by hand").status_code == 202
    eventually(lambda: ["by hand"] in batches_of(host), "the message did not arrive")


def test_a_host_that_was_stopped_goes_on_where_it_was(
    place: Stack, log: Log, settings: dict[str, str], tmp_path: Path
) -> None:
    place = Stack(place.address, tmp_path)
    with running_host("telemetry", place, **settings) as first:
        eventually(lambda: "a" in bodies(first) and "other" in bodies(first), "nothing arrived")
        assert first.stop() == 0
    log.append("0", "later")
    with running_host("telemetry", place, **settings) as second:
        eventually(lambda: "later" in bodies(second), "the new message did not arrive")
        assert "a" not in bodies(second)
        assert "other" not in bodies(second)
