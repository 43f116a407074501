"""Wishes for a job besides new data: written down by events and by people, answered by the retraining timer."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from functions.errors import Transient
from functions.events import DriftDetected, Harm, TrainingCodeChanged
from functions.loops import Loop
from functions.ports import Row, Rows, Stored

TABLE = "requests"
WAITING, ANSWERED = 0, 1
TRIES = 5  # of a compare-and-swap; words about one device's drift seldom come at once

type Kind = Literal["drift", "code", "operator"]


@dataclass(frozen=True, slots=True)
class Request:
    """One wish.

    Args:
        version: Model version that drift was found on; 0 for other kinds.
        anyway: Whether a person ordered it over budget and in hours set aside.
        harm: What is known of the harm that drift does.
        at: When drift was found; None for other kinds.
    """

    key: str
    kind: Kind
    reason: str
    version: int = 0
    anyway: bool = False
    harm: Harm = "unknown"
    at: datetime | None = None


def of_episode(rows: Rows, loop: str, episode: str) -> Stored | None:
    """The wish of an episode of drift, if it has one."""
    return rows.get(TABLE, loop, _named(episode))


def episodes(rows: Rows, loop: Loop, keys: Iterable[str]) -> tuple[str, ...]:
    """The episodes of drift among some wishes."""
    found = (rows.get(TABLE, loop.name, key) for key in keys)
    return tuple(sorted({str(one.row["episode"]) for one in found if one and one.row.get("episode")}))


def ask_for_drift(rows: Rows, loop: Loop, drift: DriftDetected) -> bool:
    """Write down that drift wants a job, and what harm it does by the newest word of it.

    One wish for an episode; False if that word is known already. An event of an earlier release names no episode: then
    it is one for a device and model version.

    Raises:
        Transient: Others kept changing the same wish.
    """
    key = drift.episode or f"{drift.device}\n{drift.version}"
    known = f"; {drift.harm}: {drift.harm_reason}" if drift.harm_reason else ""
    reason = f"{drift.explanation if drift.episode else f'{drift.device}: {drift.explanation}'}{known}"
    word: Row = {"reason": reason[:10_000], "harm": drift.harm, "told_at": drift.at}
    row: Row = {"device": drift.device, "version": int(drift.version), "episode": drift.episode, "at": drift.at}
    for _ in range(TRIES):
        if _ask(rows, loop, "drift", {**row, **word}, key=key):
            return True
        stored = rows.get(TABLE, loop.name, _named(key))
        if stored is None or not _is_news(stored, drift):
            return False
        if rows.replace(TABLE, loop.name, stored=stored, row={**stored.row, **word}):
            return True
    why, fix = "it kept changing meanwhile", "wait for the redelivery"
    raise Transient(f"the wish of {drift.device} could not be written", why=why, fix=fix)


def ask_for_code(rows: Rows, loop: Loop, changed: TrainingCodeChanged, *, at: datetime) -> bool:
    """Write down that training code has a new version; False for one that was announced before.

    To go back to an older version, name it in the loop file: an announcement counts once.
    """
    component = f"{loop.retrain.pipeline.partition(':')[0]}:{changed.version}"
    why = f": {changed.reason}" if changed.reason else ""
    reason = f"training code is {component}{why}"
    row: Row = {"component": component, "over": loop.retrain.pipeline, "at": at, "reason": reason}
    return _ask(rows, loop, "code", row, key=f"code\n{component}")


def order(rows: Rows, loop: Loop, because: str, *, anyway: bool) -> bool:
    """Write down a person's order; False if the same one is waiting already."""
    current = rows.get("generations", loop.name, "current")
    generation = int(str(current.row["number"])) if current else 1
    row: Row = {"reason": f"ordered because {because}", "anyway": anyway}
    return _ask(rows, loop, "operator", row, key=f"operator\n{generation}\n{because}\n{anyway}")


def waiting(rows: Rows, loop: Loop) -> list[Request]:
    """Wishes that no job has answered yet."""
    return [_request(stored) for stored in rows.find(TABLE, loop.name, state=WAITING)]


def answer(rows: Rows, loop: Loop, keys: Iterable[str]) -> None:
    """Mark wishes as answered."""
    rows.change(TABLE, loop.name, keys=keys, values={"state": ANSWERED})


def pipeline(rows: Rows, loop: Loop) -> str:
    """The component to train with: the newest that was announced while the loop file said what it says now."""
    announced = rows.find(TABLE, loop.name, kind="code", over=loop.retrain.pipeline)
    newest = max(announced, key=lambda stored: str(stored.row["at"]), default=None)
    return str(newest.row["component"]) if newest else loop.retrain.pipeline


def _ask(rows: Rows, loop: Loop, kind: Kind, row: Row, *, key: str) -> bool:
    return rows.insert(TABLE, loop.name, _named(key), row={**row, "kind": kind, "state": WAITING})


def _named(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]


def _is_news(stored: Stored, drift: DriftDetected) -> bool:
    told = stored.row.get("told_at")
    return stored.row.get("harm") != drift.harm and (told is None or datetime.fromisoformat(str(told)) < drift.at)


def _request(stored: Stored) -> Request:
    row = stored.row
    kind: Kind = "operator" if row.get("kind") == "operator" else "code" if row.get("kind") == "code" else "drift"
    version, anyway = int(str(row.get("version", 0))), row.get("anyway") is True
    harm: Harm = (
        "harmful" if row.get("harm") == "harmful" else "harmless" if row.get("harm") == "harmless" else "unknown"
    )
    at = datetime.fromisoformat(str(row["at"])) if kind == "drift" and "at" in row else None
    return Request(stored.key, kind, str(row["reason"]), version, anyway, harm, at)
