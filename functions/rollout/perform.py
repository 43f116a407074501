"""Look at a model and its rollout; carry out a rollout decision. Every step may happen twice."""

from dataclasses import dataclass
from datetime import datetime

from functions.errors import Poison, Refused
from functions.events import ModelRegistered, RolloutAdvanced, RolloutPaused
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import ModelVersion, Progress, Row, Stored
from functions.rollout.decide import Admission, Advance, AwaitApproval, Deploy, Finish, Hold, Pause, Step, Supersede
from functions.rollout.manifest import layer
from functions.wiring import Cloud

ROLLOUTS, JOBS = "rollouts", "jobs"
ROLLING, DONE, HELD, PAUSED, SUPERSEDED = "rolling", "done", "awaiting approval", "paused", "superseded"


@dataclass(frozen=True, slots=True)
class Look:
    """A registered model, as registry and our own records have it."""

    model: ModelVersion
    job_registered: str | None
    newest: int


@dataclass(frozen=True, slots=True)
class Rolling:
    """A rollout that is under way."""

    stored: Stored
    version: str
    ring: int
    since: datetime
    deployment: str
    progress: Progress | None
    newest: bool


def look(here: Cloud, loop: Loop, registered: ModelRegistered) -> Look:
    """Re-read the registry: the event is only a hint.

    Raises:
        Poison: The registry has no such version.
    """
    model = here.registry.get(registered.model, registered.version)
    if model is None:
        why, fix = "the registry has no such version", "look for who publishes such events"
        raise Poison(
            f"model {registered.model}:{registered.version} is unknown", why=why, fix=fix, code="MODEL_UNKNOWN"
        )
    job = here.rows.get(JOBS, loop.name, model.lineage["job"]) if "job" in model.lineage else None
    versions = [int(found.key) for found in here.rows.find(ROLLOUTS, loop.name) if found.row["state"] != HELD]
    return Look(model, str(job.row.get("version", "")) if job else None, max(versions, default=0))


def admit(admission: Admission, here: Cloud, loop: Loop, *, model: ModelVersion, now: datetime) -> None:
    """Start the rollout, or write down why not."""
    match admission:
        case Deploy(reason=reason):
            _reach(here, loop, model, ring=0, reason=reason, now=now)
        case AwaitApproval(reason=reason) | Supersede(reason=reason):
            state = HELD if isinstance(admission, AwaitApproval) else SUPERSEDED
            row: Row = {"state": state, "ring": -1, "since": now, "deployment": ""}
            here.rows.insert(ROLLOUTS, loop.name, f"{int(model.version):09}", row=row)
            _journal(here, loop, model.version, type(admission).__name__, reason=reason, now=now)


def overlooked(here: Cloud, loop: Loop) -> list[ModelRegistered]:
    """Versions that our jobs registered and no event told of, or not yet."""
    known = {int(found.key) for found in here.rows.find(ROLLOUTS, loop.name)}
    made = {int(str(job.row["version"])) for job in here.rows.find(JOBS, loop.name, state="registered")}
    untold = [ModelRegistered(model=loop.name, version=str(version)) for version in sorted(made - known)]
    return [one for one in untold if here.registry.get(one.model, one.version)]  # unless somebody deleted it since


def rolling(here: Cloud, loop: Loop) -> list[Rolling]:
    """Every rollout of a loop that is under way."""
    found = list(here.rows.find(ROLLOUTS, loop.name))
    newest = max((int(one.key) for one in found if one.row["state"] != HELD), default=0)
    return [
        Rolling(
            stored=one,
            version=str(int(one.key)),
            ring=min(int(str(one.row["ring"])), len(loop.rollout.ring) - 1),  # the loop file may have lost rings
            since=datetime.fromisoformat(str(one.row["since"])),
            deployment=str(one.row["deployment"]),
            progress=here.fleet.progress(str(one.row["deployment"])),
            newest=int(one.key) == newest,
        )
        for one in found
        if one.row["state"] == ROLLING
    ]


def go_on(step: Step, here: Cloud, loop: Loop, *, seen: Rolling, now: datetime) -> None:
    """Advance, hold, pause or finish a rollout."""
    match step:
        case Advance(reason=reason):
            model = here.registry.get(loop.name, seen.version)
            if model is None:
                _journal(here, loop, seen.version, "Hold", reason="the registry has it no longer", now=now)
                return
            _reach(here, loop, model, ring=seen.ring + 1, reason=reason, now=now)
        case Finish(reason=reason) | Supersede(reason=reason) | Pause(reason=reason):
            state = {Finish: DONE, Supersede: SUPERSEDED, Pause: PAUSED}[type(step)]
            here.rows.replace(ROLLOUTS, loop.name, stored=seen.stored, row={**seen.stored.row, "state": state})
            _journal(here, loop, seen.version, type(step).__name__, reason=reason, now=now)
            _announce_pause(step, here, loop, seen)
        case Hold(reason=reason):
            _journal(here, loop, seen.version, "Hold", reason=reason, now=now)


def _reach(here: Cloud, loop: Loop, model: ModelVersion, *, ring: int, reason: str, now: datetime) -> None:
    """Create the deployment first: its name is the record; the row is only a note of it."""
    deployment = layer(loop, model, ring, store=here.settings.blob_endpoint)
    if not here.fleet.apply(deployment):
        why, fix = "a configuration with that id has other content", "delete it in IoT Hub if nobody needs it"
        raise Refused(f"deployment {deployment.id} cannot be made", why=why, fix=fix)
    key = f"{int(model.version):09}"
    row: Row = {"state": ROLLING, "ring": ring, "since": now, "deployment": deployment.id}
    if not here.rows.insert(ROLLOUTS, loop.name, key, row=row):
        stored = here.rows.get(ROLLOUTS, loop.name, key)
        if stored is not None and int(str(stored.row["ring"])) < ring:
            here.rows.replace(ROLLOUTS, loop.name, stored=stored, row=row)
    name = loop.rollout.ring[ring].name
    event = RolloutAdvanced(loop=loop.name, version=model.version, ring=name, deployment=deployment.id, reason=reason)
    here.announcer.announce(event, subject=f"{loop.name}:{model.version}", id=deployment.id)
    links = (deployment.id, model.lineage.get("job", ""))
    decision = "Deploy" if ring == 0 else "Advance"
    _journal(
        here, loop, model.version, decision, reason=f"{reason}; now {name}: {deployment.target}", now=now, links=links
    )


def _announce_pause(step: Step, here: Cloud, loop: Loop, seen: Rolling) -> None:
    if isinstance(step, Pause):
        ring = loop.rollout.ring[seen.ring].name
        event = RolloutPaused(loop=loop.name, version=seen.version, ring=ring, reason=step.reason)
        here.announcer.announce(event, subject=f"{loop.name}:{seen.version}", id=f"{seen.deployment}-paused")


def _journal(
    here: Cloud, loop: Loop, version: str, decision: str, *, reason: str, now: datetime, links: tuple[str, ...] = ()
) -> None:
    record(here.rows, Entry(now, loop.name, "rollout", f"{loop.name}:{version}", decision, reason, links))
