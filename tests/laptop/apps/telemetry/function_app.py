"""Event hubs, in batches and one by one."""

import json
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
SEEN: dict[str, list[object]] = {"many": [], "one": [], "stubborn": []}


@app.event_hub_message_trigger(
    arg_name="messages",
    event_hub_name="%HUB%",
    connection="Telemetry",
    consumer_group="many",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
def on_many(messages: typing.List[func.EventHubEvent]) -> None:  # noqa: UP006 - list[...] fails to load
    """Note a batch; a message `fails` makes the whole batch fail."""
    batch = messages if isinstance(messages, list) else [messages]
    SEEN["many"].append([_told(one) for one in batch])
    if any(one.get_body() == b"fails" for one in batch):
        raise ValueError("a batch that cannot be handled")


@app.event_hub_message_trigger(
    arg_name="message",
    event_hub_name="%HUB%",
    connection="Telemetry",
    consumer_group="one",
    cardinality=func.Cardinality.ONE,
)
def on_one(message: func.EventHubEvent) -> None:
    """Note one message."""
    SEEN["one"].append(_told(message))


@app.event_hub_message_trigger(
    arg_name="messages",
    event_hub_name="%HUB%",
    connection="Telemetry",
    consumer_group="stubborn",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:00")
def on_stubborn(messages: typing.List[func.EventHubEvent], context: func.Context) -> None:  # noqa: UP006 - as above
    """Fail three times on `fails`, then let it pass."""
    SEEN["stubborn"].append([context.retry_context.retry_count, [one.get_body().decode() for one in messages]])
    if any(one.get_body() == b"fails" for one in messages) and context.retry_context.retry_count < 3:
        raise ValueError("not yet")


@app.route(route="seen")
def seen(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - every HTTP function takes one
    """Tell what was noted so far."""
    return func.HttpResponse(json.dumps(SEEN))


def _told(message: func.EventHubEvent) -> list[object]:
    where = (message.metadata or {}).get("PartitionContext", {})
    return [
        message.get_body().decode(),
        message.sequence_number,
        message.offset,
        message.partition_key,
        message.enqueued_time.isoformat() if message.enqueued_time else None,
        dict(message.iothub_metadata or {}),
        where.get("PartitionId"),
    ]
