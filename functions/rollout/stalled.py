"""A version that waits for long is told of, again and again: what it waits for may be a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from functions.jobs import JOBS, REGISTERED
from functions.loops import Loop
from functions.quantities import lasting
from functions.rollout import effects
from functions.rollout.records import ROLLING, SHADOWING, Standing
from functions.wiring import Cloud


@dataclass(frozen=True, slots=True)
class Waiting:
    """A version that is on its way.

    Args:
        version: Of the model.
        where: How far it has come, for a person.
        since: Since when it has been there, aware.
        meant: How long the loop file lets it stay there anyhow.
        reason: What it waits for.
    """

    version: str
    where: str
    since: datetime
    meant: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """A version that has been where it is for too long.

    Args:
        version: Of the model.
        stands: Where, since when, and how much longer than it has to, for a person.
        reason: What it waits for.
    """

    version: str
    stands: str
    reason: str


def tell(here: Cloud, loop: Loop, told: Standing, now: datetime) -> None:
    """Write down which versions have been on their way for too long: one line each time the loop's patience ends."""
    for one in overdue(here, loop, told, now):
        effects.journal(here, loop, one.version, "Stall", reason=f"{one.stands}: {one.reason}", now=now)


def overdue(here: Cloud, loop: Loop, told: Standing, now: datetime) -> Iterator[Stalled]:
    """Versions that have been on their way for too long.

    While an operator's pin holds, there are none: that versions wait is what was ordered.
    """
    for one in [] if told.pin else _waiting(here, loop, told):
        if times := stalled(one, patience=loop.rollout.stalled_after, now=now):
            late = lasting(times * loop.rollout.stalled_after)
            stands = f"{one.where} since {one.since:%d %B %H:%M} UTC, {late} longer than it has to"
            yield Stalled(one.version, stands, one.reason)


def stalled(one: Waiting, *, patience: timedelta, now: datetime) -> int:
    """How many times patience with a version has ended; 0 while it lasts."""
    return max((now - one.since - one.meant) // patience, 0)


def _waiting(here: Cloud, loop: Loop, told: Standing) -> Iterator[Waiting]:
    rings = loop.rollout.ring
    for one in told.records:
        if one.state == ROLLING:
            ring = rings[min(one.ring, len(rings) - 1)]  # the loop file may have lost rings
            yield Waiting(str(one.version), f"in {ring.name}", one.since, ring.dwell, one.reason or "nothing said why")
        elif one.state == SHADOWING:
            where, meant = f"silently on {rings[0].name}", loop.rollout.shadow_for
            yield Waiting(str(one.version), where, one.since, meant, one.reason or "nothing said why")
    known = {str(one.version) for one in told.records}
    for job in here.rows.find(JOBS, loop.name, state=REGISTERED):
        version, ended = str(job.row["version"]), job.row.get("ended_at")
        if version not in known and ended and here.registry.get(loop.name, version):  # unless somebody deleted it since
            reason = f"refluent why {loop.name}:{version} tells what became of it"
            yield Waiting(version, "let through by the gate", datetime.fromisoformat(str(ended)), timedelta(0), reason)
