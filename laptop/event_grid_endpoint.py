"""Speaking to a subscription's endpoint: the handshake that admits it, and deliveries."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import msgspec

from laptop.event_grid_envelope import timestamp
from laptop.event_grid_outcome import Outcome, outcome_of, outcome_without_answer
from laptop.event_grid_queue import Delivery
from laptop.event_grid_subscription import Subscription

ANSWER_WITHIN_S = 30.0  # Event Grid's own patience, never scaled
_ORIGIN = "eventgrid.azure.net"
_BATCHED = "application/cloudevents-batch+json; charset=utf-8"
_SINGLE = "application/cloudevents+json; charset=utf-8"
_OWN_SCHEMA = "application/json; charset=utf-8"


class Endpoint:
    """One subscription's endpoint, as the relay sees it."""

    def __init__(self, subscription: Subscription, client: httpx.AsyncClient) -> None:
        self._subscription, self._client = subscription, client

    async def consents(self) -> bool:
        """Whether the endpoint agrees to receive events.

        As in Azure, an endpoint for Event Grid's schema must echo a validation code, and one for CloudEvents must allow
        the origin.

        Raises:
            httpx.TransportError: It does not answer.
        """
        return await (self._allows_origin() if self._subscription.schema == "cloud" else self._echoes_code())

    async def deliver(self, deliveries: Sequence[Delivery]) -> Outcome:
        """Post a batch; every answer, also none, is an outcome."""
        content, content_type = _batch(self._subscription, deliveries)
        headers = {
            "aeg-event-type": "Notification",
            "aeg-subscription-name": self._subscription.name.upper(),
            "aeg-delivery-count": str(deliveries[0].attempts),
            "aeg-metadata-version": "1",
            "content-type": content_type,
        }
        try:
            answer = await self._client.post(self._subscription.endpoint, content=content, headers=headers)
        except httpx.TransportError as problem:
            return outcome_without_answer(problem)
        return outcome_of(answer.status_code)

    async def _allows_origin(self) -> bool:
        answer = await self._client.options(self._subscription.endpoint, headers={"WebHook-Request-Origin": _ORIGIN})
        return answer.is_success and answer.headers.get("WebHook-Allowed-Origin") in {_ORIGIN, "*"}

    async def _echoes_code(self) -> bool:
        code = str(uuid4()).upper()
        validation = {
            "id": str(uuid4()),
            "topic": self._subscription.source,
            "subject": "",
            "data": {"validationCode": code},
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": timestamp(datetime.now(UTC)),
            "metadataVersion": "1",
            "dataVersion": "2",
        }
        headers = {
            "aeg-event-type": "SubscriptionValidation",
            "aeg-subscription-name": self._subscription.name.upper(),
            "content-type": _OWN_SCHEMA,
        }
        content = msgspec.json.encode([validation])
        answer = await self._client.post(self._subscription.endpoint, content=content, headers=headers)
        return answer.status_code == httpx.codes.OK and _echoed(answer.content) == code


def _batch(subscription: Subscription, deliveries: Sequence[Delivery]) -> tuple[bytes, str]:
    """Body and content type: CloudEvents without batching travel as one object, everything else as an array."""
    if subscription.schema == "cloud" and subscription.events_per_batch_max == 1:
        return deliveries[0].body, _SINGLE
    content = b"[" + b",".join(one.body for one in deliveries) + b"]"
    return content, _BATCHED if subscription.schema == "cloud" else _OWN_SCHEMA


class _Echo(msgspec.Struct, rename="camel"):
    validation_response: str


def _echoed(content: bytes) -> str | None:
    try:
        return msgspec.json.decode(content, type=_Echo).validation_response
    except msgspec.DecodeError:
        return None
