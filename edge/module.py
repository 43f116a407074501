"""The module beside the scoring endpoint: the twin in, reported properties and telemetry out.

It may lose the hub at any time, for days. Scoring does not notice: what cannot be sent waits.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from edge.errors import Away, Unfit
from edge.hub import Hub
from edge.serving import Candidate, Serving
from edge.telemetry import Telemetry
from edge.twin import Desired, Document
from edge.wanted import read_wanted

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 60.0
WATCH_SECONDS = 300.0  # how long silence is believed: after it the twin is read again, whatever the connection says
FAREWELL_SECONDS = 5.0


class Module:
    """One IoT Edge module.

    Args:
        connect: Makes a fresh connection.
        serving: What is told which model to serve.
        telemetry: Where messages wait.
        changed: Set by `serving` and `telemetry` when there is something to send.
    """

    def __init__(
        self, *, connect: Callable[[], Hub], serving: Serving, telemetry: Telemetry, changed: asyncio.Event
    ) -> None:
        self.connected = False
        self._connect, self._serving, self._telemetry, self._changed = connect, serving, telemetry, changed
        self._desired = Desired()
        self._reported: Document | None = None
        self._reread = self._lost = self._stopping = False

    async def run(self) -> None:
        """Keep a connection to the hub until `stop`."""
        retry_seconds = FIRST_RETRY_SECONDS
        while not self._stopping:
            started = asyncio.get_running_loop().time()
            try:
                await self._session()
            except Away as away:
                log.warning("%s", away.reason)
            if asyncio.get_running_loop().time() - started > LAST_RETRY_SECONDS:
                retry_seconds = FIRST_RETRY_SECONDS  # it was up for a while: this is a new outage
            await self._pause(retry_seconds)
            retry_seconds = min(2 * retry_seconds, LAST_RETRY_SECONDS)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Send what waits, say goodbye, and let `run` end; cut short when the hub does not answer."""
        self._stopping = True
        self._changed.set()
        done, _ = await asyncio.wait([running], timeout=FAREWELL_SECONDS)
        if not done:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _session(self) -> None:
        hub = self._connect()
        try:
            self._desired, self._lost, self._reread = Desired(), False, False
            await hub.open(on_desired=self._on_desired, on_lost=self._on_lost)
            self.connected, self._reported = True, None
            await self._read(hub)
            while True:
                await self._send(hub)
                if self._stopping:
                    return
                await self._wait(hub)
        finally:
            self.connected = False
            await hub.close()

    async def _wait(self, hub: Hub) -> None:
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            self._reread = True
        self._changed.clear()
        if self._lost:
            raise Away(
                "the connection to IoT Hub is gone", why="it was closed", fix="the device connects again by itself"
            )
        if self._reread:
            await self._read(hub)

    async def _read(self, hub: Hub) -> None:
        self._reread = False
        self._desired.replace(await hub.twin())
        self._ask()

    async def _send(self, hub: Hub) -> None:
        state = self._state()
        if state != self._reported:
            await hub.report(state)
            self._reported = state
        while self._telemetry.waiting:
            await self._send_oldest(hub)

    async def _send_oldest(self, hub: Hub) -> None:
        message, sent = self._telemetry.take(), False
        try:
            await hub.send(message)
            sent = True
        finally:
            if not sent:  # also when cancelled; the cloud tells a repeated message by its epoch and sequence
                self._telemetry.put_back(message)

    def _state(self) -> Document:
        model, candidate = self._serving.model, self._serving.candidate
        return {
            "model": model
            and {
                "model": model.wanted.model,
                "version": model.wanted.version,
                "sha256": model.wanted.sha256,
                "state": "serving",
            },
            "candidate": candidate
            and {"version": candidate.version, "state": candidate.state, "reason": candidate.reason},
        }

    def _on_desired(self, patch: Document) -> None:
        if self._desired.merge(patch):
            self._ask()
        else:
            self._reread = True
            self._changed.set()

    def _on_lost(self) -> None:
        self._lost = True
        self._changed.set()

    def _ask(self) -> None:
        desired = self._desired.model
        try:
            self._serving.ask(read_wanted(desired))
        except Unfit as problem:
            version = desired.get("version", "") if isinstance(desired, dict) else ""
            self._serving.ask(Candidate(str(version), "failed", problem.reason))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping:
                    self._changed.clear()
                    await self._changed.wait()
