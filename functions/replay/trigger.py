"""Orders in, the same functions again: what was given up on is taken as if it were delivered now."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice

import azure.functions as func
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

from functions.deadletters import (
    DEADLETTER,
    DETAIL_LIMIT,
    FAILED,
    ORDERED,
    QUARANTINE,
    REPLAYED,
    TABLE,
    TAKING,
    TELEMETRY,
    Event,
    Letter,
    read,
)
from functions.drift.trigger import score_drift_on_device_event, score_drift_on_telemetry
from functions.envelope import Message
from functions.errors import LoopError
from functions.journal import Entry, record
from functions.ports import Stored
from functions.promotion.trigger import judge_on_run_ended
from functions.quarantine import outcomes
from functions.retraining.trigger import (
    count_upload_on_blob_created,
    request_retraining_on_code_change,
    request_retraining_on_drift,
)
from functions.rollout.trigger import deploy_on_model_registered
from functions.wiring import Cloud, cloud

blueprint = func.Blueprint()
MOST = 200  # in one turn, far within the time that an invocation has
UNENDED = "the function did not come to an end; see its log"
HANDLERS: Mapping[str, Callable[[Message], None]] = {
    "count_upload_on_blob_created": count_upload_on_blob_created,
    "request_retraining_on_drift": request_retraining_on_drift,
    "request_retraining_on_code_change": request_retraining_on_code_change,
    "judge_on_run_ended": judge_on_run_ended,
    "deploy_on_model_registered": deploy_on_model_registered,
    "score_drift_on_device_event": score_drift_on_device_event,
}


@blueprint.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%")
def replay_on_timer(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Take what a person ordered to be taken once more, by this app's own rights; note what came of each."""
    here = cloud()
    for container in (DEADLETTER, QUARANTINE):
        for stored in list(here.rows.find(TABLE, container, state=TAKING)):
            _note(here, container, stored, FAILED, UNENDED)  # of a turn that died: there is one at a time
        for stored in islice(list(here.rows.find(TABLE, container, state=ORDERED)), MOST):
            _replay(here, container, stored)


def _replay(here: Cloud, container: str, stored: Stored) -> None:
    blob, _, place = stored.key.rpartition("#")
    letter = next((one for one in read(here.blobs, container, blob) if str(one.place) == place), None)
    # Written first: one that ends the process is not tried for ever, and keeps no neighbour waiting
    _note(here, container, stored, TAKING, "")
    outcome, detail = ("gone", "the blob is not there any more") if letter is None else _take(letter)
    tried = here.rows.get(TABLE, container, stored.key)
    assert tried is not None  # noqa: S101  # rows of replays are never deleted
    state = REPLAYED if outcome in ("used", "ignored") else FAILED
    _note(here, container, tried, state, f"{outcome}: {detail}" if detail else outcome)
    subject, reason = f"{stored.row['function']!s}/{letter.id if letter else '?'}", f"{outcome} {detail}".strip()
    because = f"{reason}; replayed because {stored.row['because']!s}"
    record(here.rows, Entry(here.now(), "-", "operator", subject, "Replay", because, (f"{container}/{blob}",)))


def _take(letter: Letter) -> tuple[str, str]:
    """What the function makes of it, and why."""
    try:
        deliver = _delivery(letter)
    except ValueError as problem:
        return "refused", f"the worker cannot read it: {problem}"
    if deliver is None:
        return "refused", "it is no event of a function of this app: what it came from has to be sent again"
    with outcomes() as seen:
        try:
            deliver()
        except LoopError as problem:
            return "failed", f"{problem.what}: {problem.why}"
    return (seen or ["used"])[-1], ""


def _delivery(letter: Letter) -> Callable[[], None] | None:
    """What hands the letter to its function; None if it is no event of one."""
    event, handler = letter.event, HANDLERS.get(letter.function)
    if event is not None and letter.function == TELEMETRY:
        telemetry = telemetry_of(event)
        return lambda: score_drift_on_telemetry([telemetry])
    if event is None or handler is None:
        return None
    message = message_of(event)
    return lambda: handler(message)


def telemetry_of(event: Event) -> func.EventHubEvent:
    """A device's message as the worker hands it to the function, from the same sender at the same time.

    Raises:
        ValueError: It is damaged.
    """
    beside = dict(event["beside"])
    came = beside.pop("enqueued", None)
    body = base64.b64decode(event["body"], validate=True)
    at = datetime.fromisoformat(came) if came else None
    return func.EventHubEvent(body=body, iothub_metadata=beside, enqueued_time=at)


def message_of(event: Event) -> Message:
    """An event as the worker hands it to a function."""
    found: Message = EventGridEventInConverter.decode(Datum(json.dumps(event), "json"), trigger_metadata=None)
    return found


def _note(here: Cloud, container: str, stored: Stored, state: str, detail: str) -> None:
    row = {**stored.row, "state": state, "detail": detail[:DETAIL_LIMIT], "at": here.now()}
    here.rows.replace(TABLE, container, stored=stored, row=row)
