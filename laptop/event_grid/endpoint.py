"""Speaking to a subscription's endpoint: the handshake that admits it, and deliveries."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from laptop.event_grid.backlog import Delivery
from laptop.event_grid.envelope import timestamp
from laptop.event_grid.outcome import NO_ANSWER_IN_TIME, NO_CONNECTION, Outcome, outcome_of
from laptop.event_grid.subscription import Subscription
from laptop.keep_alive import KeepAlive, Unreachable

ANSWER_WITHIN_S = 30.0  # Event Grid's own patience, never scaled
_ORIGIN = b"eventgrid.azure.net"
_BATCHED = b"application/cloudevents-batch+json; charset=utf-8"
_SINGLE = b"application/cloudevents+json; charset=utf-8"
_OWN_SCHEMA = b"application/json; charset=utf-8"


class Endpoint:
    """One subscription's endpoint, as the relay sees it.

    Args:
        subscription: Whose.
        tls: How to verify an https endpoint.
    """

    def __init__(self, subscription: Subscription, tls: ssl.SSLContext) -> None:
        url = urlsplit(subscription.endpoint)
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        self._server = KeepAlive(url.hostname or "", port, tls=tls if secure else None)
        self._host = url.netloc.encode()
        self._target = (url.path or "/").encode() + (f"?{url.query}".encode() if url.query else b"")
        self._subscription = subscription

    def close(self) -> None:
        """Close its connections."""
        self._server.close()

    async def consents(self) -> bool:
        """Whether the endpoint agrees to receive events.

        As in Azure, an endpoint for Event Grid's schema must echo a validation code, and one for CloudEvents must allow
        the origin.

        Raises:
            Unreachable: It does not answer.
            TimeoutError: Not within 30 s.
        """
        return await (self._allows_origin() if self._subscription.schema == "cloud" else self._echoes_code())

    async def deliver(self, deliveries: Sequence[Delivery]) -> Outcome:
        """Post a batch; every answer, also none, is an outcome."""
        content, content_type = _batch(self._subscription, deliveries)
        headers = {
            b"aeg-event-type": b"Notification",
            b"aeg-delivery-count": str(deliveries[0].attempts).encode(),
            b"aeg-metadata-version": b"1",
            b"content-type": content_type,
        }
        try:
            status, _, _ = await self._exchange(b"POST", headers, content)
        except Unreachable:
            return NO_CONNECTION
        except TimeoutError:
            return NO_ANSWER_IN_TIME
        return outcome_of(status)

    async def _allows_origin(self) -> bool:
        status, headers, _ = await self._exchange(b"OPTIONS", {b"webhook-request-origin": _ORIGIN}, b"")
        return status == HTTPStatus.OK and headers.get(b"webhook-allowed-origin") in {_ORIGIN, b"*"}

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
        headers = {b"aeg-event-type": b"SubscriptionValidation", b"content-type": _OWN_SCHEMA}
        status, _, content = await self._exchange(b"POST", headers, msgspec.json.encode([validation]))
        return status == HTTPStatus.OK and _echoed(content) == code

    async def _exchange(
        self, method: bytes, headers: Mapping[bytes, bytes], content: bytes
    ) -> tuple[int, Mapping[bytes, bytes], bytes]:
        fixed = {
            b"host": self._host,
            b"content-length": str(len(content)).encode(),
            b"aeg-subscription-name": self._subscription.name.upper().encode(),
        }
        sent = [*fixed.items(), *headers.items()]
        async with (
            asyncio.timeout(ANSWER_WITHIN_S),
            self._server.request(method, self._target, sent, content) as answer,
        ):
            return answer.status, {name.lower(): value for name, value in answer.headers}, await answer.read()


def _batch(subscription: Subscription, deliveries: Sequence[Delivery]) -> tuple[bytes, bytes]:
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
