"""Look at a job's outcome; carry out a promotion decision. Every step may happen twice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from functions.errors import Poison
from functions.events import ModelRejected
from functions.jobs import JOBS, REGISTERED, champion, rewritten
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import JobOutcome, Row, Stored
from functions.promotion.aftermath import Stop, TryAgain
from functions.promotion.decide import Decision, GiveUp, Register, Reject, Wait
from functions.promotion.register import OUTPUTS, register, unusable
from functions.promotion.report import Report, read
from functions.wiring import Cloud

STARTED = "started"

type Verdict = Register | Reject | GiveUp | TryAgain | Stop

VERDICTS: Mapping[str, type[Verdict]] = {kind.__name__: kind for kind in (Register, Reject, GiveUp, TryAgain, Stop)}


@dataclass(frozen=True, slots=True)
class Look:
    """A started job as it stands now; of a completed one also the version that is to be beaten now ("" for none)."""

    job: Stored
    generation: str
    outcome: JobOutcome
    report: Report | None
    problem: str = ""
    champion: str = ""

    @property
    def rival(self) -> str:
        """Version that the job was given to beat; "" for none."""
        return str(self.job.row.get("champion", ""))

    @property
    def attempt(self) -> int:
        """1, or 2 for a job that was started once more."""
        return int(str(self.job.row.get("attempt", 1)))

    @property
    def launched(self) -> datetime:
        """When its row was written, aware."""
        return datetime.fromisoformat(str(self.job.row["launched_at"]))


def started(here: Cloud, loop: Loop) -> list[Stored]:
    """Jobs that were started and not judged yet."""
    return list(here.rows.find(JOBS, loop.name, state=STARTED))


def look(here: Cloud, loop: Loop, job: Stored) -> Look:
    """Ask the service, not the event; read the report of a job that completed."""
    generation = f"{loop.name}#{job.row['generation']!s}"
    outcome = here.trainer.outcome(job.key)
    if outcome.status != "completed":
        return Look(job, generation, outcome, None)
    data = here.blobs.read(OUTPUTS, f"{outcome.outputs['report']}/report.json")
    problem = unusable(here.blobs, outcome.outputs["model"])
    try:
        report = read(data) if data is not None and not problem else None
    except Poison as poison:
        return Look(job, generation, outcome, None, poison.why)
    return Look(job, generation, outcome, report, problem, champion(here.rows, loop) or "")


def perform(decision: Decision | TryAgain | Stop, here: Cloud, loop: Loop, *, seen: Look, now: datetime) -> None:
    """Register the model, or write down why not."""
    if not isinstance(decision, Wait):
        verdict, seen = _claim(decision, here, loop, seen)
        _carry_out(verdict, here, loop, seen=seen, now=now)


def _claim(decision: Verdict, here: Cloud, loop: Loop, seen: Look) -> tuple[Verdict, Look]:
    """Write the verdict into the job's row before anything follows from it: of two instances, or tries, one decides.

    What a later look would say may be another: once the job's own model is champion, it beats nobody.
    """
    row = seen.job.row
    noted = VERDICTS.get(str(row.get("verdict", "")))
    if noted is not None and (seen.report is not None or noted is not Register):
        return noted(str(row["because"])), seen
    noting: Row = {"verdict": type(decision).__name__, "because": decision.reason[:30_000]}
    return decision, replace(seen, job=rewritten(here.rows, loop, seen.job, noting))


def _carry_out(verdict: Verdict, here: Cloud, loop: Loop, *, seen: Look, now: datetime) -> None:
    match verdict:
        case Register(reason=reason):
            version = register(here, loop, seen.job, outcome=seen.outcome, report=seen.report, verdict=reason)
            links = (f"{loop.name}:{version}", seen.generation)
            record(here.rows, Entry(now, loop.name, "promotion", seen.job.key, "Register", reason, links))
            _close(here, loop, seen, state=REGISTERED, now=now)
        case TryAgain(reason=reason):
            entry = Entry(now, loop.name, "promotion", seen.job.key, "TryAgain", reason, (seen.generation,))
            record(here.rows, entry)
            _close(here, loop, seen, state="retry", now=now)
        case Stop(reason=reason):
            here.trainer.cancel(seen.job.key)
            _carry_out(GiveUp(reason), here, loop, seen=seen, now=now)
        case Reject(reason=reason) | GiveUp(reason=reason):
            why = f"{reason} ({seen.problem})" if seen.problem else reason
            event = ModelRejected(loop=loop.name, job=seen.job.key, reason=why)
            here.announcer.announce(event, subject=seen.job.key, id=f"{seen.job.key}-rejected")
            entry = Entry(now, loop.name, "promotion", seen.job.key, type(verdict).__name__, why, (seen.generation,))
            record(here.rows, entry)
            _close(here, loop, seen, state=type(verdict).__name__.casefold(), now=now)


def _close(here: Cloud, loop: Loop, seen: Look, *, state: str, now: datetime) -> None:
    """What the job came to, and until when it ran: its time is money."""
    here.rows.change(JOBS, loop.name, keys=[seen.job.key], values={"state": state, "ended_at": now})
