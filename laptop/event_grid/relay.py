"""Event Grid on a laptop: topics, subscriptions that survive a restart, retries, dead letters, faults on purpose."""

import asyncio
import secrets
import time
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict

import httpx
import msgspec
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.event_grid.backlog import Delivery, Queue, Tally
from laptop.event_grid.dead_letter import DeadLetters
from laptop.event_grid.envelope import Emit, Event, Published, Schema, raised
from laptop.event_grid.filters import Advanced, Filter
from laptop.event_grid.lane import Lane
from laptop.event_grid.publish import REQUEST_BYTES_MAX, Refusal, authorize, read_events
from laptop.event_grid.subscription import RetryPolicy, Subscription
from laptop.event_grid.switches import Disturbance, Switches
from laptop.identity import Identity
from laptop.stack import TOPIC, TOPIC_ID, Stack
from laptop.tls import client_context

__all__ = ["Advanced", "Emit", "Event", "EventGrid", "Filter", "RetryPolicy", "Subscription", "Switches", "Tally"]

TIME_SCALE = 0.05  # the schedule's first 10 s become 0.5 s, its hour 3 min, a day's time to live 72 min
REMEMBERED = 10_000  # published events kept for whoever watches


class EventGrid:
    """The relay of one stack: `emit` and the custom topic take events in, `run` delivers them.

    Args:
        stack: Whose relay; its queue is kept under the stack's home.
        subscriptions: Who wants which events; names are unique.
        identity: Checks publishers' tokens and opens the dead-letter container.
        topic_schema: The one envelope the custom topic takes.
        time_scale: Factor on every wait of the service but its 30 s for an answer.
        switches: Faults to start with; a restart returns to these.

    Raises:
        ValueError: Two subscriptions share a name, or one asks for a schema its topic cannot deliver.
    """

    def __init__(
        self,
        stack: Stack,
        subscriptions: Sequence[Subscription],
        identity: Identity,
        *,
        topic_schema: Schema = "cloud",
        time_scale: float = TIME_SCALE,
        switches: Switches | None = None,
    ) -> None:
        _check(subscriptions, topic_schema)
        folder = stack.home / "event_grid"
        self._queue = Queue(folder / "queue.sqlite3")
        self._lanes = [Lane(one, self._queue, time_scale=time_scale) for one in subscriptions]
        self._stack, self._identity, self._topic_schema = stack, identity, topic_schema
        self._disturbance = Disturbance(switches or Switches())
        self._recent: deque[tuple[int, Published]] = deque(maxlen=REMEMBERED)
        self._published = 0
        self.topic_key = _topic_key(stack)

    def close(self) -> None:
        """Close the queue's file, once `run` has ended."""
        self._queue.close()

    async def emit(self, event: Event) -> None:
        """Take an event of a system topic; when this returns, it is on disk."""
        self._publish([raised(event)])

    async def run(self) -> None:
        """Deliver until cancelled."""
        tls = client_context(self._stack)
        async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=30) as storage, asyncio.TaskGroup() as tasks:
            dead_letters = DeadLetters(self._stack, self._identity, storage)
            for lane in self._lanes:
                tasks.create_task(lane.run(tls, dead_letters))

    def subscriptions(self) -> list[tuple[Subscription, bool]]:
        """Every subscription, and whether its endpoint has agreed to receive events."""
        return [(lane.subscription, lane.admitted) for lane in self._lanes]

    def statistics(self) -> dict[str, dict[str, int]]:
        """The books of every subscription, and their sum under ``total``; see `Tally` for the entries, plus pending."""
        books = {lane.subscription.name: asdict(lane.tally) | {"pending": lane.pending} for lane in self._lanes}
        entries = [*asdict(Tally()), "pending"]
        return books | {"total": {entry: sum(book[entry] for book in books.values()) for entry in entries}}

    def app(self) -> Starlette:
        """The custom topic's endpoint, and the laptop's own paths beside it.

        ``POST /{topic}/api/events`` publishes. ``GET`` and ``PUT /laptop/switches`` read and replace the `Switches`,
        ``GET /laptop/statistics`` reads the books, ``GET /laptop/events?after=N`` lists recent events numbered above N.
        """
        return Starlette(
            routes=[
                Route("/laptop/switches", self._answer_switches, methods=["GET", "PUT"]),
                Route("/laptop/statistics", self._answer_statistics, methods=["GET"]),
                Route("/laptop/events", self._answer_events, methods=["GET"]),
                Route(f"/{TOPIC}/api/events", self._answer_publish, methods=["POST"]),
            ],
            exception_handlers={404: _answer_not_found, 405: _answer_not_allowed},
        )

    def _publish(self, events: Sequence[Published]) -> None:
        """Store a delivery for every subscription that wants an event, then let the lanes have them."""
        now = time.time()
        owed = [(lane, one) for event in events for lane in self._lanes for one in self._deliveries(lane, event, now)]
        if owed:
            touched = {lane.subscription.name: lane.tally for lane, _ in owed}
            self._queue.add([one for _, one in owed], touched.items())
        for lane, one in owed:
            lane.add(one)
        for event in events:
            self._published += 1
            self._recent.append((self._published, event))

    def _deliveries(self, lane: Lane, event: Published, now: float) -> list[Delivery]:
        """The copies of one event for one subscription: none, one, or with the duplicate switch two."""
        if not lane.subscription.wants(event):
            return []
        body = msgspec.json.encode(event.as_delivered(lane.subscription.schema))
        copies = [
            Delivery(lane.subscription.name, body, published_at=now, due_at=now + delay_s)
            for delay_s in self._disturbance.delays_s()
        ]
        lane.tally.matched += 1
        lane.tally.duplicates += max(0, len(copies) - 1)
        lane.tally.dropped += not copies
        return copies

    async def _answer_publish(self, request: Request) -> Response:
        try:
            authorize(request.headers, self._identity, self.topic_key)
            content = await _read(request)
            content_type = request.headers.get("content-type", "")
            events = read_events(content, content_type, topic=TOPIC_ID, schema=self._topic_schema)
        except Refusal as refusal:
            return refusal.answer()
        self._publish(events)
        return Response(status_code=200)

    async def _answer_switches(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self._disturbance = Disturbance(Switches.model_validate_json(await request.body()))
            except ValidationError as problem:
                first = problem.errors(include_url=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                return Refusal(400, "InvalidSwitches", f"Switch {where or 'document'}: {first['msg']}.").answer()
        return JSONResponse(self._disturbance.switches.model_dump())

    async def _answer_statistics(self, _: Request) -> Response:
        return JSONResponse(self.statistics())

    async def _answer_events(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not after.isdecimal():
            return Refusal(400, "InvalidAfter", "The after parameter must be a number, such as after=0.").answer()
        recent = [
            {"number": number, "topic": event.topic, "event": event.as_delivered("cloud")}
            for number, event in self._recent
            if number > int(after)
        ]
        return Response(msgspec.json.encode({"events": recent}), media_type="application/json")


async def _answer_not_found(request: Request, _: Exception) -> Response:
    what = f"No HTTP resource was found that matches the request URI '{request.url}'."
    return Refusal(404, "ResourceNotFound", what).answer()


async def _answer_not_allowed(request: Request, _: Exception) -> Response:
    what = f"The requested resource does not support http method '{request.method}'."
    return Refusal(405, "MethodNotAllowed", what).answer()


async def _read(request: Request) -> bytes:
    """The body, or as much of it as shows that it is too large."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > REQUEST_BYTES_MAX:
            break
    return bytes(content)


def _check(subscriptions: Sequence[Subscription], topic_schema: Schema) -> None:
    names = [one.name for one in subscriptions]
    if len(set(names)) < len(names):
        raise ValueError(f"event subscription names must be unique, unlike {', '.join(sorted(names))}")
    for one in subscriptions:
        if one.source == TOPIC_ID and topic_schema == "cloud" and one.schema == "eventgrid":
            raise ValueError(
                f"event subscription {one.name} wants Event Grid's schema from a topic that takes CloudEvents, "
                'which Azure does not offer; give it schema="cloud"'
            )


def _topic_key(stack: Stack) -> str:
    """The topic's access key, made once per stack."""
    path = stack.home / "event_grid" / "topic.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(b64encode(secrets.token_bytes(32)).decode())
    return path.read_text()
