"""The poison rule: what can never be used is set aside with its reason and acknowledged; its neighbours go on."""

import base64
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256

import azure.functions as func

from functions import tracing
from functions.envelope import Message, around, original, traceparent
from functions.errors import Ignored, Poison
from functions.events import DataQuarantined
from functions.journal import Entry, record
from functions.wiring import Cloud

CONTAINER = "quarantine"
log = logging.getLogger("refluent.intake")
_watched: ContextVar[list[str] | None] = ContextVar("watched", default=None)


@contextmanager
def acknowledging(here: Cloud, entry: str, message: Message | func.EventHubEvent) -> Iterator[None]:
    """Acknowledge what the block cannot use: poison goes to quarantine, what is not ours is passed over.

    Args:
        here: The cloud of this invocation.
        entry: Name of the entry point, such as retrain_on_upload.
        message: The message as it came.
    """
    if isinstance(message, func.EventHubEvent):  # one of many: their batch is a step of a trace, not each of them
        with _poison_set_aside(here, entry, message):
            yield
    else:
        with tracing.following(traceparent(message), entry), _poison_set_aside(here, entry, message):
            yield


@contextmanager
def _poison_set_aside(here: Cloud, entry: str, message: Message | func.EventHubEvent) -> Iterator[None]:
    outcome = "failed"
    try:
        yield
    except Ignored as foreign:
        outcome = "ignored"
        log.info("%s ignored: %s (%s)", entry, foreign.what, foreign.why)
    except Poison as poison:
        set_aside(here, entry, original(message), poison=poison, beside=around(message))
        outcome = "quarantined"
    else:
        outcome = "used"
    finally:
        tracing.taken(entry, outcome)
        if (watched := _watched.get()) is not None:
            watched.append(outcome)


@contextmanager
def outcomes() -> Iterator[list[str]]:
    """What becomes of the messages that are handled in the block: used, ignored, quarantined or failed."""
    seen: list[str] = []
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


def set_aside(
    here: Cloud,
    entry: str,
    data: bytes,
    *,
    poison: Poison,
    about: str = "",
    loop: str = "-",
    beside: Mapping[str, str] | None = None,
) -> None:
    """Keep the original bytes with the reason; the name comes from the content, so that a redelivery adds nothing.

    Args:
        here: The cloud of this invocation.
        entry: Name of the entry point, such as retrain_on_upload.
        data: What came.
        poison: Why it can never be used.
        about: The blob it is about, by which `why` finds it.
        loop: Whose journal says it.
        beside: What came beside the bytes, without which they could not be taken once more.
    """
    at = here.now()
    digest = sha256(data).hexdigest()
    name = f"{entry}/{poison.code}/{digest}.json"
    body = {"code": poison.code, "what": poison.what, "why": poison.why, "fix": poison.fix, "at": at.isoformat()}
    text = data.decode("utf-8", "backslashreplace")
    exact = {} if text.encode() == data else {"base64": base64.b64encode(data).decode()}
    more = {"beside": dict(beside)} if beside else {}
    document = json.dumps({**body, **more, **exact, "original": text}, indent=1).encode()
    # That it is there already does not mean that whoever wrote it came to tell of it
    here.blobs.create(CONTAINER, name, document)
    reason = f"{poison.what}: {poison.why} ({poison.code})"
    subject, links = about or f"{entry}/{digest[:12]}", (f"quarantine/{name}",)
    record(here.rows, Entry(at, loop, "intake", subject, "Quarantine", reason, links))
    event = DataQuarantined(entry=entry, code=poison.code, reason=reason, stored_as=f"{CONTAINER}/{name}")
    here.announcer.announce(event, subject=entry, id=digest[:32])
    tracing.set_aside(entry, poison.code)
