"""Which devices may have which model? No clock, no network, no SDK."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from functions.loops import Ring
from functions.ports import ModelVersion, Progress
from functions.rollout.records import HELD, Pin


@dataclass(frozen=True, slots=True)
class Deploy:
    """Let the first ring have it."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryOut:
    """Let the first ring score with it silently."""

    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """It was told of before: whatever became of it, a redelivery changes nothing."""

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
    """Stay where it is for now."""

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
    """Devices refuse it, and keep what they have: no further until somebody looks."""

    reason: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """It does harm: every device that has it gets the last good version again."""

    reason: str


type Admission = Deploy | TryOut | Known | AwaitApproval | Supersede | Hold
type Step = Supersede | Hold | Advance | Finish | Pause | RollBack


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered version that is not on its way yet.

    Args:
        model: As the registry has it; the event's own word counts for nothing.
        job_registered: Version that our job of its lineage registered; None if there is no such job of ours.
        newest: Highest version that is on its way or was rolled out; 0 for none.
        state: What became of it before; "" if it is new.
        approved: Whether a person let it in.
        pin: The operator's pin.
        tried: Whether it may answer at once: no trial is asked for, or there is nothing to try it against.
    """

    model: ModelVersion
    job_registered: str | None
    newest: int
    state: str = ""
    approved: bool = False
    pin: Pin | None = None
    tried: bool = True


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that scores silently on the first ring.

    Args:
        waited: Since it began.
        newest: Whether no later version is on its way.
        failed: Devices that cannot score with it.
        rows: Rows it has scored.
        moved: Sum over them of the distance to the scores that were answered.
        flipped: Rows whose two scores lie on different sides of a half.
        pin: The operator's pin.
    """

    waited: timedelta
    newest: bool
    failed: int
    rows: int
    moved: float
    flipped: int
    pin: Pin | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """What the version does on the devices that serve it.

    Args:
        devices: Devices that sent telemetry about it.
        rows: Rows they scored with it.
        requests: Requests they answered or refused with it.
        outcomes: Rows they scored with it whose outcomes are known.
        harm: What is proven against it, with its numbers; "" for nothing.
        suspect: What speaks against it without being proof, in words that stay while it stays; "" for nothing.
        found: The same numbers where nothing is proven; "" where there is nothing to compare with.
    """

    devices: int = 0
    rows: int = 0
    requests: int = 0
    outcomes: int = 0
    harm: str = ""
    suspect: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """A rollout under way.

    Args:
        ring: Index of the ring it has reached.
        since: When it reached that ring.
        progress: What the devices of that ring report; None if the deployment is gone.
        newest: Whether no later version is on its way.
        previous: The version a rollback goes back to; "" for none.
        field: What it does on the devices.
        approved: Whether a person let it go on from this ring.
        vouched: Whether a person did so since it reached this ring, and so could see what it does here.
        pin: The operator's pin.
        hours: UTC hours in which another ring may be reached, such as "22-4"; "" for any.
    """

    ring: int
    since: datetime
    progress: Progress | None
    newest: bool = True
    previous: str = ""
    field: Field = Field()
    approved: bool = False
    vouched: bool = False
    pin: Pin | None = None
    hours: str = ""


def admit(candidate: Candidate, *, hours: str, now: datetime) -> Admission:
    """May a registered version reach the fleet?"""
    model, registered = candidate.model, candidate.job_registered
    if candidate.state not in ("", HELD):
        return Known(f"it is {candidate.state} already")
    if unknown := _origin(candidate):
        return AwaitApproval(unknown)
    if int(model.version) < candidate.newest:
        return Supersede(f"version {candidate.newest} is on its way already")
    if candidate.pin or not _open(hours, now):
        closed = f"new models reach devices from {hours} UTC only"
        return Hold(_pinned(candidate.pin) if candidate.pin else closed)
    ours = f"made by {model.lineage.get('job')}, which passed the gate"
    reason = ours if registered == model.version else "approved by an operator"
    return Deploy(reason) if candidate.tried else TryOut(reason)


def try_out(ring: Ring, at: Trial, *, at_least: timedelta, limit: float) -> Supersede | Hold | Pause | Deploy:
    """Has a version that scores silently agreed well enough with the one that answers?

    Args:
        ring: The first ring, whose rows count.
        at: What came of the trial so far.
        at_least: How long a trial lasts.
        limit: Mean distance of the two scores that is allowed.
    """
    if not at.newest:
        return Supersede("a newer version is on its way")
    if at.pin:
        return Hold(_pinned(at.pin))
    if at.failed:
        return Pause(f"{at.failed} devices of {ring.name} cannot score with it")
    wanted = max(ring.at_least_rows, 1)
    if at.waited < at_least or at.rows < wanted:
        return Hold(f"scoring silently on {ring.name}, for {at_least.total_seconds():.0f} s and {wanted} rows at least")
    moved, flipped = at.moved / at.rows, at.flipped / at.rows
    told = f"as a shadow its scores lay {moved:.3f} from the answered ones, {flipped:.1%} on the other side of a half"
    if moved > limit:
        return Pause(f"{told}, over {at.rows} rows; {limit:g} is allowed")
    return Deploy(f"{told}, over {at.rows} rows")


def _origin(candidate: Candidate) -> str:
    """What keeps a version from being deployed without a person's word; "" for nothing."""
    lineage, registered = candidate.model.lineage, candidate.job_registered
    if "sha256" not in lineage or (registered is None and not candidate.approved):
        return "registered by hand: no job of this loop made it, so it waits for approval"
    if registered != candidate.model.version and not candidate.approved:
        return f"its lineage names a job that made version {registered or 'none'}, not this one"
    return ""


def step(rings: Sequence[Ring], at: Situation, *, now: datetime) -> Step:
    """How does a rollout go on?

    Args:
        rings: The loop's rings, in order.
        at: Where it stands.
        now: Aware time of the decision.
    """
    here = rings[at.ring]
    if not at.newest:
        return Supersede("a newer version is on its way")
    if at.pin:
        return Hold(_pinned(at.pin))
    if at.field.harm:  # never found without an earlier version to compare with
        return RollBack(f"{at.field.harm}; back to version {at.previous}")
    if at.progress is None:
        return Hold(f"IoT Hub has no deployment for {here.name} any more")
    if at.progress.targeted == 0:
        return Hold(f"no device matches {here.devices!r}")
    return _reported(here, at.progress, waited=now - at.since) or _onward(rings, at, at.progress, now=now)


def _reported(here: Ring, progress: Progress, *, waited: timedelta) -> Hold | Pause | None:
    """What the devices' own reports say; None if enough of them serve it."""
    targeted, failed = progress.targeted, progress.counts.get("failed", 0)
    ready = min(progress.counts.get("ready", 0), targeted)
    if failed > here.refused_share * targeted:
        return Pause(f"{failed} of {targeted} devices of {here.name} refused it")
    if ready >= here.ready_share * targeted:
        return None
    answered = ready >= max(1, here.at_least_devices) and ready >= here.ready_share * (ready + failed)
    if answered and waited >= here.grace:
        return None
    waiting = min(progress.counts.get("waiting", 0), targeted - ready - failed)
    serving = f"{ready} of {targeted} devices of {here.name} serve it"
    return Hold(f"{serving}; {waiting} do not want to switch now" if waiting else serving)


def _onward(rings: Sequence[Ring], at: Situation, progress: Progress, *, now: datetime) -> Step:
    """Enough devices serve it: is it long enough, shown enough, and allowed?"""
    here, waited = rings[at.ring], now - at.since
    ready = min(progress.counts.get("ready", 0), progress.targeted)
    serving = f"all {ready} devices" if ready == progress.targeted else f"{ready} of {progress.targeted} devices"
    reason = f"{serving} of {here.name} serve it"
    if waited < here.dwell:
        return Hold(f"{reason}; dwelling {here.dwell.total_seconds():.0f} s")
    shown = _shown(here, at) if at.previous else ""
    if shown:
        return Hold(f"{reason}; {shown}")
    last = at.ring + 1 == len(rings)
    if at.field.suspect and not last and not at.vouched:
        return Hold(f"{reason}; {at.field.suspect}; goes on once that is gone, or with refluent approve")
    if here.approval and not last and not at.approved:
        return Hold(f"{reason}; {rings[at.ring + 1].name} waits for refluent approve")
    if not last and not _open(at.hours, now):
        return Hold(f"{reason}; {rings[at.ring + 1].name} is reached from {at.hours} UTC only")
    told = f"{reason}; {at.field.found}" if at.field.found else reason
    return Finish(told) if last else Advance(told)


def _shown(here: Ring, at: Situation) -> str:
    """What the field has not shown yet; "" if it has shown enough."""
    asked = (
        (at.field.devices, here.at_least_devices, "devices sent telemetry of it"),
        (at.field.requests, here.at_least_requests, "requests were answered with it"),
        (at.field.rows, here.at_least_rows, "rows were scored with it"),
        (at.field.outcomes, here.at_least_outcomes, "of its answers have outcomes"),
    )  # without the number so far: it changes at every look, and each would be another line of the journal
    return next((f"fewer than {wanted} {what} yet" for found, wanted, what in asked if found < wanted), "")


def _open(hours: str, now: datetime) -> bool:
    """Whether the hour of a time lies in a window such as "22-4"; the end is outside."""
    if not hours:
        return True
    first, last = (int(hour) for hour in hours.split("-"))
    return first <= now.hour < last if first < last else now.hour >= first or now.hour < last


def _pinned(pin: Pin) -> str:
    return f"an operator pinned {pin.ring or 'every ring'} to version {pin.version}: {pin.because}"
