"""Look at a model and its rollout; carry out a rollout decision. Every step may happen twice."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

from functions.errors import Poison, Refused
from functions.events import ModelRegistered, RolledBack, RolloutPaused
from functions.jobs import JOBS, REGISTERED, registered_versions
from functions.loops import Loop
from functions.model_folder import CONTAINER, LISTING
from functions.ports import ModelVersion
from functions.rollout import effects, evidence, rings
from functions.rollout.collect import collect
from functions.rollout.decide import (
    Admission,
    Advance,
    AwaitApproval,
    Candidate,
    Deploy,
    Field,
    Finish,
    Hold,
    Known,
    Pause,
    RollBack,
    Situation,
    Step,
    Supersede,
    Trial,
    TryOut,
)
from functions.rollout.records import (
    BACK,
    DONE,
    FALLING,
    HELD,
    PAUSED,
    ROLLING,
    SHADOWING,
    SUPERSEDED,
    Record,
    Standing,
    standing,
)
from functions.wiring import Cloud


def look(here: Cloud, loop: Loop, registered: ModelRegistered) -> Candidate:
    """Re-read the registry: the event is only a hint.

    Raises:
        Poison: The registry has no such version, or its files are not those that were registered.
    """
    name = f"model {registered.model}:{registered.version}"
    model = here.registry.get(registered.model, registered.version)
    if model is None:
        why, fix = "the registry has no such version", "look for who publishes such events"
        raise Poison(f"{name} is unknown", why=why, fix=fix, code="MODEL_UNKNOWN")
    listing = here.blobs.read(CONTAINER, f"{model.folder}/{LISTING}") if model.folder else None
    if listing is not None and sha256(listing).hexdigest() != model.lineage.get("sha256"):
        why, fix = f"{model.folder}/{LISTING} has another digest", "find out who wrote to the models container"
        raise Poison(f"{name} is not what was registered", why=why, fix=fix, code="MODEL_INTEGRITY")
    job = here.rows.get(JOBS, loop.name, model.lineage["job"]) if "job" in model.lineage else None
    told = standing(here.rows, loop.name)
    version = int(model.version)
    return Candidate(
        model,
        job_registered=str(job.row.get("version", "")) if job else None,
        newest=told.newest,
        state=known.state if (known := told.find(version)) else "",
        approved=told.is_approved(version, loop.rollout.ring[0].name),
        pin=told.pin,
        tried=not loop.rollout.shadow_for or told.last_good(version) is None,
    )


def admit(admission: Admission, here: Cloud, loop: Loop, *, model: ModelVersion, now: datetime) -> None:
    """Start the rollout, or write down why not."""
    match admission:
        case Deploy(reason=reason):
            collect(here, loop)
            effects.reach(here, loop, model, ring=0, reason=reason, now=now)
        case TryOut(reason=reason):
            collect(here, loop)
            effects.try_out(here, loop, model, reason=reason, now=now)
        case AwaitApproval(reason=reason) | Supersede(reason=reason):
            state = HELD if isinstance(admission, AwaitApproval) else SUPERSEDED
            effects.journal(here, loop, model.version, type(admission).__name__, reason=reason, now=now)
            effects.note(here, loop, Record(int(model.version), state, -1, now, reason=reason))
        case Hold(reason=reason):
            effects.journal(here, loop, model.version, "Hold", reason=reason, now=now)
        case Known():
            pass


def trials(here: Cloud, loop: Loop, told: Standing, now: datetime) -> Iterator[tuple[Record, Trial]]:
    """Every version of a loop that scores silently, and what came of it so far."""
    for one in told.records:
        if one.state == SHADOWING:
            uses = evidence.uses_of(here, loop, str(one.version))
            progress = here.fleet.progress(one.deployment)
            yield (
                one,
                Trial(
                    waited=now - one.since,
                    newest=one.version == told.newest,
                    failed=progress.counts.get("failed", 0) if progress else 0,
                    rows=sum(use.shadow_rows for use in uses),
                    moved=sum(use.shadow_moved for use in uses),
                    flipped=sum(use.shadow_flipped for use in uses),
                    pin=told.pin,
                ),
            )


def end_trial(
    step: Supersede | Hold | Pause | Deploy, here: Cloud, loop: Loop, *, seen: Record, told: Standing, now: datetime
) -> None:
    """Let a version answer after its trial, or give it up; its silent layer goes first."""
    version = str(seen.version)
    match step:
        case Deploy(reason=reason):
            here.fleet.delete(seen.deployment)
            model = here.registry.get(loop.name, version)
            if model is None:
                effects.hold(here, loop, told, seen, reason="the registry has it no longer", now=now)
                return
            effects.reach(here, loop, model, ring=0, reason=reason, now=now)
        case Supersede(reason=reason) | Pause(reason=reason):
            here.fleet.delete(seen.deployment)
            _announce_pause(step, here, loop, seen)
            effects.journal(here, loop, version, type(step).__name__, reason=reason, now=now)
            effects.enter(here, loop, told, seen.now(SUPERSEDED if isinstance(step, Supersede) else PAUSED, reason))
        case Hold(reason=reason):
            effects.hold(here, loop, told, seen, reason=reason, now=now)


def untold(here: Cloud, loop: Loop, told: Standing) -> list[ModelRegistered]:
    """Versions that wait to be admitted: our jobs' that no event told of, and held ones that a person approved."""
    known = {one.version for one in told.records}
    made = registered_versions(here.rows, loop)
    first = loop.rollout.ring[0].name
    approved = {one.version for one in told.records if one.state == HELD and told.is_approved(one.version, first)}
    found = [ModelRegistered(model=loop.name, version=str(version)) for version in sorted(made - known | approved)]
    return [one for one in found if here.registry.get(one.model, one.version)]  # unless somebody deleted it since


def rolling(here: Cloud, loop: Loop, told: Standing) -> Iterator[tuple[Record, Situation]]:
    """Every rollout of a loop that is under way, and how it stands."""
    for one in told.records:
        if one.state == ROLLING:
            ring = min(one.ring, len(loop.rollout.ring) - 1)  # the loop file may have lost rings
            after = loop.rollout.ring[min(ring + 1, len(loop.rollout.ring) - 1)].name
            newest = one.version == told.newest
            yield (
                one,
                Situation(
                    ring=ring,
                    since=one.since,
                    progress=here.fleet.progress(one.deployment) if newest else None,
                    newest=newest,
                    previous=one.previous,
                    field=evidence.field(here, loop, str(one.version), one.previous) if newest else Field(),
                    approved=told.is_approved(one.version, after),
                    vouched=told.is_approved(one.version, after, since=one.since),
                    pin=told.pin,
                    hours=loop.rollout.hours,
                ),
            )


def go_on(step: Step, here: Cloud, loop: Loop, *, seen: Record, told: Standing, now: datetime) -> None:
    """Advance, hold, pause, finish or take back a rollout."""
    version = str(seen.version)
    match step:
        case Advance(reason=reason):
            model = here.registry.get(loop.name, version)
            if model is None:
                effects.hold(here, loop, told, seen, reason="the registry has it no longer", now=now)
                return
            effects.reach(here, loop, model, ring=seen.ring + 1, reason=reason, now=now)
        case Finish(reason=reason) | Supersede(reason=reason) | Pause(reason=reason):
            state = {Finish: DONE, Supersede: SUPERSEDED, Pause: PAUSED}[type(step)]
            _announce_pause(step, here, loop, seen)
            effects.journal(here, loop, version, type(step).__name__, reason=reason, now=now)
            effects.enter(here, loop, told, seen.now(state, reason))
        case RollBack(reason=reason):
            falling = seen.now(FALLING, reason)  # written first: a rollback once decided is finished, whatever is seen
            if effects.enter(here, loop, told, falling):
                fall(here, loop, falling, now=now)
        case Hold(reason=reason):
            effects.hold(here, loop, told, seen, reason=reason, now=now)


def fall(here: Cloud, loop: Loop, seen: Record, *, now: datetime) -> None:
    """Finish a rollback: the last good version is given again, above the bad one, before anything is deleted."""
    version = str(seen.version)
    good = here.registry.get(loop.name, seen.previous)
    if good is None:
        why = f"version {seen.previous} is not in the registry any more"
        fix = f"refluent pin {loop.name} VERSION with one that is"
        raise Refused(f"{loop.name}:{version} cannot be rolled back", why=why, fix=fix)
    told = standing(here.rows, loop.name)
    former = told.find(int(seen.previous))
    members = {**(former.members if former else {}), **seen.members}
    above = rings.fallback(loop, good, instead_of=version, store=here.settings.blob_endpoint, members=members)
    effects.apply(here, above)
    for one in here.fleet.deployments():
        if one.labels.get("model") == f"{loop.name}:{version}" and not {"pin", "instead_of"} & set(one.labels):
            here.fleet.delete(one.id)
    made = [job.key for job in here.rows.find(JOBS, loop.name, state=REGISTERED, version=version)]
    here.rows.change(JOBS, loop.name, keys=made, values={"state": BACK})  # so that it is no champion to be beaten
    ring = loop.rollout.ring[min(seen.ring, len(loop.rollout.ring) - 1)].name
    event = RolledBack(loop=loop.name, version=version, ring=ring, to=seen.previous, reason=seen.reason)
    here.announcer.announce(event, subject=f"{loop.name}:{version}", id=f"{above.id}-rolled-back")
    links = (above.id, f"{loop.name}:{seen.previous}")
    effects.journal(here, loop, version, "RollBack", reason=seen.reason, now=now, links=links)
    effects.enter(here, loop, told, seen.now(BACK, seen.reason))


def _announce_pause(step: Step, here: Cloud, loop: Loop, seen: Record) -> None:
    if isinstance(step, Pause):
        ring = loop.rollout.ring[min(seen.ring, len(loop.rollout.ring) - 1)].name
        event = RolloutPaused(loop=loop.name, version=str(seen.version), ring=ring, reason=step.reason)
        here.announcer.announce(event, subject=f"{loop.name}:{seen.version}", id=f"{seen.deployment}-paused")
