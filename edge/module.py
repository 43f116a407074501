"""The module beside the scoring endpoint: the twin in, reported properties and telemetry out.

It may lose the hub at any time, for days. Scoring does not notice: what cannot be sent waits.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from edge.errors import Away, Unfit
from edge.following import Candidate, Following
from edge.hold import Hold
from edge.hub import Hub
from edge.methods import Methods
from edge.outbox import Outbox
from edge.serving import Serving
from edge.shadow import Shadow
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
        shadow: What is told which model to try silently.
        hold: Whether the site lets the model change.
        outbox: Where messages wait.
        changed: Set by all of them when there is something to send.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Hub],
        serving: Serving,
        shadow: Shadow,
        hold: Hold,
        outbox: Outbox,
        changed: asyncio.Event,
    ) -> None:
        self.connected = False
        self._connect, self._serving, self._shadow = connect, serving, shadow
        self._outbox, self._changed = outbox, changed
        self._methods = Methods(serving=serving, shadow=shadow, hold=hold, outbox=outbox, reread=self._read_again)
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
            await hub.open(on_desired=self._on_desired, on_method=self._methods, on_lost=self._on_lost)
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
        state = self._methods.reported()
        if state != self._reported:
            await hub.report(state)
            self._reported = state
        while waiting := await asyncio.to_thread(self._outbox.oldest):
            id_, message = waiting
            await hub.send(message, id=id_)  # it stays if this fails; the cloud tells a repeated one by its sequence
            await asyncio.to_thread(self._outbox.done, id_)

    def _on_desired(self, patch: Document) -> None:
        if self._desired.merge(patch):
            self._ask()
        else:
            self._read_again()

    def _read_again(self) -> None:
        self._reread = True
        self._changed.set()

    def _on_lost(self) -> None:
        self._lost = True
        self._changed.set()

    def _ask(self) -> None:
        _ask(self._serving, self._desired.model, name="model")
        _ask(self._shadow, self._desired.shadow, name="shadow")

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping:
                    self._changed.clear()
                    await self._changed.wait()


def _ask(following: Following, desired: object, *, name: str) -> None:
    try:
        following.ask(read_wanted(desired, name=name))
    except Unfit as problem:
        version = desired.get("version", "") if isinstance(desired, dict) else ""
        following.ask(Candidate(str(version), "failed", problem.reason))
