"""Event Hubs triggers, fed by the telemetry log of the laptop's IoT Hub over HTTPS instead of AMQP.

One consumer per partition. The checkpoint of (hub, consumer group, partition) is a small document under the stack's
home, where the real extension keeps a blob in azure-webjobs-eventhub. It advances after a batch whether or not the
function failed, unless the function has a retry policy: then it waits for the last retry.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import msgspec

from laptop.host import worker
from laptop.host.client import Client, Unreachable
from laptop.host.invocations import Event, Invocations
from laptop.host.settings import CannotStart, Settings, missing
from laptop.host.state import State
from laptop.host.work import Stopping
from laptop.host.worker import Binding, Function

_log = logging.getLogger("host")
_RESOURCE = "https://eventhubs.azure.net"
_WAIT_SECONDS = 5
_LONGEST_PAUSE_SECONDS = 5.0
_OK = 200


class Message(msgspec.Struct, rename="camel"):
    """One message of the telemetry log."""

    sequence_number: int
    offset: str
    enqueued_time_utc: str
    body: bytes
    partition_key: str | None = None
    system_properties: dict[str, Any] = {}
    properties: dict[str, Any] = {}


class _Messages(msgspec.Struct):
    messages: list[Message]


class _Partitions(msgspec.Struct, rename="camel"):
    partition_ids: list[str]


@dataclass(frozen=True, slots=True)
class Source:
    """What a function reads: a hub's messages as one consumer group.

    Args:
        namespace: Host and port of the log.
        hub: The event hub's name.
        group: The consumer group.
    """

    namespace: str
    hub: str
    group: str

    @classmethod
    def of(cls, trigger: Binding, settings: Settings, where: str) -> Self:
        """Read a trigger whose options are expanded already.

        Raises:
            CannotStart: The connection is missing, or it is a connection string.
        """
        connection = trigger.text("connection")
        namespace = settings.connection(connection, "fullyQualifiedNamespace")
        if namespace is None and settings.connection(connection) is not None:
            raise CannotStart(
                f"{where} cannot be bound",
                why=f"{connection} is a connection string, which means AMQP; this host reads a log over HTTPS",
                fix=f"set {connection}__fullyQualifiedNamespace to the host and port of the laptop's IoT Hub",
            )
        if namespace is None:
            raise missing(where, f"{connection}__fullyQualifiedNamespace")
        settings.need("IDENTITY_ENDPOINT", where)
        return cls(namespace, trigger.text("eventHubName"), trigger.text("consumerGroup", "$Default"))


class EventHubListener:
    """Reads every partition of one hub for one function.

    Args:
        function: The function.
        source: What it reads.
        invocations: Runs it.
        client: The host's HTTPS client.
        state: Where checkpoints are kept.
        batch: Messages per batch at most.
    """

    def __init__(
        self, function: Function, source: Source, *, invocations: Invocations, client: Client, state: State, batch: int
    ) -> None:
        self._function, self._source, self._batch = function, source, batch
        self._invocations, self._client, self._state = invocations, client, state
        self._pause_seconds = 0.1

    async def run(self) -> None:
        """Read until cancelled."""
        partitions = (await self._get("partitions", _Partitions)).partition_ids
        async with asyncio.TaskGroup() as group:
            for partition in partitions:
                group.create_task(self._read(partition))

    async def _read(self, partition: str) -> NoReturn:
        key = ("eventhub", self._source.hub, self._source.group, partition)
        checkpoint = self._state.read(*key)
        position = int(str(checkpoint["sequenceNumber"])) + 1 if checkpoint else 0
        while True:
            path = f"partitions/{partition}/messages?from={position}&max={self._batch}&wait={_WAIT_SECONDS}"
            messages = (await self._get(path, _Messages)).messages
            if messages:
                await self._invocations.work.finish(self._process(partition, messages, key=key))
                position = messages[-1].sequence_number + 1

    async def _process(self, partition: str, messages: list[Message], *, key: tuple[str, ...]) -> None:
        context = {
            "FullyQualifiedNamespace": self._source.namespace,
            "EventHubName": self._source.hub,
            "ConsumerGroup": self._source.group,
            "PartitionId": partition,
        }
        binary = self._function.trigger.text("dataType").upper() == "BINARY"
        if self._function.trigger.text("cardinality", "MANY").upper() == "MANY":
            events = [batch_event(messages, context, binary=binary)]
        else:
            events = [single_event(message, context, binary=binary) for message in messages]
        run = self._invocations.run_with_retries
        results = await asyncio.gather(*(run(self._function, event) for event in events), return_exceptions=True)
        if any(isinstance(result, Stopping) for result in results):
            raise Stopping
        last = messages[-1]
        self._state.write(*key, document={"sequenceNumber": last.sequence_number, "offset": last.offset})

    async def _get[T](self, path: str, kind: type[T]) -> T:
        """Ask the log until it answers."""
        url = f"https://{self._source.namespace}/laptop/eventhubs/{self._source.hub}/{path}"
        while True:
            try:
                headers = {"Authorization": await self._client.bearer(_RESOURCE)}
                answer = await self._client.send("GET", url, headers=headers)
                if answer.status == _OK:
                    self._pause_seconds = 0.1
                    return msgspec.json.decode(answer.body, type=kind)
                problem = str(answer)
            except (Unreachable, msgspec.DecodeError) as caught:
                problem = str(caught)
            _log.warning("event hub %s: %s", self._source.hub, problem)
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


def batch_event(messages: list[Message], context: dict[str, str], *, binary: bool) -> Event:
    """A batch as a function with cardinality MANY is given it."""
    bodies = [message.body for message in messages]
    return Event(
        worker.many(bodies) if binary else worker.many_texts([body.decode(errors="replace") for body in bodies]),
        {
            "PartitionContext": worker.document(context),
            "SystemPropertiesArray": worker.document([_system(message) for message in messages]),
            "PropertiesArray": worker.document([message.properties for message in messages]),
            "PartitionKeyArray": worker.document([message.partition_key for message in messages]),
            "OffsetArray": worker.document([message.offset for message in messages]),
            "SequenceNumberArray": worker.document([message.sequence_number for message in messages]),
            "EnqueuedTimeUtcArray": worker.document([message.enqueued_time_utc for message in messages]),
        },
        reason=f"(null) partition {context.get('PartitionId', '')}, {len(messages)} messages",
    )


def single_event(message: Message, context: dict[str, str], *, binary: bool) -> Event:
    """One message as a function with cardinality ONE is given it, and any function by the admin API."""
    key = {} if message.partition_key is None else {"PartitionKey": worker.text(message.partition_key)}
    return Event(
        worker.blob(message.body) if binary else worker.text(message.body.decode(errors="replace")),
        {
            **key,
            "PartitionContext": worker.document(context),
            "SystemProperties": worker.document(_system(message)),
            "Properties": worker.document(message.properties),
            "Offset": worker.text(message.offset),
            "SequenceNumber": worker.document(message.sequence_number),
            "EnqueuedTimeUtc": worker.document(message.enqueued_time_utc),
        },
        reason=f"(null) partition {context.get('PartitionId', '')}, message {message.sequence_number}",
    )


def _system(message: Message) -> dict[str, Any]:
    return {
        "SequenceNumber": message.sequence_number,
        "Offset": message.offset,
        "PartitionKey": message.partition_key,
        "EnqueuedTimeUtc": message.enqueued_time_utc,
        **message.system_properties,
    }
