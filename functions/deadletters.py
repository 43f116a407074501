"""What a function never took, or could not use: dead letters and quarantined events, and what became of each.

Event Grid writes an array of events into one blob, `<SUBSCRIPTION>/<year>/<month>/<day>/<hour>/<id>.json`, each as it
would have been delivered and with the reason why it was not. A blob is never changed: a row says what became of an
event in it, so that nothing is lost and nothing is forgotten.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from functions.deployed import SUBSCRIPTIONS
from functions.ports import Blobs, Row, Rows, Stored

DEADLETTER, QUARANTINE = "deadletter", "quarantine"
TELEMETRY = "score_drift_on_telemetry"  # takes batches of Event Hubs, which keeps what it has for some days by itself
RECORDED = "RECORDED"  # first folder of events that a person brought
TABLE = "replays"
WAITING, ORDERED, TAKING, REPLAYED, FAILED = "waiting", "ordered", "being taken", "replayed", "failed"
ADDED = {  # by Event Grid, in both spellings, to an event that it gives up on
    "deadletterreason", "deliveryattempts", "lastdeliveryoutcome", "publishtime", "lastdeliveryattempttime",
    "lasthttpstatuscode",
}  # fmt: skip
DETAIL_LIMIT = 1000

type Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """One event that waits to be taken.

    Args:
        container: deadletter or quarantine.
        blob: Where it lies.
        place: Its place in that blob, from 0.
        function: That did not take it; "" if nobody knows.
        reason: Why: Event Grid's deadLetterReason, or the quarantine's code.
        at: When it was given up on, aware; None if it does not say.
        event: As it would have been delivered; None if nobody knows. Of telemetry, `beside` what the hub said, and the
            `body` in base64.
        state: waiting, ordered, being taken, replayed or failed.
        detail: What came of it.
    """

    container: str
    blob: str
    place: int
    function: str
    reason: str
    at: datetime | None
    event: Event | None
    state: str = WAITING
    detail: str = ""

    @property
    def key(self) -> str:
        """Of its row."""
        return f"{self.blob}#{self.place}"

    @property
    def id(self) -> str:
        """The event's own id."""
        return str((self.event or {}).get("id", "?"))


def letters(rows: Rows, blobs: Blobs, container: str = DEADLETTER) -> Iterator[Letter]:
    """Every event of a container, the oldest blobs first as their names sort, and what became of it."""
    known = {stored.key: stored for stored in rows.find(TABLE, container)}
    for facts in blobs.list(container, ""):
        for letter in read(blobs, container, facts.name):
            yield _with_state(letter, known.get(letter.key))


def read(blobs: Blobs, container: str, blob: str) -> list[Letter]:
    """The events of one blob; none if it is gone, or no document of events."""
    try:
        document = json.loads(blobs.read(container, blob) or b"[]")
    except ValueError:
        return []
    if container == QUARANTINE:
        return [_set_aside(blob, document)] if isinstance(document, dict) else []
    events = document if isinstance(document, list) else [document]
    return [_given_up(blob, place, event) for place, event in enumerate(events) if isinstance(event, dict)]


def order(rows: Rows, chosen: Iterable[Letter], *, because: str, at: datetime) -> int:
    """Write down that these are to be taken once more; the app's next turn does it. How many were not ordered yet."""
    new = 0
    for letter in chosen:
        row: Row = {"state": ORDERED, "function": letter.function, "because": because, "at": at, "detail": ""}
        if rows.insert(TABLE, letter.container, letter.key, row=row):
            new += 1
        elif stored := rows.get(TABLE, letter.container, letter.key):
            new += stored.row["state"] != ORDERED and rows.replace(TABLE, letter.container, stored=stored, row=row)
    return new


def function_of(blob: str, event: Event) -> str:
    """The function that an event was for: its subscription is named after it; else the one that wakes on its type."""
    for part in blob.split("/"):
        name = part.lower().replace("-", "_")
        if name in SUBSCRIPTIONS:
            return name
    kind = event.get("type") or event.get("eventType")
    return next((function for function, types in SUBSCRIPTIONS.items() if kind in types), "")


def _given_up(blob: str, place: int, event: dict[str, Any]) -> Letter:
    added = {name.lower(): value for name, value in event.items() if name.lower() in ADDED}
    plain = {name: value for name, value in event.items() if name.lower() not in ADDED}
    at = _time(added.get("lastdeliveryattempttime") or added.get("publishtime") or plain.get("time"))
    reason = str(added.get("deadletterreason", "recorded"))
    return Letter(DEADLETTER, blob, place, function_of(blob, plain), reason, at, plain)


def _set_aside(blob: str, document: dict[str, Any]) -> Letter:
    function, code = (*blob.split("/"), "", "")[:2]
    text, at = str(document.get("original", "")), _time(document.get("at"))
    if function == TELEMETRY:
        return Letter(QUARANTINE, blob, 0, function, code, at, _telemetry(blob, document, text))
    try:
        original = json.loads(text)
    except ValueError:
        original = None
    is_event = isinstance(original, dict) and {"id", "source", "type", "data"} <= set(original)
    event = _cloud_event(original) if is_event and function in SUBSCRIPTIONS else None
    return Letter(QUARANTINE, blob, 0, function, code, at, event)


def _telemetry(blob: str, document: Mapping[str, Any], text: str) -> Event | None:
    """A device's message; None if it was set aside by an older version, which did not keep who sent it."""
    beside = document.get("beside")
    if not isinstance(beside, dict):
        return None
    body = str(document.get("base64") or base64.b64encode(text.encode()).decode())
    subject = "/".join(str(name) for key, name in sorted(beside.items()) if key.startswith("connection-"))
    return {"id": blob.rpartition("/")[2][:12], "subject": subject, "beside": beside, "body": body}


def _cloud_event(original: dict[str, Any]) -> Event:
    """What envelope.original kept of a message, with its time as the worker reads it."""
    at = _time(original.get("time"))
    return {"specversion": "1.0", **original, "time": at and f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}


def _with_state(letter: Letter, stored: Stored | None) -> Letter:
    if stored is None:
        return letter
    state, detail = str(stored.row["state"]), str(stored.row["detail"])
    return Letter(
        letter.container, letter.blob, letter.place, letter.function, letter.reason, letter.at, letter.event,
        state=state, detail=detail,
    )  # fmt: skip


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
