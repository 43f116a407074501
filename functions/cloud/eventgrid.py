"""Azure Event Grid (azure-eventgrid): what the loop announces."""

from azure.core.credentials import TokenCredential
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from functions.cloud.refusals import Service
from functions.events import Event
from functions.tracing import carried

SOURCE = "/refluent"
TYPE_PREFIX = "Refluent."
TOPIC = Service(
    name="Event Grid",
    role="EventGrid Data Sender on the topic",
    failing="did not take it",
    patience="wait for the redelivery; check EVENT_TOPIC_ENDPOINT if it persists",
)


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
            extensions=dict(carried()),
        )
        with TOPIC.asked(message.type):
            self._client.send(message)
