"""Which devices may have which model? No clock, no network, no SDK."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from functions.loops import Ring
from functions.ports import ModelVersion, Progress


@dataclass(frozen=True, slots=True)
class Deploy:
    """Let the first ring have it."""

    reason: str


@dataclass(frozen=True, slots=True)
class AwaitApproval:
    """Nobody knows where it comes from: a person decides."""

    reason: str


@dataclass(frozen=True, slots=True)
class Supersede:
    """A newer version is on its way already."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Stay in this ring for now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Let the next ring have it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Every ring has it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A device refused it: go no further until somebody looks."""

    reason: str


type Admission = Deploy | AwaitApproval | Supersede
type Step = Supersede | Hold | Advance | Finish | Pause


def admit(model: ModelVersion, *, job_registered: str | None, newest: int) -> Admission:
    """May a registered version reach the fleet?

    Args:
        model: As the registry has it; the event's own word counts for nothing.
        job_registered: Version that our job of its lineage registered; None if there is no such job of ours.
        newest: Highest version that is on its way or was rolled out; 0 for none.
    """
    if job_registered is None or "sha256" not in model.lineage:
        return AwaitApproval("registered by hand: no job of this loop made it, so it waits for approval")
    if job_registered != model.version:
        return AwaitApproval(f"its lineage names a job that made version {job_registered or 'none'}, not this one")
    if int(model.version) < newest:
        return Supersede(f"version {newest} is on its way already")
    return Deploy(f"made by {model.lineage['job']}, which passed the gate")


def step(
    rings: Sequence[Ring], ring: int, *, since: datetime, progress: Progress | None, newest: bool, now: datetime
) -> Step:
    """How does a rollout go on?

    Args:
        rings: The loop's rings, in order.
        ring: Index of the ring it has reached.
        since: When it reached that ring.
        progress: What the devices of that ring report; None if the deployment is gone.
        newest: Whether no later version is on its way.
        now: Aware time of the decision.
    """
    here = rings[ring]
    if not newest:
        return Supersede("a newer version is on its way")
    if progress is None:
        return Hold(f"IoT Hub has no deployment for {here.name} any more")
    if progress.targeted == 0:
        return Hold(f"no device matches {here.devices!r}")
    return _onward(rings, ring, progress, waited=now - since)


def _onward(rings: Sequence[Ring], ring: int, progress: Progress, *, waited: timedelta) -> Step:
    here = rings[ring]
    ready, failed = progress.counts.get("ready", 0), progress.counts.get("failed", 0)
    if failed:
        return Pause(f"{failed} of {progress.targeted} devices of {here.name} refused it")
    if ready < progress.targeted:
        return Hold(f"{ready} of {progress.targeted} devices of {here.name} serve it")
    if waited < here.dwell:
        return Hold(f"all {ready} devices of {here.name} serve it; dwelling {here.dwell.total_seconds():.0f} s")
    reason = f"all {ready} devices of {here.name} serve it"
    return Advance(reason) if ring + 1 < len(rings) else Finish(reason)
