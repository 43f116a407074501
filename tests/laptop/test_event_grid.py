"""The relay: what is published arrives, also after failures, restarts and faults on purpose; the books balance."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from laptop.event_grid.envelope import Schema
from laptop.event_grid.publish import EVENT_BYTES_MAX, REQUEST_BYTES_MAX
from laptop.event_grid.relay import Event, EventGrid, Filter, RetryPolicy, Subscription, Switches
from laptop.identity import Identity
from laptop.stack import ACCOUNT_ID, ACCOUNT_KEY, BLOB_PORT, EVENT_GRID_PORT, IDENTITY_PORT, TOPIC_ID, Stack
from laptop.storage.front import front
from laptop.tls import client_context
from tests.laptop.inbox import Inbox
from tests.laptop.serving import eventually, http_server, https_server, serving

pytestmark = pytest.mark.enable_socket
FAST = 0.002  # the service's first 10 s take 20 ms


def blob_created(name: str = "a", **data: object) -> Event:
    subject = f"/blobServices/default/containers/landing/blobs/{name}"
    return Event(ACCOUNT_ID, subject, "Microsoft.Storage.BlobCreated", {"api": "PutBlob", **data})


def uploads(stack: Stack) -> Subscription:
    return Subscription("uploads", ACCOUNT_ID, f"{stack.host_url}/events")


@dataclass(frozen=True)
class Running:
    """A relay at work in its own thread."""

    grid: EventGrid
    loop: asyncio.AbstractEventLoop

    def emit(self, *events: Event) -> None:
        for event in events:
            asyncio.run_coroutine_threadsafe(self.grid.emit(event), self.loop).result()

    @property
    def books(self) -> dict[str, int]:
        return self.grid.statistics()["total"]

    def settled(self) -> dict[str, int]:
        """The books, once nothing is pending."""
        eventually(lambda: self.books["pending"] == 0, "events are still pending")
        return self.books


@contextmanager
def relay(
    stack: Stack,
    *subscriptions: Subscription,
    events: Sequence[Event] = (),
    switches: Switches | None = None,
    topic_schema: Schema = "cloud",
) -> Iterator[Running]:
    """The relay of a stack with its storage and identity; the events are emitted before anything is delivered."""
    identity = Identity(stack)
    grid = EventGrid(stack, subscriptions, identity, time_scale=FAST, switches=switches, topic_schema=topic_schema)

    async def run() -> None:
        for event in events:
            await grid.emit(event)
        await grid.run()

    servers = (
        https_server(grid.app(), stack, EVENT_GRID_PORT),
        https_server(front(stack, grid.emit), stack, BLOB_PORT),
        http_server(identity.app(), stack, IDENTITY_PORT),
    )
    with closing(grid), serving(*servers, beside=[run]) as loop:
        yield Running(grid, loop)


def blobs(stack: Stack, container: str) -> dict[str, bytes]:
    with BlobServiceClient(stack.blob_url, ACCOUNT_KEY, connection_verify=str(stack.authority)) as service:
        client = service.get_container_client(container)
        return (
            {name: client.download_blob(name).readall() for name in client.list_blob_names()} if client.exists() else {}
        )


@pytest.fixture
def as_the_app(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment the function app has."""
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)


def test_an_upload_by_any_client_reaches_the_function_in_event_grids_schema(stack: Stack) -> None:
    inbox = Inbox()
    with inbox.listening(stack), relay(stack, uploads(stack)):
        with BlobServiceClient(stack.blob_url, ACCOUNT_KEY, connection_verify=str(stack.authority)) as service:
            landing = service.get_container_client("uploads-test")
            landing.create_container()
            landing.upload_blob("ewr/day.parquet", b"rows")
        (event,) = inbox.wait_for(1)
    assert inbox.handshakes == ["code"]
    assert set(event) == {
        *("id", "topic", "subject", "eventType", "eventTime", "data", "dataVersion", "metadataVersion")
    }
    assert event["topic"] == ACCOUNT_ID
    assert event["subject"].endswith("/containers/uploads-test/blobs/ewr/day.parquet")
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    headers = inbox.posts[0].headers
    assert headers["aeg-event-type"] == "Notification"
    assert headers["aeg-subscription-name"] == "UPLOADS"
    assert headers["aeg-delivery-count"] == "0"


def test_a_subscription_may_read_cloud_events_instead(stack: Stack) -> None:
    inbox = Inbox()
    happened = blob_created("x", contentLength=5)
    with inbox.listening(stack), relay(stack, replace(uploads(stack), schema="cloud"), events=[happened]):
        (event,) = inbox.wait_for(1)
    assert inbox.handshakes == ["origin"]
    assert inbox.posts[0].headers["content-type"].startswith("application/cloudevents+json")
    assert event["specversion"] == "1.0"
    assert event["id"] == happened.id
    assert event["source"] == ACCOUNT_ID
    assert event["data"] == {"api": "PutBlob", "contentLength": 5}


@pytest.mark.usefixtures("as_the_app")
def test_the_app_publishes_cloud_events_with_its_identity(stack: Stack) -> None:
    inbox = Inbox()
    wanted = Filter(event_types=("Refluent.DriftDetected",))
    drift = replace(uploads(stack), name="drift", source=TOPIC_ID, schema="cloud", filter=wanted)
    found = CloudEvent(source="refluent", type="Refluent.DriftDetected", subject="devices/ewr", data={"psi": 0.4})
    with (
        inbox.listening(stack),
        relay(stack, drift),
        DefaultAzureCredential() as credential,
        EventGridPublisherClient(stack.topic_url, credential) as publisher,
    ):
        publisher.send([CloudEvent(source="refluent", type="Refluent.TrainingLaunched", data={}), found])
        (event,) = inbox.wait_for(1)
    assert event["id"] == found.id
    assert event["subject"] == "devices/ewr"
    assert event["data"] == {"psi": 0.4}


@pytest.mark.usefixtures("as_the_app")
def test_a_topic_that_takes_event_grids_schema_delivers_both(stack: Stack) -> None:
    inbox = Inbox()
    wanted = [
        replace(uploads(stack), name="as-published", source=TOPIC_ID),
        replace(uploads(stack), name="as-cloud", source=TOPIC_ID, schema="cloud"),
    ]
    sent = EventGridEvent(subject="loops/flights", event_type="Refluent.Held", data={"n": 1}, data_version="2")
    with inbox.listening(stack), relay(stack, *wanted, topic_schema="eventgrid") as running:
        credential = AzureKeyCredential(running.grid.topic_key)
        with EventGridPublisherClient(stack.topic_url, credential) as publisher:
            publisher.send(sent)
        events = inbox.wait_for(2)
    (own,) = (event for event in events if "eventType" in event)
    (cloud,) = (event for event in events if "type" in event)
    assert (own["topic"], own["dataVersion"], own["metadataVersion"]) == (TOPIC_ID, "2", "1")
    assert (cloud["source"], cloud["type"], cloud["dataschema"]) == (TOPIC_ID, "Refluent.Held", "#2")


@pytest.mark.usefixtures("as_the_app")
@pytest.mark.parametrize("credential", [AzureKeyCredential("d3Jvbmc="), None])
def test_a_publisher_without_the_right_key_or_audience_is_unauthorized(
    stack: Stack, credential: AzureKeyCredential | None
) -> None:
    with relay(stack):
        if credential is not None:
            with (
                EventGridPublisherClient(stack.topic_url, credential) as publisher,
                pytest.raises(ClientAuthenticationError, match="not authorized for"),
            ):
                publisher.send(CloudEvent(source="s", type="t"))
        token = Identity(stack).token("https://ml.azure.com")
        answer = post(stack, b"[]", authorization=f"Bearer {token}")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "Unauthorized"


@pytest.mark.usefixtures("as_the_app")
def test_events_in_the_wrong_schema_are_refused_as_the_service_refuses_them(stack: Stack) -> None:
    with (
        relay(stack),
        DefaultAzureCredential() as credential,
        EventGridPublisherClient(stack.topic_url, credential) as publisher,
        pytest.raises(HttpResponseError, match="configured to receive event in 'CloudEventV10' schema") as refusal,
    ):
        publisher.send(EventGridEvent(subject="s", event_type="t", data={}, data_version="1"))
    assert refusal.value.status_code == 400


def test_a_bad_request_is_refused_whole_with_the_services_envelope(stack: Stack) -> None:
    oversized = b'[{"specversion":"1.0","id":"1","source":"s","type":"t","data":"' + b"x" * EVENT_BYTES_MAX + b'"}]'
    refused = {
        b"not json": (400, "InputJsonInvalid"),
        b"[]": (400, "InputJsonInvalid"),
        b"[1]": (400, "InputJsonInvalid"),
        b'[{"specversion":"1.0","id":"1","source":"s"}]': (400, "InputJsonInvalid"),
        b'[{"specversion":"0.3","id":"1","source":"s","type":"t"}]': (400, "InputJsonInvalid"),
        b"[" + b" " * REQUEST_BYTES_MAX + b"]": (413, "PayloadTooLarge"),
        oversized: (413, "PayloadTooLarge"),
    }
    with relay(stack):
        answers = {content: post(stack, content, authorization=bearer(stack)) for content in refused}
        assert recent(stack) == []
    errors = {content: (answer.status_code, answer.json()["error"]) for content, answer in answers.items()}
    assert {content: (status, error["details"][0]["code"]) for content, (status, error) in errors.items()} == refused
    assert all(error["message"].endswith("raise a support ticket.") for _, error in errors.values())


def test_an_unknown_topic_is_not_found_and_a_topic_cannot_be_read(stack: Stack) -> None:
    with relay(stack), httpx.Client(verify=client_context(stack)) as client:
        unknown = client.post(f"{stack.event_grid_url}/other/api/events")
        read = client.get(stack.topic_url)
    assert (unknown.status_code, unknown.json()["error"]["details"][0]["code"]) == (404, "ResourceNotFound")
    assert (read.status_code, read.json()["error"]["code"]) == (405, "MethodNotAllowed")


def test_failed_deliveries_come_back_until_they_are_acknowledged(stack: Stack) -> None:
    inbox = Inbox(500, 503, 200)
    with inbox.listening(stack), relay(stack, uploads(stack), events=[blob_created()]) as running:
        events = inbox.wait_for(3)
        books = running.settled()
    assert len({event["id"] for event in events}) == 1
    assert [post.headers["aeg-delivery-count"] for post in inbox.posts] == ["0", "1", "2"]
    assert books == books_of(matched=1, delivered=1, attempts=3, failed=2)


def test_events_wait_for_an_endpoint_that_is_not_up_yet(stack: Stack) -> None:
    inbox = Inbox()
    with relay(stack, uploads(stack), events=[blob_created()]) as running:
        eventually(lambda: running.books["pending"] == 1, "the event was not taken")
        with inbox.listening(stack):
            inbox.wait_for(1)
            assert running.settled()["failed"] == 0


def test_an_endpoint_that_fails_the_handshake_gets_nothing_until_it_consents(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(consents=False)
    with inbox.listening(stack), relay(stack, uploads(stack), events=[blob_created()]):
        eventually(lambda: len(inbox.handshakes) > 1, "the handshake was not tried again")
        assert inbox.posts == []
        inbox.consents = True
        inbox.wait_for(1)
    assert "fails the validation handshake" in caplog.text


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (400, "UndeliverableDueToHttpBadRequest", "BadRequest"),
        (403, "UndeliverableDueToHttpForbidden", "Forbidden"),
    ],
)
def test_an_event_that_no_retry_can_help_becomes_a_dead_letter_at_once(
    stack: Stack, status: int, reason: str, outcome: str
) -> None:
    inbox = Inbox(status)
    container = f"dead{status}"
    happened = blob_created("bad")
    with (
        inbox.listening(stack),
        relay(stack, replace(uploads(stack), dead_letter=container, filter=landing()), events=[happened]) as running,
    ):
        inbox.wait_for(1)
        books = running.settled()
        ((name, content),) = blobs(stack, container).items()
    now = datetime.now(UTC)
    assert name.startswith(f"UPLOADS/{now.year}/{now.month}/{now.day}/")
    (letter,) = json.loads(content)
    assert letter["id"] == happened.id
    assert letter["deadLetterReason"] == reason
    assert letter["lastDeliveryOutcome"] == outcome
    assert letter["deliveryAttempts"] == 1
    assert letter["lastHttpStatusCode"] == status
    assert letter["publishTime"] <= letter["lastDeliveryAttemptTime"]
    assert books == books_of(matched=1, dead_lettered=1, attempts=1, failed=1)


def test_an_event_out_of_attempts_becomes_a_dead_letter_with_lower_case_attributes_in_cloud_events(
    stack: Stack,
) -> None:
    inbox = Inbox(500, 500)
    wanted = replace(uploads(stack), dead_letter="deadcloud", schema="cloud", retry=RetryPolicy(2), filter=landing())
    with inbox.listening(stack), relay(stack, wanted, events=[blob_created()]) as running:
        inbox.wait_for(2)
        books = running.settled()
        (content,) = blobs(stack, "deadcloud").values()
    (letter,) = json.loads(content)
    assert letter["deadletterreason"] == "MaxDeliveryAttemptsExceeded"
    assert letter["deliveryattempts"] == 2
    assert books == books_of(matched=1, dead_lettered=1, attempts=2, failed=2)


def test_an_event_past_its_time_to_live_is_dropped_where_there_is_no_dead_letter_container(stack: Stack) -> None:
    inbox = Inbox(*[500] * 30)
    wanted = replace(uploads(stack), dead_letter=None, retry=RetryPolicy(ttl_min=1))
    with inbox.listening(stack), relay(stack, wanted, events=[blob_created()]) as running:
        books = running.settled()
    assert (books["dropped"], books["delivered"], books["dead_lettered"]) == (1, 0, 0)
    assert 1 <= books["attempts"] < 30


def test_what_was_not_delivered_survives_a_restart_and_is_delivered_once(stack: Stack) -> None:
    names = [f"day-{number}" for number in range(20)]
    with relay(stack, uploads(stack), events=[blob_created(name) for name in names]) as running:
        eventually(lambda: running.books["pending"] == len(names), "the events were not taken")
    inbox = Inbox()
    with inbox.listening(stack), relay(stack, uploads(stack)) as running:
        events = inbox.wait_for(len(names))
        books = running.settled()
    assert sorted(event["subject"].rpartition("/")[2] for event in events) == sorted(names)
    assert books == books_of(matched=20, delivered=20, attempts=20)


def test_the_books_survive_a_restart(stack: Stack) -> None:
    inbox = Inbox(500)
    with inbox.listening(stack), relay(stack, uploads(stack), events=[blob_created()]) as running:
        before = running.settled()
        inbox.wait_for(2)
        before = running.settled()
    with closing(EventGrid(stack, [uploads(stack)], Identity(stack))) as grid:
        assert grid.statistics()["uploads"] == before


def test_a_burst_travels_in_batches_no_larger_than_asked_for(stack: Stack) -> None:
    inbox = Inbox()
    wanted = replace(uploads(stack), events_per_batch_max=10)
    with inbox.listening(stack), relay(stack, wanted, events=[blob_created(str(n)) for n in range(100)]) as running:
        events = inbox.wait_for(100)
        books = running.settled()
    assert len({event["id"] for event in events}) == 100
    assert max(len(post.events) for post in inbox.posts) <= 10
    assert books["attempts"] < 100


def test_a_batch_keeps_to_its_size_but_a_larger_event_still_travels_alone(stack: Stack) -> None:
    inbox = Inbox()
    wanted = replace(uploads(stack), events_per_batch_max=100, batch_kb=4)
    small = [blob_created(f"small-{n}", filler="x" * 1000) for n in range(12)]
    with inbox.listening(stack), relay(stack, wanted, events=[*small, blob_created("large", filler="x" * 9000)]):
        inbox.wait_for(13)
    assert max(len(post.events) for post in inbox.posts) <= 3
    (large,) = (post for post in inbox.posts if post.events[0]["subject"].endswith("large"))
    assert len(large.events) == 1


def test_a_batch_refused_by_one_function_comes_back_whole(stack: Stack) -> None:
    inbox = Inbox(500)
    wanted = replace(uploads(stack), events_per_batch_max=100)
    with relay(stack, wanted, events=[blob_created(str(n)) for n in range(5)]) as running, inbox.listening(stack):
        inbox.wait_for(10)
        books = running.settled()
    assert [len(post.events) for post in inbox.posts] == [5, 5]
    assert books == books_of(matched=5, delivered=5, attempts=2, failed=1)


def test_every_event_can_be_delivered_twice_on_purpose(stack: Stack) -> None:
    inbox = Inbox()
    twice = Switches(duplicate=1, duplicate_within_s=0.05)
    with (
        inbox.listening(stack),
        relay(stack, uploads(stack), switches=twice, events=[blob_created(str(n)) for n in range(10)]) as running,
    ):
        events = inbox.wait_for(20)
        books = running.settled()
    assert sorted(event["id"] for event in events) == sorted([event["id"] for event in events[::1]])
    assert len({event["id"] for event in events}) == 10
    assert books == books_of(matched=10, duplicates=10, delivered=20, attempts=20)


def test_a_dropped_event_is_counted_and_never_arrives(stack: Stack) -> None:
    inbox = Inbox()
    with (
        inbox.listening(stack),
        relay(stack, uploads(stack), switches=Switches(drop=0.5, seed=7)) as running,
    ):
        running.emit(*(blob_created(str(n)) for n in range(40)))
        books = running.settled()
    assert 0 < books["dropped"] < 40
    assert books["delivered"] == len(inbox.events) == 40 - books["dropped"]


def test_the_reorder_switch_shuffles_what_is_close_together(stack: Stack) -> None:
    inbox = Inbox()
    shuffled = Switches(reorder_s=0.2, seed=1)
    with (
        inbox.listening(stack),
        relay(stack, uploads(stack), switches=shuffled, events=[blob_created(f"{n:02}") for n in range(30)]),
    ):
        subjects = [event["subject"] for event in inbox.wait_for(30)]
    assert subjects != sorted(subjects)
    assert len(set(subjects)) == 30


def test_switches_are_changed_while_the_relay_runs(stack: Stack) -> None:
    inbox = Inbox()
    url = f"{stack.event_grid_url}/laptop/switches"
    with (
        inbox.listening(stack),
        relay(stack, uploads(stack)) as running,
        httpx.Client(verify=client_context(stack)) as client,
    ):
        assert client.get(url).json() == Switches().model_dump()
        assert client.put(url, json={"duplicate": 1.0, "duplicate_within_s": 0.0}).json()["duplicate"] == 1.0
        running.emit(blob_created())
        inbox.wait_for(2)
        refused = client.put(url, json={"duplicate": 2})
        assert client.get(url).json()["duplicate"] == 1.0
        books = client.get(f"{stack.event_grid_url}/laptop/statistics").json()
    assert refused.status_code == 400
    assert "duplicate" in refused.json()["error"]["message"]
    assert books["uploads"]["duplicates"] == books["total"]["duplicates"] == 1


def test_a_watcher_reads_the_recent_events_from_where_it_stopped(stack: Stack) -> None:
    with relay(stack, events=[blob_created("1"), blob_created("2"), blob_created("3")]):
        eventually(lambda: len(recent(stack)) == 3, "the events were not published")
        assert [entry["event"]["subject"][-1] for entry in recent(stack, after=1)] == ["2", "3"]
        assert [entry["number"] for entry in recent(stack)] == [1, 2, 3]


def test_two_subscriptions_of_one_name_are_refused(stack: Stack) -> None:
    with pytest.raises(ValueError, match="unique"):
        EventGrid(stack, [uploads(stack), uploads(stack)], Identity(stack))


def test_event_grids_schema_from_a_topic_of_cloud_events_is_refused_as_in_azure(stack: Stack) -> None:
    with pytest.raises(ValueError, match="CloudEvents"):
        EventGrid(stack, [replace(uploads(stack), source=TOPIC_ID)], Identity(stack))


def landing() -> Filter:
    """Not the dead letters themselves, which are uploads too."""
    return Filter(subject_begins_with="/blobServices/default/containers/landing/")


def books_of(**entries: int) -> dict[str, int]:
    names = ("matched", "duplicates", "delivered", "dead_lettered", "dropped", "attempts", "failed", "pending")
    return dict.fromkeys(names, 0) | entries


def bearer(stack: Stack) -> str:
    return f"Bearer {Identity(stack).token('https://eventgrid.azure.net')}"


def post(stack: Stack, content: bytes, **headers: str) -> httpx.Response:
    with httpx.Client(verify=client_context(stack)) as client:
        kind = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
        return client.post(stack.topic_url, content=content, headers=kind | headers)


def recent(stack: Stack, after: int = 0) -> list[dict[str, Any]]:
    with httpx.Client(verify=client_context(stack)) as client:
        events = client.get(f"{stack.event_grid_url}/laptop/events", params={"after": after}).json()["events"]
        assert isinstance(events, list)
        return events
