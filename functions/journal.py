"""Every decision with its reason: what `why`, `watch` and `status` read."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from functions import tracing
from functions.ports import Row, Rows, Stored

TABLE = "journal"


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision.

    Args:
        at: When it was taken, aware.
        loop: The loop it belongs to; "-" for none.
        slice: retraining, promotion, rollout, drift or intake.
        subject: What was decided about: a blob, "loop#generation", a job, "model:version", a device, "loop~episode".
        decision: The order given, such as Launch or Hold.
        reason: Why, in words a person understands.
        links: Other subjects the decision ties to its own; `why` follows them.
    """

    at: datetime
    loop: str
    slice: str
    subject: str
    decision: str
    reason: str
    links: tuple[str, ...] = ()

    @property
    def brief(self) -> str:
        """The reason on one line: of a log's tail, how it begins and how it ends."""
        first, *rest = self.reason.splitlines() or [""]
        return f"{first[:120]} … {rest[-1][-200:]}" if rest else first

    @property
    def key(self) -> str:
        """Derived from the content, so that a decision repeated by a redelivery is one entry."""
        content = f"{self.loop}\n{self.slice}\n{self.subject}\n{self.decision}\n{self.reason}"
        return sha256(content.encode()).hexdigest()[:24]


def record(rows: Rows, entry: Entry) -> bool:
    """Write a decision down; False if the same one stands there already."""
    row: Row = {
        "at": entry.at,
        "slice": entry.slice,
        "subject": entry.subject,
        "decision": entry.decision,
        "reason": entry.reason[:30_000],
        "links": json.dumps(entry.links),
    }
    news = rows.insert(TABLE, entry.loop, entry.key, row=row)
    if news:
        tracing.decided(
            loop=entry.loop, slice=entry.slice, decision=entry.decision, subject=entry.subject, reason=entry.brief
        )
    return news


def entries(rows: Rows, loops: Iterable[str]) -> list[Entry]:
    """Every decision about these loops, oldest first."""
    found = [_entry(loop, stored) for loop in loops for stored in rows.find(TABLE, loop)]
    return sorted(found, key=lambda entry: (entry.at, entry.slice, entry.subject))


def chain(every: Iterable[Entry], subject: str) -> list[Entry]:
    """The decisions that lead to a subject and away from it, oldest first.

    Links are followed both ways between blobs, generations, jobs, models, deployments and episodes of drift. A device
    is shown with what was decided about it and about the models that reached it, but is no bridge from model to model.
    """
    every = list(every)
    told: dict[str, Entry] = {}
    known, frontier = {subject}, {subject}
    while frontier:
        touched = [entry for entry in every if frontier & {entry.subject, *entry.links}]
        told |= {entry.key: entry for entry in touched}
        named = {name for entry in touched for name in (entry.subject, *entry.links)} - known
        known |= named
        frontier = {name for name in named if any(mark in name for mark in "#:~") or name.startswith("rt-")}
    return sorted(told.values(), key=lambda entry: entry.at)


def _entry(loop: str, stored: Stored) -> Entry:
    row = stored.row
    return Entry(
        at=datetime.fromisoformat(str(row["at"])),
        loop=loop,
        slice=str(row["slice"]),
        subject=str(row["subject"]),
        decision=str(row["decision"]),
        reason=str(row["reason"]),
        links=tuple(json.loads(str(row["links"]))),
    )
