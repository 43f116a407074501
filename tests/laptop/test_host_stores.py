"""Queues and blobs against the real Azurite: by managed identity, and by account key."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest
from azure.storage.blob import BlobServiceClient

from laptop.host.client import Client, Unreachable
from laptop.host.queues import encode
from laptop.host.settings import Settings
from laptop.host.storage import Account, Queue, QueueMessage, Storage
from laptop.identity import Identity
from laptop.stack import ACCOUNT, ACCOUNT_KEY, AZURITE_BLOB_PORT, Stack
from tests.addresses import free_port
from tests.laptop.hosting import RunningHost, running_host
from tests.laptop.serving import eventually, http_server, serving

pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def place(azurite_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return Stack(azurite_stack.address, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def host(azurite_stack: Stack, place: Stack) -> Iterator[RunningHost]:
    port = free_port(place.address)
    settings = {
        "JOBS": "jobs",
        "AzureWebJobsStorage__queueServiceUri": place.queue_url,
        "AzureWebJobsStorage__blobServiceUri": blob_url(place),
        "ByKey": connection_string(place),
        "IDENTITY_ENDPOINT": f"http://{place.address}:{port}/msi/token",
        "IDENTITY_HEADER": "laptop",
        "SSL_CERT_FILE": str(azurite_stack.authority),
    }
    with (
        serving(http_server(Identity(place).app(), place, port)),
        running_host("stores", place, **settings) as host,
    ):
        yield host


def blob_url(stack: Stack) -> str:
    return f"https://{stack.address}:{AZURITE_BLOB_PORT}/{ACCOUNT}"


def connection_string(stack: Stack) -> str:
    return (
        f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};QueueEndpoint={stack.queue_url};BlobEndpoint={blob_url(stack)}"
    )


def blobs(stack: Stack) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(connection_string(stack), retry_total=0)


def at_queue[T](stack: Stack, name: str, act: Callable[[Queue], Awaitable[T]], key: str = ACCOUNT_KEY) -> T:
    """Do something with a queue, signed with the account's key."""

    async def with_queue() -> T:
        client = Client(Settings({}))
        try:
            return await act(Queue(name, Storage(Account(stack.queue_url, ACCOUNT, key), client)))
        finally:
            client.close()

    return asyncio.run(with_queue())


def waiting(stack: Stack, name: str) -> list[QueueMessage]:
    return at_queue(stack, name, lambda queue: queue.receive(32, hidden_seconds=1))


def poison(stack: Stack) -> list[str]:
    return [message.body for message in waiting(stack, "jobs-poison")]


@pytest.fixture(autouse=True)
def _trust(azurite_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(azurite_stack.authority))


def test_a_message_runs_the_function_and_its_outputs_are_written(host: RunningHost, place: Stack) -> None:
    body = json.dumps({"id": "7", "text": "grüße <&>"})
    at_queue(place, "jobs", lambda queue: queue.send(encode(body)))
    eventually(lambda: f"after {body}" in host.seen("own/prefix"), "the message did not pass both functions")
    (seen,) = [entry for entry in host.seen("own/prefix") if entry[2:3] == [body]]
    assert seen[1] == 1
    assert seen[3].endswith("+00:00")
    assert seen[4]
    with blobs(place) as service:
        assert service.get_blob_client("copies", "7.json").download_blob().readall() == body.encode()
    eventually(lambda: not waiting(place, "jobs"), "the message was not deleted")


def test_a_message_that_fails_every_time_ends_in_the_poison_queue(host: RunningHost, place: Stack) -> None:
    at_queue(place, "jobs", lambda queue: queue.send(encode("fails")))
    eventually(lambda: encode("fails") in poison(place), "nothing came to the poison queue")
    tries = [entry[1] for entry in host.seen("own/prefix") if entry[2:3] == ["fails"]]
    assert tries == [1, 2, 3]


def test_a_message_whose_output_has_no_place_fails_too(host: RunningHost, place: Stack) -> None:
    """The path `copies/{id}.json` needs an id."""
    at_queue(place, "jobs", lambda queue: queue.send(encode('{"no": "id"}')))
    eventually(lambda: "no value for the named parameter 'id'" in host.log(), "the output did not fail")


def test_a_message_that_is_not_base64_is_poison_at_once(host: RunningHost, place: Stack) -> None:
    at_queue(place, "jobs", lambda queue: queue.send("plain, not base64"))
    eventually(lambda: "plain, not base64" in poison(place), "the message did not come to the poison queue")
    assert "plain, not base64" not in str(host.seen("own/prefix"))


def test_a_created_blob_is_read_for_the_function_whose_path_it_matches(host: RunningHost, place: Stack) -> None:
    with blobs(place) as service:
        uploads = service.create_container("uploads")
        uploads.upload_blob("ewr/a b.csv", b"rows", metadata={"day": "1"})
        other = service.create_container("elsewhere")
        other.upload_blob("ewr/a.csv", b"no rows")
    created = {"eventType": "Microsoft.Storage.BlobCreated", "id": "1", "subject": "", "data": {}}
    events = [
        {**created, "data": {"url": f"{blob_url(place)}/uploads/ewr/a%20b.csv"}},
        {**created, "data": {"url": f"{blob_url(place)}/elsewhere/ewr/a.csv"}},
        {**created, "data": {"url": f"{blob_url(place)}/uploads/ewr/gone.csv"}},
        {**created, "eventType": "Microsoft.Storage.BlobDeleted"},
    ]
    assert host.notify("Host.Functions.on_blob", events, door="blobs").status_code == 202
    told = ["uploads/ewr/a b.csv", f"{blob_url(place)}/uploads/ewr/a%20b.csv", 4, "rows", {"day": "1"}]
    eventually(lambda: told in host.seen("own/prefix"), "the blob did not reach the function")
    assert "elsewhere" not in str(host.seen("own/prefix"))
    before = host.figures("on_blob")["succeeded"]
    assert host.invoke("on_blob", "uploads/ewr/a b.csv").status_code == 202
    eventually(lambda: host.figures("on_blob")["succeeded"] > before, "the operator's blob did not run")


def test_the_blob_webhook_shakes_hands_and_knows_its_functions(host: RunningHost) -> None:
    event = {"data": {"validationCode": "123"}}
    path = "/runtime/webhooks/blobs?functionName=Host.Functions.on_blob"
    answer = host.post(path, [event], aeg_event_type="SubscriptionValidation")
    assert answer.json() == {"validationResponse": "123"}
    assert host.notify("Host.Functions.on_message", [], door="blobs").status_code == 404
    assert host.notify("on_blob", [], door="nothing").status_code == 404


def test_a_queue_that_does_not_exist_has_no_messages(place: Stack, host: RunningHost) -> None:
    assert host.process.poll() is None
    assert waiting(place, "nobody-made-this") == []


def test_a_wrong_key_is_refused_by_the_service(place: Stack) -> None:
    with pytest.raises(Unreachable, match="Authentication"):
        at_queue(place, "jobs", lambda queue: queue.send("x"), key="d3Jvbmc=")
