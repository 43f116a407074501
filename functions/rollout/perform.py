"""Look at a model and its rollout; carry out a rollout decision. Every step may happen twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from functions.errors import Poison, Refused
from functions.events import ModelRegistered, RolledBack, RolloutAdvanced, RolloutPaused
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Deployment, ModelVersion
from functions.rollout import evidence, rings
from functions.rollout.collect import collect
from functions.rollout.decide import (
    Admission,
    Advance,
    AwaitApproval,
    Candidate,
    Deploy,
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
    ROLLOUTS,
    SHADOWING,
    SUPERSEDED,
    Record,
    Standing,
    standing,
)
from functions.wiring import Cloud

JOBS, MODELS = "jobs", "models"


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
    listing = here.blobs.read(MODELS, f"{model.folder}/files.json") if model.folder else None
    if listing is not None and sha256(listing).hexdigest() != model.lineage.get("sha256"):
        why, fix = f"{model.folder}/files.json has another digest", "find out who wrote to the models container"
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
            _reach(here, loop, model, ring=0, reason=reason, now=now)
        case TryOut(reason=reason):
            collect(here, loop)
            _try_out(here, loop, model, reason=reason, now=now)
        case AwaitApproval(reason=reason) | Supersede(reason=reason):
            state = HELD if isinstance(admission, AwaitApproval) else SUPERSEDED
            _journal(here, loop, model.version, type(admission).__name__, reason=reason, now=now)
            _note(here, loop, Record(int(model.version), state, -1, now, reason=reason))
        case Hold(reason=reason):
            _journal(here, loop, model.version, "Hold", reason=reason, now=now)
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
                _journal(here, loop, version, "Hold", reason="the registry has it no longer", now=now)
                return
            _reach(here, loop, model, ring=0, reason=reason, now=now)
        case Supersede(reason=reason) | Pause(reason=reason):
            here.fleet.delete(seen.deployment)
            _announce_pause(step, here, loop, seen)
            _journal(here, loop, version, type(step).__name__, reason=reason, now=now)
            _enter(here, loop, told, seen.now(SUPERSEDED if isinstance(step, Supersede) else PAUSED, reason))
        case Hold(reason=reason):
            _journal(here, loop, version, "Hold", reason=reason, now=now)


def untold(here: Cloud, loop: Loop, told: Standing) -> list[ModelRegistered]:
    """Versions that wait to be admitted: our jobs' that no event told of, and held ones that a person approved."""
    known = {one.version for one in told.records}
    made = {int(str(job.row["version"])) for job in here.rows.find(JOBS, loop.name, state="registered")}
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
                    field=evidence.field(here, loop, str(one.version), one.previous),
                    approved=told.is_approved(one.version, after),
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
                _journal(here, loop, version, "Hold", reason="the registry has it no longer", now=now)
                return
            _reach(here, loop, model, ring=seen.ring + 1, reason=reason, now=now)
        case Finish(reason=reason) | Supersede(reason=reason) | Pause(reason=reason):
            state = {Finish: DONE, Supersede: SUPERSEDED, Pause: PAUSED}[type(step)]
            _announce_pause(step, here, loop, seen)
            _journal(here, loop, version, type(step).__name__, reason=reason, now=now)
            _enter(here, loop, told, seen.now(state, reason))
        case RollBack(reason=reason):
            falling = seen.now(FALLING, reason)  # written first: a rollback once decided is finished, whatever is seen
            if _enter(here, loop, told, falling):
                fall(here, loop, falling, now=now)
        case Hold(reason=reason):
            _journal(here, loop, version, "Hold", reason=reason, now=now)


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
    _apply(here, above)
    for one in here.fleet.deployments():
        if one.labels.get("model") == f"{loop.name}:{version}" and not {"pin", "instead_of"} & set(one.labels):
            here.fleet.delete(one.id)
    ring = loop.rollout.ring[min(seen.ring, len(loop.rollout.ring) - 1)].name
    event = RolledBack(loop=loop.name, version=version, ring=ring, to=seen.previous, reason=seen.reason)
    here.announcer.announce(event, subject=f"{loop.name}:{version}", id=f"{above.id}-rolled-back")
    links = (above.id, f"{loop.name}:{seen.previous}")
    _journal(here, loop, version, "RollBack", reason=seen.reason, now=now, links=links)
    _enter(here, loop, told, seen.now(BACK, seen.reason))


def _enter(here: Cloud, loop: Loop, told: Standing, after: Record) -> bool:
    """Keep a version's new state, unless somebody changed its row since it was read."""
    return here.rows.replace(ROLLOUTS, loop.name, stored=told.stored[after.version], row=after.row)


def _note(here: Cloud, loop: Loop, fresh: Record) -> None:
    """Keep the state of a version that nothing is known of, or that was held or further back."""
    if here.rows.insert(ROLLOUTS, loop.name, fresh.key, row=fresh.row):
        return
    told = standing(here.rows, loop.name)
    former = told.find(fresh.version)
    if former is None or former.state not in (HELD, SHADOWING, ROLLING):
        return
    if former.ring < fresh.ring or former.state == HELD != fresh.state:
        _enter(here, loop, told, replace(fresh, previous=former.previous or fresh.previous))


def _try_out(here: Cloud, loop: Loop, model: ModelVersion, *, reason: str, now: datetime) -> None:
    """Let the first ring score with it silently; as with `_reach`, the row comes last."""
    told, version = standing(here.rows, loop.name), int(model.version)
    members = _members(here, loop, 0, {})
    if members is None:
        _journal(here, loop, model.version, "Hold", reason=_nobody(loop, 0), now=now)
        return
    deployment = rings.silent(loop, model, store=here.settings.blob_endpoint, members=members)
    _apply(here, deployment)
    links = (deployment.id, model.lineage.get("job", ""))
    told_of = f"{reason}; silently on {loop.rollout.ring[0].name}: {deployment.target[:500]}"
    _journal(here, loop, model.version, "TryOut", reason=told_of, now=now, links=links)
    good = told.last_good(version)
    previous = str(good.version) if good else ""
    _note(here, loop, Record(version, SHADOWING, -1, now, deployment.id, previous, members=members))


def _reach(here: Cloud, loop: Loop, model: ModelVersion, *, ring: int, reason: str, now: datetime) -> None:
    """Create the deployment first: its name is the record. The row comes last: before it, all of this is repeated."""
    told, version = standing(here.rows, loop.name), int(model.version)
    former, good = told.find(version), told.last_good(version)
    members = _members(here, loop, ring, dict(former.members) if former else {})
    if members is None:
        _journal(here, loop, model.version, "Hold", reason=_nobody(loop, ring), now=now)
        return
    deployment = rings.offer(loop, model, ring, store=here.settings.blob_endpoint, members=members)
    _apply(here, deployment)
    name = loop.rollout.ring[ring].name
    event = RolloutAdvanced(loop=loop.name, version=model.version, ring=name, deployment=deployment.id, reason=reason)
    here.announcer.announce(event, subject=f"{loop.name}:{model.version}", id=deployment.id)
    links = (deployment.id, model.lineage.get("job", ""))
    decision = "Deploy" if ring == 0 else "Advance"
    told_of = f"{reason}; now {name}: {deployment.target[:500]}"
    _journal(here, loop, model.version, decision, reason=told_of, now=now, links=links)
    previous = str(good.version) if good else ""
    _note(here, loop, Record(version, ROLLING, ring, now, deployment.id, previous, members=members))


def _members(
    here: Cloud, loop: Loop, index: int, known: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[str]] | None:
    """Who belongs to a ring that takes only some, next to those of earlier rings; None if it would be nobody."""
    ring = loop.rollout.ring[index]
    if not rings.takes_some(ring) or ring.name in known:
        return known
    chosen = rings.choose(loop.name, ring, here.fleet.devices(ring.devices))
    if len(chosen) > rings.MOST_MEMBERS:
        why = f"{len(chosen)} devices are more than the {rings.MOST_MEMBERS} that a target condition can name"
        raise Refused(f"ring {ring.name} of {loop.name} is too large", why=why, fix="choose it by a tag instead")
    return {**known, ring.name: chosen} if chosen else None


def _apply(here: Cloud, deployment: Deployment) -> None:
    if not here.fleet.apply(deployment):
        why, fix = "a configuration with that id has other content", "delete it in IoT Hub if nobody needs it"
        raise Refused(f"deployment {deployment.id} cannot be made (DEPLOY_CONFLICT)", why=why, fix=fix)


def _nobody(loop: Loop, ring: int) -> str:
    return f"no device matches {loop.rollout.ring[ring].devices!r}"


def _announce_pause(step: Step, here: Cloud, loop: Loop, seen: Record) -> None:
    if isinstance(step, Pause):
        ring = loop.rollout.ring[min(seen.ring, len(loop.rollout.ring) - 1)].name
        event = RolloutPaused(loop=loop.name, version=str(seen.version), ring=ring, reason=step.reason)
        here.announcer.announce(event, subject=f"{loop.name}:{seen.version}", id=f"{seen.deployment}-paused")


def _journal(
    here: Cloud, loop: Loop, version: str, decision: str, *, reason: str, now: datetime, links: tuple[str, ...] = ()
) -> None:
    record(here.rows, Entry(now, loop.name, "rollout", f"{loop.name}:{version}", decision, reason, links))
