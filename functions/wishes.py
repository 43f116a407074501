"""Wishes for a job besides new data: written down by events and by people, answered by the retraining timer."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from functions.events import DriftDetected, TrainingCodeChanged
from functions.loops import Loop
from functions.ports import Row, Rows, Stored

TABLE = "requests"
WAITING, ANSWERED = 0, 1

type Kind = Literal["drift", "code", "operator"]


@dataclass(frozen=True, slots=True)
class Request:
    """One wish.

    Args:
        version: Model version that drift was found on; 0 for other kinds.
        anyway: Whether a person ordered it over budget and in hours set aside.
    """

    key: str
    kind: Kind
    reason: str
    version: int = 0
    anyway: bool = False


def of_episode(rows: Rows, loop: str, episode: str) -> Stored | None:
    """The wish of an episode of drift, if it has one."""
    return rows.get(TABLE, loop, _named(episode))


def episodes(rows: Rows, loop: Loop, keys: Iterable[str]) -> tuple[str, ...]:
    """The episodes of drift among some wishes."""
    found = (rows.get(TABLE, loop.name, key) for key in keys)
    return tuple(sorted({str(one.row["episode"]) for one in found if one and one.row.get("episode")}))


def ask_for_drift(rows: Rows, loop: Loop, drift: DriftDetected) -> bool:
    """Write down that drift wants a job; False for a wish that stands already: one for an episode.

    An event of an earlier release names no episode: then it is one for a device and model version.
    """
    reason = f"{drift.explanation}" if drift.episode else f"{drift.device}: {drift.explanation}"
    row: Row = {"device": drift.device, "version": int(drift.version), "reason": reason, "episode": drift.episode}
    return _ask(rows, loop, "drift", row, key=drift.episode or f"{drift.device}\n{drift.version}")


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


def _request(stored: Stored) -> Request:
    row = stored.row
    kind: Kind = "operator" if row.get("kind") == "operator" else "code" if row.get("kind") == "code" else "drift"
    version, anyway = int(str(row.get("version", 0))), row.get("anyway") is True
    return Request(stored.key, kind, str(row["reason"]), version, anyway)
