"""Azure Event Grid (azure-eventgrid): what the loop announces."""

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from functions.errors import Refused, Transient
from functions.events import Event

SOURCE = "/refluent"
TYPE_PREFIX = "Refluent."


class TopicAnnouncer:
    """Announcer backed by a custom Event Grid topic that takes CloudEvents.

    Args:
        endpoint: The topic's endpoint URL.
        credential: Identity with EventGrid Data Sender.
    """

    def __init__(self, endpoint: str, credential: TokenCredential) -> None:
        # The SDK's own patience of minutes would eat the 30 s in which Event Grid wants its answer
        self._client = EventGridPublisherClient(endpoint, credential, retry_total=4, retry_backoff_max=3)

    def announce(self, event: Event, *, subject: str, id: str) -> None:  # noqa: A002  # CloudEvents' own name
        """Publish as a CloudEvent whose type is the class name."""
        message = CloudEvent(
            id=id,
            source=SOURCE,
            type=f"{TYPE_PREFIX}{type(event).__name__}",
            subject=subject,
            data=event.model_dump(mode="json"),
        )
        try:
            self._client.send(message)
        except AzureError as problem:
            raise _translated(problem, message.type) from problem


def _translated(problem: AzureError, what: str) -> Transient | Refused:
    if isinstance(problem, HttpResponseError) and problem.status_code in (401, 403):
        return Refused(
            f"{what}: Event Grid rejected our identity",
            why=str(problem.message),
            fix="give the app's identity EventGrid Data Sender on the topic",
        )
    return Transient(
        f"{what}: Event Grid did not take it",
        why=str(problem.message),
        fix="wait for the redelivery; check EVENT_TOPIC_ENDPOINT if it persists",
    )
