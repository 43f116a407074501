"""Look at a loop's backlog; carry out a retraining decision. Every step may happen twice."""

from dataclasses import dataclass
from datetime import datetime

from functions.events import TrainingLaunched
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Row, Rows, Stored
from functions.retraining import job, ledger
from functions.retraining.decide import Backlog, Decision, HoldForBudget, Launch, Resume, Wait
from functions.wiring import Cloud

GENERATIONS, CURRENT, JOBS = "generations", "current", "jobs"
OPEN, SEALED = "open", "sealed"


@dataclass(frozen=True, slots=True)
class Look:
    """A loop's backlog, and the row that must not have changed when it is sealed."""

    backlog: Backlog
    generation: Stored


def look(rows: Rows, loop: Loop) -> Look:
    """Re-read the truth: generation, uploads, requests, jobs."""
    generation = _generation(rows, loop)
    uploads = ledger.pending(rows, loop)
    times = [upload.at for upload in uploads]
    jobs = list(rows.find(JOBS, loop.name))
    launches = sorted(datetime.fromisoformat(str(found.row["launched_at"])) for found in jobs)
    trained = max((int(str(found.row["champion"] or 0)) for found in jobs), default=-1)
    waiting = [wish for wish in ledger.requests(rows, loop) if wish.version > trained]
    backlog = Backlog(
        generation=int(str(generation.row["number"])),
        sealed=generation.row["state"] == SEALED,
        files=len(uploads),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        drift=tuple(wish.reason for wish in waiting),
        launches=tuple(launches),
    )
    return Look(backlog, generation)


def _generation(rows: Rows, loop: Loop) -> Stored:
    stored = rows.get(GENERATIONS, loop.name, CURRENT)
    if stored is None:  # a loop's very first look
        rows.insert(GENERATIONS, loop.name, CURRENT, row={"number": 1, "state": OPEN, "trigger": "", "reason": ""})
        stored = rows.get(GENERATIONS, loop.name, CURRENT)
    assert stored is not None  # noqa: S101  # it was inserted above and is never deleted
    return stored


def perform(decision: Decision, here: Cloud, loop: Loop, *, seen: Look, now: datetime) -> None:
    """Seal and launch, finish a launch, or write down why not."""
    match decision:
        case Launch(trigger=trigger, reason=reason):
            row: Row = {**seen.generation.row, "state": SEALED, "trigger": trigger, "reason": reason}
            if here.rows.replace(GENERATIONS, loop.name, stored=seen.generation, row=row):
                _finish(here, loop, now)
        case Resume():
            _finish(here, loop, now)
        case Wait(reason=reason) | HoldForBudget(reason=reason):
            subject = f"{loop.name}#{seen.backlog.generation}"
            record(here.rows, Entry(now, loop.name, "retraining", subject, type(decision).__name__, reason))


def _finish(here: Cloud, loop: Loop, now: datetime) -> None:
    """Manifest, job, rows, next generation: in this order, so that a crash anywhere is resumed, never repeated."""
    sealed = here.rows.get(GENERATIONS, loop.name, CURRENT)
    if sealed is None or sealed.row["state"] != SEALED:
        return
    number, trigger, reason = int(str(sealed.row["number"])), sealed.row["trigger"], str(sealed.row["reason"])
    wanted = job.Manifest(
        generation=number,
        trigger="drift" if trigger == "drift" else "data",
        reason=reason,
        blobs=job.entries(ledger.pending(here.rows, loop)),
        requests=tuple(wish.key for wish in ledger.requests(here.rows, loop)),
    )
    manifest = job.write_manifest(here.blobs, loop, wanted)
    champion = _champion(here.rows, loop)
    order = job.order(here.blobs, loop, manifest, champion=champion)
    here.trainer.start(order)
    launched: Row = {"generation": number, "state": "started", "launched_at": now, "champion": champion or ""}
    here.rows.insert(JOBS, loop.name, order.name, row=launched)
    ledger.take(here.rows, loop, [str(blob["key"]) for blob in manifest.blobs], generation=number)
    ledger.answer(here.rows, loop, manifest.requests)
    event = TrainingLaunched(
        loop=loop.name,
        generation=number,
        job=order.name,
        trigger=manifest.trigger,
        files=len(manifest.blobs),
        reason=manifest.reason,
    )
    here.announcer.announce(event, subject=order.name, id=order.name)
    subject = f"{loop.name}#{number}"
    record(here.rows, Entry(now, loop.name, "retraining", subject, "Launch", manifest.reason, (order.name,)))
    fresh: Row = {"number": number + 1, "state": OPEN, "trigger": "", "reason": ""}
    here.rows.replace(GENERATIONS, loop.name, stored=sealed, row=fresh)


def _champion(rows: Rows, loop: Loop) -> str | None:
    registered = [int(str(found.row["version"])) for found in rows.find(JOBS, loop.name, state="registered")]
    return str(max(registered)) if registered else None
