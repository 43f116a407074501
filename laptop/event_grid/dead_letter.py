"""Events given up on, written to a blob container the way Event Grid writes them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import msgspec

from laptop.event_grid.backlog import Delivery
from laptop.event_grid.envelope import timestamp
from laptop.event_grid.outcome import Outcome
from laptop.event_grid.subscription import Subscription
from laptop.identity import Identity
from laptop.stack import Stack

_AUDIENCE = "https://storage.azure.com"
_API_VERSION = "2021-12-02"


class DeadLetters:
    """Writes dead letters to the stack's storage account, through its public blob endpoint.

    Args:
        stack: Whose account.
        identity: Whose token opens it.
        client: Trusts the stack's authority.
    """

    def __init__(self, stack: Stack, identity: Identity, client: httpx.AsyncClient) -> None:
        self._stack, self._identity, self._client = stack, identity, client

    async def write(
        self, subscription: Subscription, deliveries: Sequence[Delivery], *, reason: str, outcome: Outcome
    ) -> None:
        """Write one blob with all the events: a JSON array, like Event Grid's.

        The container is made when it is missing, where Azure would drop the events.

        Raises:
            httpx.HTTPError: Storage refused, or did not answer.
        """
        now = datetime.now(UTC)
        folder = f"{now.year}/{now.month}/{now.day}/{now.hour}"  # not padded, like the service's
        container = f"{self._stack.blob_url}/{subscription.dead_letter}"
        url = f"{container}/{subscription.name.upper()}/{folder}/{uuid4()}.json"
        body = msgspec.json.encode([record(subscription, one, reason=reason, outcome=outcome) for one in deliveries])
        answer = await self._put(url, body, {"x-ms-blob-type": "BlockBlob", "content-type": "application/json"})
        if answer.status_code == httpx.codes.NOT_FOUND:
            await self._put(f"{container}?restype=container", b"", {})
            answer = await self._put(url, body, {"x-ms-blob-type": "BlockBlob", "content-type": "application/json"})
        answer.raise_for_status()

    async def _put(self, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        token = self._identity.token(_AUDIENCE)
        fixed = {"authorization": f"Bearer {token}", "x-ms-version": _API_VERSION}
        return await self._client.put(url, content=body, headers=fixed | headers)


def record(subscription: Subscription, delivery: Delivery, *, reason: str, outcome: Outcome) -> dict[str, object]:
    """One dead letter: the event as it would have been delivered, and why it was not.

    CloudEvents have the added names in lower case, because attribute names there must be.

    Source: the examples of "Event Grid message delivery and retry" in Microsoft's documentation.
    """
    added: dict[str, object] = {
        "deadLetterReason": reason,
        "deliveryAttempts": delivery.attempts,
        "lastDeliveryOutcome": outcome.name,
        "publishTime": timestamp(datetime.fromtimestamp(delivery.published_at, UTC)),
        "lastDeliveryAttemptTime": timestamp(datetime.fromtimestamp(delivery.last_attempt_at, UTC)),
    }
    if outcome.status is not None:
        added["lastHttpStatusCode"] = outcome.status
    if subscription.schema == "cloud":
        added = {name.lower(): value for name, value in added.items()}
    event: dict[str, object] = msgspec.json.decode(delivery.body)
    return event | added
