"""The effects that rollout decisions are made of. Each may happen twice; the row of a version is written last."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from functions.errors import Refused
from functions.events import RolloutAdvanced
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Deployment, ModelVersion
from functions.rollout import rings
from functions.rollout.records import HELD, ROLLING, ROLLOUTS, SHADOWING, Record, Standing, standing
from functions.tracing import TRACEPARENT, following
from functions.wiring import Cloud


def enter(here: Cloud, loop: Loop, told: Standing, after: Record) -> bool:
    """Keep a version's new state, unless somebody changed its row since it was read."""
    return here.rows.replace(ROLLOUTS, loop.name, stored=told.stored[after.version], row=after.row)


def hold(here: Cloud, loop: Loop, told: Standing, seen: Record, *, reason: str, now: datetime) -> None:
    """Write down that a version stays where it is, and what it waits for."""
    journal(here, loop, str(seen.version), "Hold", reason=reason, now=now)
    if seen.reason != reason:
        enter(here, loop, told, seen.now(seen.state, reason))


def note(here: Cloud, loop: Loop, fresh: Record) -> None:
    """Keep the state of a version that nothing is known of, or that was held or further back."""
    if here.rows.insert(ROLLOUTS, loop.name, fresh.key, row=fresh.row):
        return
    told = standing(here.rows, loop.name)
    former = told.find(fresh.version)
    if former is None or former.state not in (HELD, SHADOWING, ROLLING):
        return
    if former.ring < fresh.ring or former.state == HELD != fresh.state:
        enter(here, loop, told, replace(fresh, previous=former.previous or fresh.previous))


def try_out(here: Cloud, loop: Loop, model: ModelVersion, *, reason: str, now: datetime) -> None:
    """Let the first ring score with it silently; as with `_reach`, the row comes last."""
    with following(model.lineage.get(TRACEPARENT), "try out"):
        _try_out(here, loop, model, reason=reason, now=now)


def _try_out(here: Cloud, loop: Loop, model: ModelVersion, *, reason: str, now: datetime) -> None:
    told, version = standing(here.rows, loop.name), int(model.version)
    members = _members(here, loop, 0, {})
    if members is None:
        journal(here, loop, model.version, "Hold", reason=_nobody(loop, 0), now=now)
        return
    deployment = rings.silent(loop, model, store=here.settings.blob_endpoint, members=members)
    apply(here, deployment)
    links = (deployment.id, model.lineage.get("job", ""))
    told_of = f"{reason}; silently on {loop.rollout.ring[0].name}: {deployment.target[:500]}"
    journal(here, loop, model.version, "TryOut", reason=told_of, now=now, links=links)
    good = told.last_good(version)
    previous = str(good.version) if good else ""
    note(here, loop, Record(version, SHADOWING, -1, now, deployment.id, previous, members=members))


def reach(here: Cloud, loop: Loop, model: ModelVersion, *, ring: int, reason: str, now: datetime) -> None:
    """Create the deployment first: its name is the record. The row comes last: before it, all of this is repeated."""
    with following(model.lineage.get(TRACEPARENT), "reach", ring=loop.rollout.ring[ring].name):
        _reach(here, loop, model, ring=ring, reason=reason, now=now)


def _reach(here: Cloud, loop: Loop, model: ModelVersion, *, ring: int, reason: str, now: datetime) -> None:
    told, version = standing(here.rows, loop.name), int(model.version)
    former, good = told.find(version), told.last_good(version)
    members = _members(here, loop, ring, dict(former.members) if former else {})
    if members is None:
        journal(here, loop, model.version, "Hold", reason=_nobody(loop, ring), now=now)
        if former:
            enter(here, loop, told, former.now(former.state, _nobody(loop, ring)))
        return
    deployment = rings.offer(loop, model, ring, store=here.settings.blob_endpoint, members=members)
    apply(here, deployment)
    name = loop.rollout.ring[ring].name
    event = RolloutAdvanced(loop=loop.name, version=model.version, ring=name, deployment=deployment.id, reason=reason)
    here.announcer.announce(event, subject=f"{loop.name}:{model.version}", id=deployment.id)
    links = (deployment.id, model.lineage.get("job", ""))
    decision = "Deploy" if ring == 0 else "Advance"
    told_of = f"{reason}; now {name}: {deployment.target[:500]}"
    journal(here, loop, model.version, decision, reason=told_of, now=now, links=links)
    previous = str(good.version) if good else ""
    note(here, loop, Record(version, ROLLING, ring, now, deployment.id, previous, members=members))


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


def apply(here: Cloud, deployment: Deployment) -> None:
    """Create a deployment; Refused if its id stands for other content."""
    if not here.fleet.apply(deployment):
        why, fix = "a configuration with that id has other content", "delete it in IoT Hub if nobody needs it"
        raise Refused(f"deployment {deployment.id} cannot be made (DEPLOY_CONFLICT)", why=why, fix=fix)


def _nobody(loop: Loop, ring: int) -> str:
    """That a ring has no device, in the journal's words."""
    return f"no device matches {loop.rollout.ring[ring].devices!r}"


def journal(
    here: Cloud, loop: Loop, version: str, decision: str, *, reason: str, now: datetime, links: tuple[str, ...] = ()
) -> None:
    """Write a decision about a version down."""
    record(here.rows, Entry(now, loop.name, "rollout", f"{loop.name}:{version}", decision, reason, links))
