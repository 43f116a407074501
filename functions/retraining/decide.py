"""When is it worth training again? No clock, no network, no SDK."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from functions.events import Harm, Trigger
from functions.loops import Retrain
from functions.quantities import spelled
from functions.retraining.money import spent

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody, or something, that asks for a job besides new data.

    Args:
        trigger: What asks.
        reason: In its own words.
        anyway: Whether a person ordered it over budget and in hours set aside.
        harm: What is known of the harm that drift does.
        at: When drift was found; None if that is not known, and for other wishes.
    """

    trigger: Literal["drift", "code", "operator"]
    reason: str
    anyway: bool = False
    harm: Harm = "unknown"
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job of this loop.

    Args:
        ended_at: When it was seen to have ended; None while it runs.
    """

    launched_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a loop knows when it decides.

    Args:
        generation: Number of the generation that is open, or was sealed and is not finished.
        sealed: Whether that generation was sealed: its job must be started, whatever the policy says now.
        files: Admitted uploads that this generation would take.
        first_at: When the oldest admitted upload was counted; None without any.
        last_at: When the newest was counted; None without any.
        size_bytes: Of those files.
        rows: Of those files.
        left: Admitted uploads that would stay: beyond `at_most_files`, or beyond their site's share.
        wishes: What asks for a job besides new data.
        jobs: Every job, oldest first.
        failed: A job whose failure was the platform's, to be started once more; "" for none.
    """

    generation: int
    sealed: bool
    files: int
    first_at: datetime | None
    last_at: datetime | None
    size_bytes: int = 0
    rows: int = 0
    left: int = 0
    wishes: tuple[Wish, ...] = ()
    jobs: tuple[Job, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """Seal the generation and train on it."""

    trigger: Trigger
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Finish what a sealed generation began."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Start a job once more, on the same training set."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave everything pending."""

    reason: str


@dataclass(frozen=True, slots=True)
class HoldForBudget:
    """A job is due, and the money is spent; nothing is lost."""

    reason: str


type Decision = Launch | Resume | Retry | Wait | HoldForBudget


def decide(backlog: Backlog, policy: Retrain, now: datetime) -> Decision:
    """Launch once there is a cause, and machine, hours and money allow it.

    The schedule, drift, new code and an order go ahead of the cool-down; the schedule also of the minimum; new code and
    an order of minimum and quiet. Of hours set aside and of the budget goes ahead only a person who says so.
    """
    if backlog.sealed:
        return Resume(f"generation {backlog.generation} was sealed and is not finished")
    if backlog.failed:
        again = f"the platform failed {backlog.failed}, so it is started once more"
        return _busy(backlog, policy) or next(iter(_held(backlog, policy, now)), Retry(backlog.failed, again))
    cause = _asked(backlog, policy) or _due(backlog, policy, now)
    if isinstance(cause, Wait):
        return cause
    if busy := _busy(backlog, policy):
        return busy
    held = _held(backlog, policy, now)
    if held and not any(wish.anyway for wish in backlog.wishes):
        return held[0]
    return Launch(cause.trigger, "; ordered although ".join([cause.reason, *(one.reason for one in held)]))


def _asked(backlog: Backlog, policy: Retrain) -> Launch | Wait | None:
    """What an order or new code says, which need no new files."""
    wish = next((wish for kind in ("operator", "code") for wish in backlog.wishes if wish.trigger == kind), None)
    if wish is None:
        return None
    if not backlog.files and (policy.train_on == "new" or backlog.generation == 1):
        return Wait(f"nothing to train on yet, although {wish.reason}")
    return Launch(wish.trigger, f"{wish.reason}; {backlog.files} new files")


def _due(backlog: Backlog, policy: Retrain, now: datetime) -> Launch | Wait:
    """What drift, the schedule or the new files themselves say."""
    drift = sorted(wish.reason for wish in backlog.wishes if wish.trigger == "drift" and _counts(wish, policy, now))
    drifted = bool(drift)
    if backlog.first_at is None or backlog.last_at is None:
        return Wait("no new files; drift asks for a job" if drifted else "no new files")
    due = _overdue(backlog, policy, now)
    if missing := _missing(backlog, policy, due=bool(due)):
        return Wait(f"{missing}{' although drift asks for a job' * drifted}")
    settled = _settled(backlog, policy, now - backlog.first_at, now - backlog.last_at)
    if not settled:
        return Wait("files are still arriving")
    if drifted or due:
        cause = f"drift on {'; '.join(drift)}" if drifted else due
        return Launch("drift" if drifted else "schedule", f"{cause}; {backlog.files} new files")
    last = max((job.launched_at for job in backlog.jobs), default=None)
    if last and now - last < policy.cool_down:
        return Wait(f"new data may train again from {last + policy.cool_down:%d %B %H:%M} UTC; drift may earlier")
    return Launch("data", f"{backlog.files} new files, and {settled}")


def _counts(wish: Wish, policy: Retrain, now: datetime) -> bool:
    """Whether drift is a reason to train: harm that nobody can tell counts once labels had the time to come."""
    if policy.on_drift != "when harmful" or wish.harm != "unknown":
        return policy.on_drift == "retrain" or (policy.on_drift == "when harmful" and wish.harm == "harmful")
    return wish.at is None or now - wish.at >= policy.labels_within


def _settled(backlog: Backlog, policy: Retrain, oldest: timedelta, newest: timedelta) -> str:
    """Why a generation need not wait for more files; "" while it does.

    Args:
        backlog: What has arrived.
        policy: How long to wait.
        oldest: Age of the oldest admitted file.
        newest: Age of the newest.
    """
    if newest >= policy.quiet_for:
        return f"none for {policy.quiet_for.total_seconds():.0f} s"
    if oldest >= policy.at_most_wait:
        return "the longest wait is over"
    return "no room for more" if backlog.files >= policy.at_most_files else ""


def _overdue(backlog: Backlog, policy: Retrain, now: datetime) -> str:
    """Why the schedule asks for a job; "" while it does not."""
    since = max((job.launched_at for job in backlog.jobs), default=backlog.first_at)
    if policy.at_least_every is None or since is None or now - since < policy.at_least_every:
        return ""
    return f"{_days(now - since)} since the last job" if backlog.jobs else f"the first file is {_days(now - since)} old"


def _missing(backlog: Backlog, policy: Retrain, *, due: bool) -> str:
    """What the new files lack; "" if nothing. On schedule, one file is enough."""
    stays = f"; {backlog.left} more stay, of sites that have their share" if backlog.left else ""
    if backlog.files < (1 if due else policy.at_least_files):
        return f"{backlog.files} of {policy.at_least_files} files{stays}"
    if not due and backlog.size_bytes < policy.at_least_bytes:
        return f"{spelled(backlog.size_bytes)} of {spelled(policy.at_least_bytes)}{stays}"
    if not due and backlog.rows < policy.at_least_rows:
        return f"{backlog.rows} of {policy.at_least_rows} rows{stays}"
    return ""


def _busy(backlog: Backlog, policy: Retrain) -> Wait | None:
    running = sum(job.ended_at is None for job in backlog.jobs)
    if running < policy.jobs_at_once:
        return None
    return Wait(f"{running} of {policy.jobs_at_once} jobs at once {'are' if running > 1 else 'is'} running")


def _held(backlog: Backlog, policy: Retrain, now: datetime) -> list[Wait | HoldForBudget]:
    """What forbids a job for which there is a cause, unless a person says "anyway"."""
    held = list[Wait | HoldForBudget]()
    ends = [end for hours in policy.not_between if (end := hours.until(now))]
    if ends:
        held.append(Wait(f"no job starts before {max(ends):%A %H:%M} UTC"))
    recent = sum(now - job.launched_at < DAY for job in backlog.jobs)
    if recent >= policy.jobs_per_day:
        held.append(HoldForBudget(f"{recent} of {policy.jobs_per_day} jobs were started in the last 24 hours"))
    if beyond := _beyond_means(backlog.jobs, policy, now):
        held.append(beyond)
    return held


def _beyond_means(jobs: Sequence[Job], policy: Retrain, now: datetime) -> HoldForBudget | None:
    if policy.euros_per_month is None or policy.euros_per_hour is None:
        return None
    found = spent([(job.launched_at, job.ended_at) for job in jobs], policy.euros_per_hour, now)
    if found.euros + found.next_job <= policy.euros_per_month:
        return None
    return HoldForBudget(
        f"{found.euros:.2f} of {policy.euros_per_month:.2f} euros of {now:%B} are spent, a job costs about "
        f"{found.next_job:.2f}"
    )


def _days(time: timedelta) -> str:
    return f"{time.days} days" if time >= 2 * DAY else f"{time.total_seconds() / 3600:.0f} hours"
