"""An event subscription, with the limits Azure puts on one."""

from dataclasses import dataclass, field

from laptop.event_grid.envelope import Published, Schema
from laptop.event_grid.filters import Filter


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to give up on an event: at whichever comes first.

    Args:
        attempts_max: Deliveries tried, 1-30.
        ttl_min: Minutes from publishing, 1-1440.

    Raises:
        ValueError: A value the service would refuse.
    """

    attempts_max: int = 30
    ttl_min: int = 1440

    def __post_init__(self) -> None:
        if not (1 <= self.attempts_max <= 30 and 1 <= self.ttl_min <= 1440):  # noqa: PLR2004 - the service's own limits, in the docstring
            raise ValueError("a retry policy takes 1-30 attempts and a time to live of 1-1440 minutes")


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants which events, and how they are delivered.

    Args:
        name: Unique within a relay, 3-64 letters, digits or dashes.
        source: ARM id of the topic: a resource that raises events, or the custom topic.
        endpoint: URL the events are posted to.
        filter: Which events.
        schema: The envelope the endpoint reads.
        events_per_batch_max: 1-5000; 1, Azure's default, delivers every event by itself.
        batch_kb: Preferred size of a batch in KiB, 1-1024; one larger event still travels alone.
        retry: When to give up.
        dead_letter: The container for events given up on; None drops them.

    Raises:
        ValueError: A value the service would refuse.
    """

    name: str
    source: str
    endpoint: str
    filter: Filter = field(default_factory=Filter)
    schema: Schema = "eventgrid"
    events_per_batch_max: int = 1
    batch_kb: int = 64
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    dead_letter: str | None = "deadletter"

    def __post_init__(self) -> None:
        if not 3 <= len(self.name) <= 64 or not self.name.replace("-", "").isalnum():  # noqa: PLR2004 - the service's own limits, in the docstring
            raise ValueError(f"event subscription name {self.name!r} must be 3-64 letters, digits or dashes")
        if not (1 <= self.events_per_batch_max <= 5000 and 1 <= self.batch_kb <= 1024):  # noqa: PLR2004 - likewise
            raise ValueError(f"event subscription {self.name} must take 1-5000 events and 1-1024 KiB a batch")

    def wants(self, event: Published) -> bool:
        """Whether an event is for this subscription."""
        return event.topic == self.source and self.filter.selects(event)
