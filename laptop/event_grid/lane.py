"""One subscription's lane: what is due leaves in batches, and what fails comes back later."""

import asyncio
import contextlib
import heapq
import logging
import ssl
import time
from collections.abc import Sequence

import httpx

from laptop.event_grid.backlog import Delivery, Queue, Tally
from laptop.event_grid.dead_letter import DeadLetters
from laptop.event_grid.endpoint import Endpoint
from laptop.event_grid.outcome import Outcome
from laptop.event_grid.subscription import Subscription
from laptop.keep_alive import Unreachable

PARALLEL = 8  # deliveries under way at once, per subscription
HANDSHAKE_EVERY_S = 0.25  # while the endpoint is not up yet, which is how every stack starts
_STORAGE_PATIENCE_S = 4 * 3600  # after so long without storage, Event Grid drops a dead letter
_logger = logging.getLogger(__name__)


class Lane:
    """Delivers one subscription's events until they are acknowledged or given up on.

    Args:
        subscription: What to deliver where.
        queue: Where the deliveries are kept; those still owed are taken up again.
        time_scale: Factor on the retry schedule, the time to live and the patience with storage.
    """

    def __init__(self, subscription: Subscription, queue: Queue, *, time_scale: float) -> None:
        self.subscription = subscription
        self.tally: Tally = queue.tally(subscription.name)
        self._queue, self._scale = queue, time_scale
        self._waiting = [(one.due_at, one.row, one) for one in queue.owed(subscription.name)]
        heapq.heapify(self._waiting)
        self._under_way = 0
        self.admitted = False  # by its endpoint, since this process started
        self._changed = asyncio.Event()

    @property
    def pending(self) -> int:
        """Events neither acknowledged nor given up on."""
        return len(self._waiting) + self._under_way

    def add(self, delivery: Delivery) -> None:
        """Take over a delivery that is already stored."""
        heapq.heappush(self._waiting, (delivery.due_at, delivery.row, delivery))
        self._changed.set()

    async def run(self, tls: ssl.SSLContext, dead_letters: DeadLetters) -> None:
        """Deliver until cancelled; what is under way then is delivered again after a restart."""
        with contextlib.closing(Endpoint(self.subscription, tls)) as endpoint:
            await self._shake_hands(endpoint)
            await self._deliver_all(endpoint, dead_letters)

    async def _deliver_all(self, endpoint: Endpoint, dead_letters: DeadLetters) -> None:
        free = asyncio.Semaphore(PARALLEL)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                batch = await self._next_batch()
                self._under_way += len(batch)
                delivering = tasks.create_task(self._deliver(batch, endpoint, dead_letters, tasks))
                delivering.add_done_callback(lambda _: free.release())

    async def _shake_hands(self, endpoint: Endpoint) -> None:
        refused = False
        while True:
            with contextlib.suppress(Unreachable, TimeoutError):
                if await endpoint.consents():
                    self.admitted = True
                    return
                if not refused:
                    _logger.warning(
                        "event subscription %s waits: its endpoint %s answers, but fails the validation handshake; "
                        "check that it names an Event Grid function",
                        *(self.subscription.name, self.subscription.endpoint),
                    )
                refused = True
            await asyncio.sleep(HANDSHAKE_EVERY_S)

    async def _next_batch(self) -> list[Delivery]:
        while True:
            batch = self._take_due(time.time())
            if batch:
                return batch
            self._changed.clear()
            until_due_s = self._waiting[0][0] - time.time() if self._waiting else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_due_s):
                    await self._changed.wait()

    def _take_due(self, now: float) -> list[Delivery]:
        """As many due events as fit a batch; the first one fits always."""
        batch: list[Delivery] = []
        room_bytes = self.subscription.batch_kb * 1024
        while self._waiting and self._waiting[0][0] <= now and len(batch) < self.subscription.events_per_batch_max:
            room_bytes -= len(self._waiting[0][2].body)
            if batch and room_bytes < 0:
                break
            batch.append(heapq.heappop(self._waiting)[2])
        return batch

    async def _deliver(
        self, batch: list[Delivery], endpoint: Endpoint, dead_letters: DeadLetters, tasks: asyncio.TaskGroup
    ) -> None:
        now = time.time()
        outcome = await endpoint.deliver(batch)
        self.tally.attempts += 1
        if outcome.acknowledged:
            self.tally.delivered += len(batch)
            self._end(batch)
            return
        self.tally.failed += 1
        for one in batch:
            one.attempts, one.last_attempt_at = one.attempts + 1, now
        lost = [(reason, one) for one in batch if (reason := self._reason_to_give_up(one, outcome))]
        for reason in {reason for reason, _ in lost}:
            hopeless = [one for why, one in lost if why == reason]
            tasks.create_task(self._give_up(hopeless, dead_letters, reason=reason, outcome=outcome))
        given_up = {one.row for _, one in lost}
        self._postpone([one for one in batch if one.row not in given_up], outcome)

    def _reason_to_give_up(self, delivery: Delivery, outcome: Outcome) -> str | None:
        policy = self.subscription.retry
        if outcome.hopeless:
            return outcome.hopeless
        if delivery.attempts >= policy.attempts_max:
            return "MaxDeliveryAttemptsExceeded"
        next_at = time.time() + outcome.retry_after_s(delivery.attempts) * self._scale
        if next_at > delivery.published_at + policy.ttl_min * 60 * self._scale:
            return "TimeToLiveExceeded"
        return None

    def _postpone(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        now = time.time()
        for one in batch:
            one.due_at = now + outcome.retry_after_s(one.attempts) * self._scale
        self._queue.postpone(batch, self.subscription.name, self.tally)
        self._under_way -= len(batch)
        for one in batch:
            self.add(one)

    async def _give_up(
        self, batch: Sequence[Delivery], dead_letters: DeadLetters, *, reason: str, outcome: Outcome
    ) -> None:
        """Write dead letters, however long storage takes; without a container, or patience, the events are dropped."""
        stored = False
        patience_ends = time.monotonic() + _STORAGE_PATIENCE_S * self._scale
        while self.subscription.dead_letter and not stored and time.monotonic() < patience_ends:
            try:
                await dead_letters.write(self.subscription, batch, reason=reason, outcome=outcome)
                stored = True
            except httpx.HTTPError as problem:
                _logger.warning("dead letters of %s are not stored yet: %r", self.subscription.name, problem)
                await asyncio.sleep(10 * self._scale)
        if stored:
            self.tally.dead_lettered += len(batch)
        else:
            self.tally.dropped += len(batch)
        self._end(batch)

    def _end(self, batch: Sequence[Delivery]) -> None:
        self._under_way -= len(batch)
        self._queue.remove(batch, self.subscription.name, self.tally)
