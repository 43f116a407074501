"""Storage queue triggers: several messages at once, five tries each, then the poison queue.

Blob triggers stand on them too, as in Azure: the webhook puts the blob's name in an internal queue of the same account.
"""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from laptop.host import worker
from laptop.host.client import Unreachable
from laptop.host.invocations import Event
from laptop.host.settings import HostJson, span
from laptop.host.storage import Queue, QueueMessage
from laptop.host.work import Work

_log = logging.getLogger("host")
_HIDDEN_SECONDS = 600  # the extension's own; renewed at half of it while the function runs
_SHORTEST_WAIT_SECONDS = 0.1
_LARGEST_BATCH = 32  # what the service gives at most

Handle = Callable[[QueueMessage, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What host.json says about queues; spans in seconds."""

    batch: int
    refill_below: int
    tries: int
    hidden_after_failure_seconds: int
    longest_wait_seconds: float
    base64: bool

    @classmethod
    def of(cls, host_json: HostJson) -> Self:
        """The options of host.json with the real host's defaults."""
        queues = host_json.extensions.queues
        threshold = queues.new_batch_threshold
        return cls(
            batch=min(queues.batch_size, _LARGEST_BATCH),
            refill_below=queues.batch_size // 2 if threshold is None else threshold,
            tries=queues.max_dequeue_count,
            hidden_after_failure_seconds=int(span(queues.visibility_timeout).total_seconds()),
            longest_wait_seconds=span(queues.max_polling_interval).total_seconds(),
            base64=queues.message_encoding.lower() == "base64",
        )


class QueueListener:
    """Takes messages off one queue.

    Args:
        queue: The queue.
        poison: Where messages go after the last try.
        handle: Runs the function on (message, decoded text); true when it succeeded.
        options: Batch sizes and tries.
        work: Where running messages are registered until they end.
    """

    def __init__(self, queue: Queue, poison: Queue, handle: Handle, *, options: QueueOptions, work: Work) -> None:
        self._queue, self._poison, self._handle = queue, poison, handle
        self._options, self._work = options, work
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at the queue now instead of at the next poll."""
        self._woken.set()

    async def run(self) -> None:
        """Take messages until cancelled."""
        wait = _SHORTEST_WAIT_SECONDS
        while True:
            messages = await self._take()
            for message in messages:
                task = self._work.start(self._process(message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            while len(self._running) > self._options.refill_below:
                await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)
            wait = _SHORTEST_WAIT_SECONDS if messages else min(wait * 2, self._options.longest_wait_seconds)
            if not messages:
                await self._sleep(wait)

    async def _take(self) -> list[QueueMessage]:
        try:
            return await self._queue.receive(self._options.batch, hidden_seconds=_HIDDEN_SECONDS)
        except Unreachable as problem:
            _log.warning("queue %s: %s", self._queue.name, problem)
            return []

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return
        self._woken.clear()

    async def _process(self, message: QueueMessage) -> None:
        text = _decode(message.body) if self._options.base64 else message.body
        if text is None or message.dequeue_count > self._options.tries:
            await self._give_up(message, message.pop_receipt)
            return
        running = asyncio.ensure_future(self._handle(message, text))
        receipt = message.pop_receipt
        while not (await asyncio.wait([running], timeout=_HIDDEN_SECONDS / 2))[0]:
            receipt = await self._queue.hide(message, receipt, seconds=_HIDDEN_SECONDS)
        if running.result():
            await self._queue.delete(message, receipt)
        elif message.dequeue_count >= self._options.tries:
            await self._give_up(message, receipt)
        else:
            await self._queue.hide(message, receipt, seconds=self._options.hidden_after_failure_seconds)

    async def _give_up(self, message: QueueMessage, receipt: str) -> None:
        _log.error("message %s of %s goes to %s", message.id, self._queue.name, self._poison.name)
        await self._poison.send(message.body)
        await self._queue.delete(message, receipt)


def encode(text: str | bytes) -> str:
    """A message body as the host writes it into a queue by default."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def queue_event(message: QueueMessage, text: str) -> Event:
    """What a queue function is given."""
    return Event(
        worker.text(text),
        {
            "QueueTrigger": worker.text(text),
            "Id": worker.text(message.id),
            "DequeueCount": worker.text(str(message.dequeue_count)),
            "InsertionTime": worker.text(message.inserted.isoformat()),
            "ExpirationTime": worker.text(message.expires.isoformat()),
            "NextVisibleTime": worker.text(message.next_visible.isoformat()),
            "PopReceipt": worker.text(message.pop_receipt),
        },
        reason="New queue message detected",
        expressions=lambda: {"queueTrigger": text, "Id": message.id, **fields(text)},
    )


def fields(text: str) -> dict[str, object]:
    """The properties of a message that is a JSON object, for `{name}` in outputs; none otherwise."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _decode(body: str) -> str | None:
    try:
        return base64.b64decode(body, validate=True).decode(errors="replace")
    except binascii.Error:
        return None
