"""Look at a job's outcome; carry out a promotion decision. Every step may happen twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from functions.errors import Poison, Transient
from functions.events import ModelRejected
from functions.journal import Entry, record
from functions.loops import Loop
from functions.model_folder import CONTAINER, FILES, LISTING, SIGNATURE, listing, profile_hash, signature
from functions.ports import Blobs, JobOutcome, ModelVersion, Signer, Stored
from functions.promotion.aftermath import Stop, TryAgain
from functions.promotion.decide import Decision, GiveUp, Register, Reject, Wait
from functions.promotion.report import Report, read
from functions.wiring import Cloud

JOBS, STARTED = "jobs", "started"
OUTPUTS = "azureml"  # the container that jobs write to


@dataclass(frozen=True, slots=True)
class Look:
    """A started job as it stands now."""

    job: Stored
    generation: str
    outcome: JobOutcome
    report: Report | None
    problem: str = ""

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
    problem = _unusable(here.blobs, outcome.outputs["model"])
    try:
        report = read(data) if data is not None and not problem else None
    except Poison as poison:
        return Look(job, generation, outcome, None, poison.why)
    return Look(job, generation, outcome, report, problem)


def perform(decision: Decision | TryAgain | Stop, here: Cloud, loop: Loop, *, seen: Look, now: datetime) -> None:
    """Register the model, or write down why not."""
    match decision:
        case Register(reason=reason):
            version = _register(here, loop, seen)
            links = (f"{loop.name}:{version}", seen.generation)
            record(here.rows, Entry(now, loop.name, "promotion", seen.job.key, "Register", reason, links))
            _close(here, loop, seen, state="registered", now=now)
        case TryAgain(reason=reason):
            entry = Entry(now, loop.name, "promotion", seen.job.key, "TryAgain", reason, (seen.generation,))
            record(here.rows, entry)
            _close(here, loop, seen, state="retry", now=now)
        case Stop(reason=reason):
            here.trainer.cancel(seen.job.key)
            perform(GiveUp(reason), here, loop, seen=seen, now=now)
        case Reject(reason=reason) | GiveUp(reason=reason):
            why = f"{reason} ({seen.problem})" if seen.problem else reason
            event = ModelRejected(loop=loop.name, job=seen.job.key, reason=why)
            here.announcer.announce(event, subject=seen.job.key, id=f"{seen.job.key}-rejected")
            entry = Entry(now, loop.name, "promotion", seen.job.key, type(decision).__name__, why, (seen.generation,))
            record(here.rows, entry)
            _close(here, loop, seen, state=type(decision).__name__.casefold(), now=now)
        case Wait():
            pass


def _register(here: Cloud, loop: Loop, seen: Look) -> str:
    """Store the model's files where devices fetch them, then register them with their lineage in one request."""
    existing = here.registry.versions(loop.name)
    ours = [found.version for found in existing if found.lineage.get("job") == seen.job.key]
    version = ours[0] if ours else str(max((int(found.version) for found in existing), default=0) + 1)
    files = _files(here.blobs, seen.outcome.outputs["model"])
    contents = _signed(here.signer, loop, version, files=files)
    while not _store(here.blobs, contents, folder := f"{loop.name}/{version}"):
        version = str(int(version) + 1)  # another job left its files there and never came to register them
        contents = _signed(here.signer, loop, version, files=files)
    lineage = {
        "job": seen.job.key,
        "loop": loop.name,
        "generation": str(seen.job.row["generation"]),
        "pipeline": loop.retrain.pipeline,
        "sha256": sha256(contents[LISTING]).hexdigest(),
        "model_sha256": sha256(contents["model.onnx"]).hexdigest(),
        "profile": profile_hash(contents["profile.json"]),
        "log_loss": f"{seen.report.challenger.log_loss:.6f}" if seen.report else "",
    }
    # Written down first, so that the registration's event finds a job that says it made this version
    here.rows.change(JOBS, loop.name, keys=[seen.job.key], values={"version": version})
    if not here.registry.register(ModelVersion(loop.name, version, folder, lineage)):
        why = "somebody registered that version in the meantime"
        raise Transient(f"{loop.name}:{version} is taken", why=why, fix="the next try takes the next number")
    return version


def _files(blobs: Blobs, source: str) -> Mapping[str, bytes]:
    """A job's model files."""
    contents = {}
    for name in FILES:
        data = blobs.read(OUTPUTS, f"{source}/{name}")
        if data is None:
            raise Transient(f"{source}/{name} is not there", why="the job completed", fix="wait for the next try")
        contents[name] = data
    return contents


def _signed(signer: Signer, loop: Loop, version: str, *, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Model files, and last the list of their digests that devices check them against, signed if there is a key."""
    listed = listing(loop.name, version, files)
    signed = signer.sign(listed)
    return {**files, LISTING: listed} | ({SIGNATURE: signature(signed)} if signed else {})


def _store(blobs: Blobs, contents: Mapping[str, bytes], folder: str) -> bool:
    """Write files where devices fetch them; False if other files stand there."""
    return all(
        blobs.create(CONTAINER, f"{folder}/{name}", data) or blobs.read(CONTAINER, f"{folder}/{name}") == data
        for name, data in contents.items()
    )


def _unusable(blobs: Blobs, folder: str) -> str:
    """What is wrong with the model folder a job wrote; "" if nothing is."""
    missing = [name for name in FILES if blobs.facts(OUTPUTS, f"{folder}/{name}") is None]
    if missing:
        return f"its model folder lacks {', '.join(missing)}"
    try:
        profile_hash(blobs.read(OUTPUTS, f"{folder}/profile.json") or b"")
    except ValueError as problem:
        return f"profile.json: {problem}"
    return ""


def _close(here: Cloud, loop: Loop, seen: Look, *, state: str, now: datetime) -> None:
    """What the job came to, and until when it ran: its time is money."""
    here.rows.change(JOBS, loop.name, keys=[seen.job.key], values={"state": state, "ended_at": now})
