"""The listeners of an app: what waits for timers, queues and event hubs while the host runs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from laptop.host.bindings import storage
from laptop.host.client import Client
from laptop.host.event_hubs import EventHubListener, Source
from laptop.host.invocations import Invocations
from laptop.host.queues import QueueListener, QueueOptions, queue_event
from laptop.host.settings import CannotStart, HostJson, Settings
from laptop.host.state import State
from laptop.host.storage import Queue, QueueMessage
from laptop.host.timers import TimerListener
from laptop.host.worker import Function

Listen = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Makes the listeners of functions.

    Args:
        settings: The app settings.
        host_json: The app's host.json.
        invocations: Runs the functions.
        client: The host's HTTPS client.
        state: What is remembered between two runs.
    """

    settings: Settings
    host_json: HostJson
    invocations: Invocations
    client: Client
    state: State

    def of(self, functions: Sequence[Function]) -> list[Listen]:
        """One listener per function that something must wait for.

        Raises:
            CannotStart: A connection or a schedule is unusable, or two functions would share a checkpoint.
        """
        makers = {"timerTrigger": self._timer, "queueTrigger": self._queue, "eventHubTrigger": self._event_hub}
        _refuse_shared_groups([one for one in functions if one.trigger.kind == "eventHubTrigger"])
        return [makers[one.trigger.kind](one) for one in functions if one.trigger.kind in makers]

    def _timer(self, function: Function) -> Listen:
        return TimerListener(function, self.invocations, self.state).run

    def _queue(self, function: Function) -> Listen:
        async def handle(message: QueueMessage, text: str) -> bool:
            return (await self.invocations.run(function, queue_event(message, text))).succeeded

        queue = Queue(function.trigger.text("queueName"), storage(function, "queue", self.settings, self.client))
        poison, options = queue.sibling(f"{queue.name}-poison"), QueueOptions.of(self.host_json)
        return QueueListener(queue, poison, handle, options=options, work=self.invocations.work).run

    def _event_hub(self, function: Function) -> Listen:
        where = f"function {function.name}, trigger {function.trigger.name}"
        return EventHubListener(
            function,
            Source.of(function.trigger, self.settings, where),
            invocations=self.invocations,
            client=self.client,
            state=self.state,
            batch=self.host_json.extensions.event_hubs.max_event_batch_size,
        ).run


def _refuse_shared_groups(functions: Sequence[Function]) -> None:
    readers: dict[tuple[str, str], str] = {}
    for function in functions:
        hub, group = function.trigger.text("eventHubName"), function.trigger.text("consumerGroup", "$Default")
        other = readers.setdefault((hub, group), function.name)
        if other != function.name:
            raise CannotStart(
                f"functions {other} and {function.name} cannot both run",
                why=f"both read {hub} as consumer group {group}, so each message would reach only one of them",
                fix="give each function its own consumer group",
            )
