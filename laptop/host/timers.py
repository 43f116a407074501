"""Timer triggers: one invocation at a time per function, on the schedule, caught up once after a stop.

The schedule's status is a small document under the stack's home, where the real host keeps a blob in
azure-webjobs-hosts.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from laptop.host import worker
from laptop.host.invocations import Event, Invocations
from laptop.host.ncrontab import Schedule
from laptop.host.settings import CannotStart
from laptop.host.state import State
from laptop.host.worker import Function

_SHORTEST_MONITORED = timedelta(minutes=1)  # the extension does not keep the status of timers that fire more often
_LONGEST_SLEEP_SECONDS = 30.0  # a laptop that sleeps stops the clock asyncio counts on


class TimerListener:
    """Fires one timer function.

    Args:
        function: The function; its trigger's options are expanded already.
        invocations: Runs it.
        state: Where the schedule's status is remembered.

    Raises:
        CannotStart: The schedule is no NCRONTAB expression.
    """

    def __init__(self, function: Function, invocations: Invocations, state: State) -> None:
        trigger = function.trigger
        try:
            self._schedule = Schedule.parse(trigger.text("schedule"))
        except ValueError as problem:
            raise CannotStart(
                f"function {function.name} cannot be scheduled", why=str(problem), fix="write six fields, seconds first"
            ) from problem
        self._function, self._invocations, self._state = function, invocations, state
        self._at_startup = bool(trigger.options.get("runOnStartup"))
        often = self._schedule.shortest_gap(datetime.now(UTC)) < _SHORTEST_MONITORED
        self._monitored = trigger.options.get("useMonitor") is not False and not often

    async def run(self) -> None:
        """Fire until cancelled."""
        now = datetime.now(UTC)
        missed = self._missed(now)
        if missed or self._at_startup:
            await self._fire(now, past_due=missed)
        while True:
            due = self._schedule.after(datetime.now(UTC))
            while (left := (due - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110 - waits for a time of day
                await asyncio.sleep(min(left, _LONGEST_SLEEP_SECONDS))
            await self._fire(due, past_due=False)

    async def _fire(self, due: datetime, *, past_due: bool) -> None:
        await self._invocations.work.finish(self._once(due, past_due=past_due))

    async def _once(self, due: datetime, *, past_due: bool) -> None:
        event = timer_event(
            self._state.read("timer", self._function.name) if self._monitored else None, past_due=past_due
        )
        await self._invocations.run_with_retries(self._function, event)
        if self._monitored:
            now = datetime.now(UTC)
            status = {"Last": due, "Next": self._schedule.after(now), "LastUpdated": now}
            document: dict[str, object] = {key: value.isoformat() for key, value in status.items()}
            self._state.write("timer", self._function.name, document=document)

    def _missed(self, now: datetime) -> bool:
        """Whether an occurrence fell into the time the host was off, by today's schedule, not by the one of then.

        A first start only notes what comes next.
        """
        if not self._monitored:
            return False
        status = self._state.read("timer", self._function.name)
        if status is None:
            first: dict[str, object] = {"Next": self._schedule.after(now).isoformat(), "LastUpdated": now.isoformat()}
            self._state.write("timer", self._function.name, document={"Last": None} | first)
            return False
        return self._schedule.after(datetime.fromisoformat(str(status["LastUpdated"]))) <= now


def timer_event(status: dict[str, object] | None, *, past_due: bool) -> Event:
    """What a timer function is given.

    Args:
        status: Last, Next and LastUpdated, or None if they are not kept.
        past_due: Whether the occurrence is late because the host was off.
    """
    info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}
    return Event(worker.document(info), reason=f"Timer fired at {datetime.now(UTC).isoformat()}")
