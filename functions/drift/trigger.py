"""Device telemetry in, episodes of drift out."""

import logging
import typing

import azure.functions as func

from functions import tracing
from functions.envelope import arrived, read_device_event
from functions.loops import each
from functions.quarantine import acknowledging
from functions.wiring import cloud

blueprint = func.Blueprint()
log = logging.getLogger("refluent.drift")


@blueprint.event_hub_message_trigger(
    arg_name="messages",
    event_hub_name="%TELEMETRY_EVENT_HUB%",
    connection="Telemetry",
    consumer_group="%TELEMETRY_CONSUMER_GROUP%",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
@blueprint.retry(
    strategy="exponential_backoff", max_retry_count="-1", minimum_interval="00:00:01", maximum_interval="00:01:00"
)
def score_drift_on_telemetry(messages: typing.List[func.EventHubEvent]) -> None:  # noqa: UP006  # list[...] fails to load
    """Count a batch of messages, each once; whatever is wrong with one, its neighbours are counted."""
    from functions.drift.judge import judge_alarmed  # noqa: PLC0415 - numpy: a tenth of the start, for telemetry alone
    from functions.drift.perform import count_all, take  # noqa: PLC0415 - likewise
    from functions.drift.profiles import Profiles  # noqa: PLC0415 - likewise
    from functions.drift.runs import Batch  # noqa: PLC0415 - likewise

    here, batch = cloud(), Batch()
    profiles = Profiles(here)
    alike = 0
    for message in messages:
        came = arrived(message)
        if batch.again(came):
            alike += 1
        else:
            with acknowledging(here, "score_drift_on_telemetry", message):
                take(came, profiles, batch)
    tracing.taken("score_drift_on_telemetry", "used", alike)
    books = count_all(here, batch, here.now())
    log.info("of %s messages: %s", len(messages), dict(books.tally))
    judge_alarmed(here, books.alarmed, here.now())


@blueprint.event_grid_trigger(arg_name="message")
def score_drift_on_device_event(message: func.EventGridEvent) -> None:
    """Count one message that came by Event Grid: the same as above in another envelope."""
    from functions.drift.judge import judge_alarmed  # noqa: PLC0415 - see above
    from functions.drift.perform import count_all, take  # noqa: PLC0415 - see above
    from functions.drift.profiles import Profiles  # noqa: PLC0415 - see above
    from functions.drift.runs import Batch  # noqa: PLC0415 - see above

    here, batch = cloud(), Batch()
    with acknowledging(here, "score_drift_on_device_event", message):
        take(read_device_event(message, here.settings), Profiles(here), batch)
        books = count_all(here, batch, here.now())
        judge_alarmed(here, books.alarmed, here.now())


@blueprint.timer_trigger(arg_name="timer", schedule="%LOOP_SCHEDULE%")
def judge_drift_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Re-read what every device of every loop shows; open, widen, tell and end episodes of drift."""
    from functions.drift.judge import judge  # noqa: PLC0415 - see above

    here = cloud()
    now = here.now()
    each(here.settings.loops, lambda loop: judge(here, loop, now))
