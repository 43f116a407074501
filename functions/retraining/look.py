"""A loop's backlog as the rows say it now."""

from dataclasses import dataclass
from datetime import datetime

from functions.jobs import JOBS
from functions.loops import Loop
from functions.ports import Row, Rows, Stored
from functions.retraining import ledger
from functions.retraining.choice import choose
from functions.retraining.decide import Backlog, Decision, HoldForBudget, Job, Wish
from functions.retraining.job import attempt_at
from functions.tracing import measured
from functions.wishes import Request, waiting

GENERATIONS, CURRENT, NOTE = "generations", "current", "decision"
OPEN, SEALED = "open", "sealed"
STARTED, RETRY = "started", "retry"  # what promotion/ writes over the first: the platform failed the job


@dataclass(frozen=True, slots=True)
class Look:
    """A loop's backlog, and the rows that must not have changed when they are replaced.

    Args:
        note: What was decided last; None before the first decision.
    """

    backlog: Backlog
    generation: Stored
    note: Stored | None


def look(rows: Rows, loop: Loop) -> Look:
    """Re-read the truth: generation, uploads, wishes, jobs."""
    kept = {stored.key: stored for stored in rows.find(GENERATIONS, loop.name)}
    generation = kept.get(CURRENT) or _first(rows, loop)
    pending = ledger.pending(rows, loop)
    taken, times = choose(pending, loop.retrain), [upload.at for upload in pending]
    arriving = [upload.at for upload in ledger.landed(rows, loop)]  # not looked into yet, and landing all the same
    jobs = list(rows.find(JOBS, loop.name))
    backlog = Backlog(
        generation=int(str(generation.row["number"])),
        sealed=generation.row["state"] == SEALED,
        files=len(taken),
        first_at=min(times, default=None),
        last_at=max(times + arriving, default=None) if times else None,
        size_bytes=sum(upload.size_bytes for upload in taken),
        rows=sum(upload.rows for upload in taken),
        left=len(pending) - len(taken),
        wishes=tuple(_wish(request) for request in waiting(rows, loop) if _stands(request, jobs)),
        jobs=tuple(sorted((_job(stored) for stored in jobs), key=lambda job: job.launched_at)),
        failed=_failed(jobs),
    )
    return Look(backlog, generation, kept.get(NOTE))


def measure(loop: Loop, backlog: Backlog, decision: Decision, now: datetime) -> None:
    """Tell whoever watches how long what landed has waited, and for what."""
    measured(
        loop.name,
        backlog_age=(now - backlog.first_at).total_seconds() if backlog.first_at else 0.0,
        backlog_files=backlog.files + backlog.left,
        jobs_open=sum(job.ended_at is None for job in backlog.jobs),
        budget_held=isinstance(decision, HoldForBudget),
    )


def _first(rows: Rows, loop: Loop) -> Stored:
    rows.insert(GENERATIONS, loop.name, CURRENT, row=opened(1))
    stored = rows.get(GENERATIONS, loop.name, CURRENT)
    assert stored is not None  # noqa: S101  # it was inserted above and is never deleted
    return stored


def opened(number: int) -> Row:
    """The row of a generation that collects uploads."""
    return {"number": number, "state": OPEN, "trigger": "", "reason": ""}


def _stands(request: Request, jobs: list[Stored]) -> bool:
    """Whether a wish is none that a later job answered: drift asks about a model that no job has tried to beat."""
    trained = max((int(str(found.row.get("champion") or 0)) for found in jobs), default=-1)
    return request.kind != "drift" or request.version > trained


def _wish(request: Request) -> Wish:
    return Wish(request.kind, request.reason, request.anyway, request.harm, request.at)


def _job(stored: Stored) -> Job:
    launched = datetime.fromisoformat(str(stored.row["launched_at"]))
    ended = stored.row.get("ended_at")
    if ended is None and stored.row["state"] != STARTED:
        return Job(launched, launched)  # ended before its end was written down
    return Job(launched, datetime.fromisoformat(str(ended)) if ended else None)


def _failed(jobs: list[Stored]) -> str:
    """The oldest job that is to be started once more, and was not yet."""
    known = {stored.key for stored in jobs}
    return next((one.key for one in jobs if one.row["state"] == RETRY and attempt_at(one.key, 2) not in known), "")
