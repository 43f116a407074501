"""Running a function once, or as often as its retry policy says, with everything the real host does around it."""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from azure.functions.meta import Datum

from laptop.host import worker
from laptop.host.work import Work
from laptop.host.worker import Binding, Call, Function, Outcome, Retry

_log = logging.getLogger("host")
_REMEMBERED = 10_000  # durations per function that the percentiles are taken from
_NO_RETRY = Retry(0, timedelta(), timedelta())


class Writer(Protocol):
    """Where output bindings write to."""

    async def write(self, binding: Binding, value: Datum, expressions: Mapping[str, object]) -> None:
        """Write one value; raises OSError or ValueError if it cannot."""


@dataclass(slots=True)
class Tally:
    """How one function's invocations went."""

    started: int = 0
    succeeded: int = 0
    failed: int = 0
    durations_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def figures(self) -> dict[str, float | None]:
        """The counts, and the median and 99th percentile duration in milliseconds (None before the first end)."""
        ordered = sorted(self.durations_ms)
        return {
            "started": self.started,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "p50_ms": _percentile(ordered, 50),
            "p99_ms": _percentile(ordered, 99),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """What wakes a function.

    Args:
        data: The trigger's payload.
        metadata: The trigger's metadata.
        reason: Why, in the words of the real host's log.
        expressions: Makes the values that `{name}` in an output's path or queue name may use.
        trace: W3C trace parent of the caller; empty to begin a new trace.
    """

    data: Datum
    metadata: Mapping[str, Datum] = field(default_factory=dict)
    reason: str = "This function was programmatically called via the host APIs."
    expressions: Callable[[], Mapping[str, object]] = dict
    trace: str = ""


class Invocations:
    """Runs functions and keeps the books.

    Args:
        functions: The functions it may be asked to run.
        work: Where running invocations are registered until they end.
        writer: Writes output bindings.
        timeout_seconds: How long one invocation may take; None means as long as it likes.
    """

    def __init__(
        self, functions: Sequence[Function], work: Work, writer: Writer, *, timeout_seconds: float | None
    ) -> None:
        self.work = work
        self._writer = writer
        self._timeout_seconds = timeout_seconds
        self._tallies = {function.name: Tally() for function in functions}

    def figures(self) -> dict[str, dict[str, float | None]]:
        """The books, by function."""
        return {name: tally.figures() for name, tally in self._tallies.items()}

    def start(self, function: Function, event: Event) -> asyncio.Task[Outcome]:
        """Run one function once in the background."""
        return self.work.start(self.run(function, event))

    async def run(self, function: Function, event: Event, *, retry: int = 0) -> Outcome:
        """Run one function once; never raises because of what the function does."""
        tally, call = self._tallies[function.name], _call(function, event, retry)
        tally.started += 1
        _log.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, event.reason, call.id)
        began = time.perf_counter()
        outcome = await self._attempt(function, call, event)
        duration_ms = 1e3 * (time.perf_counter() - began)
        tally.durations_ms.append(duration_ms)
        if outcome.succeeded:
            tally.succeeded += 1
            _log.info(
                "Executed 'Functions.%s' (Succeeded, Id=%s, Duration=%.0fms)", function.name, call.id, duration_ms
            )
        else:
            tally.failed += 1
            _log.error(
                "Executed 'Functions.%s' (Failed, Id=%s, Duration=%.0fms)\n%s",
                function.name, call.id, duration_ms, outcome.traceback or outcome.error,
            )  # fmt: skip
        return outcome

    async def run_with_retries(self, function: Function, event: Event) -> Outcome:
        """Run one function until it succeeds or its retry policy gives up.

        Raises:
            Stopping: The host stopped between two attempts.
        """
        policy, retry = function.retry or _NO_RETRY, 0
        outcome = await self.run(function, event)
        while not outcome.succeeded and (policy.limit < 0 or retry < policy.limit):
            retry += 1
            await self.work.pause(policy.delay_seconds(retry))
            outcome = await self.run(function, event, retry=retry)
        return outcome

    async def _attempt(self, function: Function, call: Call, event: Event) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                outcome = await worker.call(function, call)
                await self._write(function, outcome, event)
        except TimeoutError:
            return Outcome(
                succeeded=False,
                error=f"Timeout value of {self._timeout_seconds} s exceeded by function 'Functions.{function.name}' "
                f"(Id: '{call.id}'). Initiating cancellation.",
            )
        except (OSError, ValueError) as problem:
            return Outcome(succeeded=False, error=f"an output was not written: {problem}")
        return outcome

    async def _write(self, function: Function, outcome: Outcome, event: Event) -> None:
        for name, value in outputs(function, outcome):
            if function.outputs[name].kind != "http":
                await self._writer.write(function.outputs[name], value, event.expressions())


def outputs(function: Function, outcome: Outcome) -> Sequence[tuple[str, Datum]]:
    """Everything the function gave back: what it set, and what it returned if that is bound."""
    returned = outcome.returned
    if returned is None or returned.type is None or "$return" not in function.outputs:
        return outcome.outputs
    return [*outcome.outputs, ("$return", returned)]


def _call(function: Function, event: Event, retry: int) -> Call:
    identity = uuid.uuid4()
    return Call(
        str(identity),
        event.data,
        event.metadata,
        trace=event.trace or f"00-{identity.hex}-{identity.hex[:16]}-01",
        retry=retry,
        retry_limit=function.retry.limit if function.retry else 0,
    )


def _percentile(ordered: Sequence[float], share: int) -> float | None:
    return round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 3) if ordered else None
