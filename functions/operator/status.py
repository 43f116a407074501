"""The state of every loop in a few facts a person or a machine can read."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from functions.field import DEVICES
from functions.journal import Entry, chain, entries
from functions.loops import Loop, Ring
from functions.operator import episodes
from functions.operator.orders import pinned
from functions.ports import Row, Rows, Stored

OPEN_TRANSFERS = ("landed", "incomplete", "quarantined")
UNDERWAY = ("awaiting approval", "shadowing", "rolling", "paused", "rolling back")


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """Where one loop stands.

    Args:
        generation: Number and state of the generation that collects uploads.
        pending: Admitted uploads that no job has taken.
        taken: Uploads some job has taken.
        uploads: State -> how many, of all uploads.
        held: What keeps good uploads from training -> why: a transfer manifest, or a site.
        retraining: What the retraining timer decided last, why, and since when.
        jobs: Job name -> state: started, registered, reject, giveup, retry, rolled back.
        rollouts: Model version -> state: rolling, done, paused, superseded, awaiting approval, rolled back, …
        underway: Model version that has not arrived -> how far it is, since when, and what it waits for.
        images: Model version -> its image by digest, or how its build stands.
        pin: What an operator pinned, and why; "" for nothing.
        drift: Open episode -> how far it reaches, what moved, what was told and done.
        devices: Device/module -> what its newest window said, and how many of its messages did not come yet.
        last: The newest decisions, newest last.
    """

    loop: str
    generation: str
    pending: int
    taken: int
    uploads: Mapping[str, int]
    held: Mapping[str, str]
    retraining: str
    jobs: Mapping[str, str]
    rollouts: Mapping[str, str]
    underway: Mapping[str, str]
    images: Mapping[str, str]
    pin: str
    drift: Mapping[str, str]
    devices: Mapping[str, str]
    last: Sequence[str]


def status(rows: Rows, loops: Mapping[str, Loop]) -> list[LoopStatus]:
    """Read every loop's state."""
    return [_status(rows, name, loop.rollout.ring) for name, loop in loops.items()]


def why(rows: Rows, loops: Mapping[str, Loop], subject: str) -> list[Entry]:
    """The chain of decisions about a blob, generation, job, model, device or episode of drift, oldest first.

    A device's ends with what its newest window says, an episode's with that of each of its devices.
    """
    every = entries(rows, [*loops, "-"])
    if (loop := subject.rpartition("~")[0]) in loops:
        return _ordered(episodes.about_episode(rows, loop, subject, every))
    takers = [
        f"{name}#{stored.row['generation']!s}"
        for name in loops
        for stored in rows.find("uploads", name, blob=subject)
        if stored.row["generation"]
    ]
    now = [entry for loop in loops for entry in episodes.about_device(rows, loop, subject)]
    return _ordered([*(entry for start in (takers or [subject]) for entry in chain(every, start)), *now])


def _ordered(found: Iterable[Entry]) -> list[Entry]:
    """Each once, oldest first; what is now comes last."""
    return sorted({one.key: one for one in found}.values(), key=lambda one: (one.decision == episodes.NOW, one.at))


def readable(entry: Entry) -> dict[str, object]:
    """An entry as JSON."""
    return {**asdict(entry), "at": entry.at.isoformat()}


def _status(rows: Rows, loop: str, rings: Sequence[Ring]) -> LoopStatus:
    generation = rows.get("generations", loop, "current")
    found = list(rows.find("uploads", loop))
    uploads = Counter(_state(stored) for stored in found)
    note = rows.get("generations", loop, "decision")
    journal = entries(rows, [loop])
    rollouts = {str(int(stored.key)): stored.row for stored in rows.find("rollouts", loop)}
    return LoopStatus(
        loop=loop,
        generation=f"{generation.row['number']!s} {generation.row['state']!s}" if generation else "1 open",
        pending=uploads["admitted"],
        taken=uploads["taken"],
        uploads=dict(sorted(uploads.items())),
        held=_held(rows, loop, found),
        retraining=_noted(note) if note else "",
        jobs={stored.key: str(stored.row["state"]) for stored in rows.find("jobs", loop)},
        rollouts={version: str(row["state"]) for version, row in rollouts.items()},
        underway={v: _way(row, rings) for v, row in rollouts.items() if row["state"] in UNDERWAY and "since" in row},
        images={str(int(one.key)): _image(one) for one in rows.find("images", loop)},
        pin=pinned(rows, loop),
        drift=episodes.shown(rows, loop, journal),
        devices={one.key: _device(one) for one in rows.columns(DEVICES, loop, "reason", "missing")},
        last=[f"{entry.at:%H:%M:%S} {entry.subject}: {entry.decision}: {entry.brief}" for entry in journal[-5:]],
    )


def _way(row: Row, rings: Sequence[Ring]) -> str:
    """How far a version has come, as its row has it, and what keeps it there."""
    reached = int(str(row["ring"]))  # which the loop file may have lost; -1 is none
    where = f" in {rings[min(reached, len(rings) - 1)].name}" if reached >= 0 else ""
    since = datetime.fromisoformat(str(row["since"]))
    waits = str(row.get("reason", "")) or "not looked at yet"
    return f"{row['state']!s}{where} since {since:%d %B %H:%M:%S} UTC: {waits}"


def _device(stored: Stored) -> str:
    return f"{stored.row['reason']!s}{episodes.missing(stored.row)}"


def _held(rows: Rows, loop: str, uploads: Sequence[Stored]) -> Mapping[str, str]:
    transfers = [stored.row for stored in rows.find("transfers", loop) if stored.row["state"] in OPEN_TRANSFERS]
    sites = [stored.row for stored in uploads if stored.row.get("state") == "held"]
    return {
        **{str(row["blob"]): str(row["reason"]) or "not looked into yet" for row in transfers},
        **{str(row["site"]): str(row["reason"]) for row in sites},
    }


def _state(upload: Stored) -> str:
    """A generation that took an upload has the last word: a late verdict on it changes nothing any more."""
    return "taken" if upload.row["generation"] else str(upload.row.get("state", "landed"))


def _image(stored: Stored) -> str:
    row = stored.row
    return str(row["image"]) or f"{row['state']!s} {row['detail']!s}".strip()


def _noted(note: Stored) -> str:
    since = datetime.fromisoformat(str(note.row["at"]))
    return f"{note.row['decision']!s} since {since:%d %B %H:%M:%S} UTC: {note.row['reason']!s}"
