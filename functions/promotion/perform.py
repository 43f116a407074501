"""Look at a job's outcome; carry out a promotion decision. Every step may happen twice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from functions.errors import Poison, Transient
from functions.events import ModelRejected
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Blobs, JobOutcome, ModelVersion, Stored
from functions.promotion.decide import Decision, GiveUp, Register, Reject, Wait
from functions.promotion.report import Report, read
from functions.wiring import Cloud
from sketch.profile import Profile

JOBS, STARTED = "jobs", "started"
OUTPUTS, MODELS = "azureml", "models"  # containers: what jobs wrote, what devices fetch
FILES = ("model.onnx", "signature.json", "profile.json", "samples.json")


@dataclass(frozen=True, slots=True)
class Look:
    """A started job as it stands now."""

    job: Stored
    generation: str
    outcome: JobOutcome
    report: Report | None
    problem: str = ""


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


def perform(decision: Decision, here: Cloud, loop: Loop, *, seen: Look, now: datetime) -> None:
    """Register the model, or write down why not."""
    match decision:
        case Register(reason=reason):
            version = _register(here, loop, seen)
            links = (f"{loop.name}:{version}", seen.generation)
            record(here.rows, Entry(now, loop.name, "promotion", seen.job.key, "Register", reason, links))
            _close(here, loop, seen, state="registered")
        case Reject(reason=reason) | GiveUp(reason=reason):
            why = f"{reason} ({seen.problem})" if seen.problem else reason
            event = ModelRejected(loop=loop.name, job=seen.job.key, reason=why)
            here.announcer.announce(event, subject=seen.job.key, id=f"{seen.job.key}-rejected")
            entry = Entry(now, loop.name, "promotion", seen.job.key, type(decision).__name__, why, (seen.generation,))
            record(here.rows, entry)
            _close(here, loop, seen, state=type(decision).__name__.casefold())
        case Wait():
            pass


def _register(here: Cloud, loop: Loop, seen: Look) -> str:
    """Store the model's files where devices fetch them, then register them with their lineage in one request."""
    existing = here.registry.versions(loop.name)
    ours = [found.version for found in existing if found.lineage.get("job") == seen.job.key]
    version = ours[0] if ours else str(max((int(found.version) for found in existing), default=0) + 1)
    folder = f"{loop.name}/{version}"
    digest = _store(here.blobs, seen.outcome.outputs["model"], folder)
    lineage = {
        "job": seen.job.key,
        "loop": loop.name,
        "generation": str(seen.job.row["generation"]),
        "pipeline": loop.retrain.pipeline,
        "sha256": digest["files.json"],
        "model_sha256": digest["model.onnx"],
        "profile": digest["profile"],
        "log_loss": f"{seen.report.challenger.log_loss:.6f}" if seen.report else "",
    }
    # Written down first, so that the registration's event finds a job that says it made this version
    here.rows.change(JOBS, loop.name, keys=[seen.job.key], values={"version": version})
    if not here.registry.register(ModelVersion(loop.name, version, folder, lineage)):
        why = "somebody registered that version in the meantime"
        raise Transient(f"{loop.name}:{version} is taken", why=why, fix="the next try takes the next number")
    return version


def _store(blobs: Blobs, source: str, folder: str) -> Mapping[str, str]:
    """Copy a job's model files and list them with their digests, the last file written; content decides, not time."""
    contents = {name: blobs.read(OUTPUTS, f"{source}/{name}") for name in FILES}
    digests: dict[str, str] = {}
    listing: dict[str, dict[str, str | int]] = {}
    for name, data in contents.items():
        if data is None:
            raise Transient(f"{source}/{name} is not there", why="the job completed", fix="wait for the next try")
        blobs.create(MODELS, f"{folder}/{name}", data)
        digests[name] = sha256(data).hexdigest()
        listing[name] = {"sha256": digests[name], "size_bytes": len(data)}
    files = json.dumps({"files": listing}, indent=1, sort_keys=True).encode()
    blobs.create(MODELS, f"{folder}/files.json", files)
    digests["files.json"] = sha256(files).hexdigest()
    digests["profile"] = Profile.from_json((contents["profile.json"] or b"").decode()).hash
    return digests


def _unusable(blobs: Blobs, folder: str) -> str:
    """What is wrong with the model folder a job wrote; "" if nothing is."""
    missing = [name for name in FILES if blobs.facts(OUTPUTS, f"{folder}/{name}") is None]
    if missing:
        return f"its model folder lacks {', '.join(missing)}"
    try:
        Profile.from_json((blobs.read(OUTPUTS, f"{folder}/profile.json") or b"").decode())
    except ValueError as problem:
        return f"profile.json: {problem}"
    return ""


def _close(here: Cloud, loop: Loop, seen: Look, *, state: str) -> None:
    here.rows.change(JOBS, loop.name, keys=[seen.job.key], values={"state": state})
