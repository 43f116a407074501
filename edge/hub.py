"""The device's line to IoT Hub: a port in its own words, and Microsoft's module client behind it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from azure.iot.device import Message, MethodRequest, MethodResponse, exceptions
from azure.iot.device.aio import IoTHubModuleClient

from edge.errors import Away, Misconfigured
from edge.twin import Document

OUTPUT = "telemetry"
ANSWER_SECONDS = 30.0  # the SDK waits for ever for some acknowledgements
GOODBYE_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 30

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a direct method answers.

    Args:
        status: As in HTTP.
        payload: JSON.
    """

    status: int
    payload: Document


type OnMethod = Callable[[str, object], Awaitable[Answer]]
"""Carries out a direct method, given its name and payload; never fails."""


class Hub(Protocol):
    """One connection to the hub, from `open` to the first Away; never reused after it."""

    async def open(
        self, *, on_desired: Callable[[Document], None], on_method: OnMethod, on_lost: Callable[[], None]
    ) -> None:
        """Connect and subscribe; the callbacks arrive on the caller's event loop.

        Raises:
            Away: The hub cannot be reached or does not let this module in.
        """
        ...

    async def twin(self) -> Document:
        """The desired properties in full, with their `$version`.

        Raises:
            Away: No answer.
        """
        ...

    async def report(self, properties: Document) -> None:
        """Merge into the reported properties; None removes one.

        Raises:
            Away: No acknowledgement.
        """
        ...

    async def send(self, message: bytes, *, id: str) -> None:  # noqa: A002 - what the hub calls it
        """Send one telemetry message, UTF-8 JSON, to the output `telemetry`: the deployment's routes lead on.

        Raises:
            Away: No acknowledgement; it may have arrived nevertheless.
        """
        ...

    async def close(self) -> None:
        """Hang up; never fails and never takes long."""
        ...


def check_edge_environment(environment: Mapping[str, str]) -> None:
    """Make sure that something that looks like the IoT Edge runtime started this process.

    Raises:
        Misconfigured: Nothing did.
    """
    if not environment.keys() & {"IOTEDGE_WORKLOADURI", "EdgeHubConnectionString"}:
        raise Misconfigured(
            "this process is not an IoT Edge module",
            why="neither IOTEDGE_WORKLOADURI nor EdgeHubConnectionString is set",
            fix="let the IoT Edge runtime start it, or set EdgeHubConnectionString and EdgeModuleCACertificateFile",
        )


class NoHub:
    """No hub at all: the model that the image brought is served, and nothing is asked for or told."""

    async def open(
        self,
        *,
        on_desired: Callable[[Document], None],  # noqa: ARG002 - the port's
        on_method: OnMethod,  # noqa: ARG002 - likewise
        on_lost: Callable[[], None],  # noqa: ARG002 - likewise
    ) -> None:
        """Wait for what never comes; so none of the others is ever called."""
        await asyncio.Event().wait()

    async def twin(self) -> Document:
        """No twin."""
        return {}

    async def report(self, properties: Document) -> None:
        """Nobody to report to."""

    async def send(self, message: bytes, *, id: str) -> None:  # noqa: A002 - what the hub calls it
        """Nobody to send to."""

    async def close(self) -> None:
        """Nothing is open."""


def hub_of(environment: Mapping[str, str]) -> Callable[[], Hub]:
    """What connects this process: the IoT Edge runtime's hub, or with HUB=none nothing, as in a model image.

    Raises:
        Misconfigured: It is neither.
    """
    if environment.get("HUB") == "none":
        return NoHub
    check_edge_environment(environment)
    return EdgeHub


class EdgeHub:
    """The hub of the IoT Edge runtime whose environment this process has.

    The SDK's own reconnecting is off: its renewal of tokens and its subscriptions have failed to come back before,
    while a fresh client always starts from a known state. edge/module.py makes a new one after every Away.
    """

    def __init__(self) -> None:
        try:
            self._client = IoTHubModuleClient.create_from_edge_environment(
                connection_retry=False, keep_alive=KEEP_ALIVE_SECONDS, websockets=False
            )
        except ValueError as error:
            raise Misconfigured(
                "the IoT Edge environment is not usable",
                why=str(error),
                fix="let the IoT Edge runtime start this module",
            ) from error
        except OSError as error:  # also: the runtime's workload API is not up yet
            raise Away(
                "the IoT Edge environment is not there",
                why=str(error),
                fix="let the IoT Edge runtime start this module, or set EdgeHubConnectionString",
            ) from error

    async def open(
        self, *, on_desired: Callable[[Document], None], on_method: OnMethod, on_lost: Callable[[], None]
    ) -> None:
        """Connect and subscribe; see Hub."""
        loop = asyncio.get_running_loop()

        def desired(patch: Document) -> None:
            loop.call_soon_threadsafe(on_desired, patch)

        def state() -> None:
            if not self._client.connected:
                loop.call_soon_threadsafe(on_lost)

        def method(request: MethodRequest) -> None:
            asyncio.run_coroutine_threadsafe(self._carry_out(request, on_method), loop)

        def subscribe() -> None:
            self._client.on_connection_state_change = state
            self._client.on_twin_desired_properties_patch_received = desired
            self._client.on_method_request_received = method

        await _answered("connect", self._client.connect())
        # The setters block until the hub has acknowledged the subscription: never on the event loop.
        await _answered("take subscriptions", asyncio.to_thread(subscribe))

    async def twin(self) -> Document:
        """The desired properties in full; see Hub."""
        twin: dict[str, Document] = await _answered("hand out the twin", self._client.get_twin())
        return twin["desired"]

    async def report(self, properties: Document) -> None:
        """Merge into the reported properties; see Hub."""
        await _answered("take reported properties", self._client.patch_twin_reported_properties(properties))

    async def send(self, message: bytes, *, id: str) -> None:  # noqa: A002 - likewise
        """Send one telemetry message; see Hub."""
        wire = Message(message.decode(), message_id=id, content_encoding="utf-8", content_type="application/json")
        await _answered("take a telemetry message", self._client.send_message_to_output(wire, OUTPUT))

    async def _carry_out(self, request: MethodRequest, on_method: OnMethod) -> None:
        answer = await on_method(request.name, request.payload)
        response = MethodResponse.create_from_method_request(request, answer.status, answer.payload)
        try:
            await _answered("take a method's answer", self._client.send_method_response(response))
        except Away as away:
            log.warning("%s", away.reason)

    async def close(self) -> None:
        """Hang up; see Hub."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._client.shutdown()
        except (TimeoutError, *_SDK_ERRORS):
            return


_SDK_ERRORS = (exceptions.ClientError, exceptions.OperationTimeout, exceptions.OperationCancelled, OSError)


async def _answered[T](what: str, call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await call
    except (TimeoutError, *_SDK_ERRORS) as error:
        cause = error.__cause__ or error
        raise Away(
            f"IoT Hub did not {what}",
            why=f"{type(cause).__name__}: {cause}",
            fix="check the device's network and its identity in the hub; the device tries again by itself",
        ) from error
