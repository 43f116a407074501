"""When is it worth training again? No clock, no network, no SDK."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from functions.events import Trigger
from functions.loops import Retrain

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a loop knows when it decides.

    Args:
        generation: Number of the generation that is open, or was sealed and is not finished.
        sealed: Whether that generation was sealed: its job must be started, whatever the policy says now.
        files: Uploads no generation has taken.
        first_at: When the oldest of them was counted; None without files.
        last_at: When the newest was counted; None without files.
        drift: Reasons of waiting drift requests.
        launches: Times of the jobs of the last day, oldest first.
    """

    generation: int
    sealed: bool
    files: int
    first_at: datetime | None
    last_at: datetime | None
    drift: tuple[str, ...]
    launches: tuple[datetime, ...]


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
class Wait:
    """Leave everything pending."""

    reason: str


@dataclass(frozen=True, slots=True)
class HoldForBudget:
    """A job is due, and the day's money is spent; nothing is lost."""

    reason: str


type Decision = Launch | Resume | Wait | HoldForBudget


def decide(backlog: Backlog, policy: Retrain, now: datetime) -> Decision:
    """Launch once enough files have landed, landing has gone quiet, and money and cool-down allow it.

    Drift goes ahead of the cool-down, never of the budget.
    """
    if backlog.sealed:
        return Resume(f"generation {backlog.generation} was sealed and is not finished")
    if backlog.first_at is None or backlog.last_at is None:
        return Wait("no new files; drift asks for a job" if backlog.drift else "no new files")
    drifted = bool(backlog.drift) and policy.on_drift == "retrain"
    if backlog.files < policy.at_least_files:
        return Wait(f"{backlog.files} of {policy.at_least_files} files{' although drift asks for a job' * drifted}")
    if now - backlog.last_at < policy.quiet_for and now - backlog.first_at < policy.at_most_wait:
        return Wait("files are still arriving")
    return _within_means(backlog, policy, now, drifted=drifted)


def _within_means(backlog: Backlog, policy: Retrain, now: datetime, *, drifted: bool) -> Decision:
    recent = [at for at in backlog.launches if now - at < DAY]
    last = max(backlog.launches, default=None)
    if not drifted and last and now - last < policy.cool_down:
        return Wait(f"new data may train again from {last + policy.cool_down:%d %B %H:%M} UTC; drift may earlier")
    if len(recent) >= policy.jobs_per_day:
        return HoldForBudget(f"{len(recent)} of {policy.jobs_per_day} jobs were started in the last 24 hours")
    if drifted:
        return Launch("drift", f"drift on {'; '.join(sorted(backlog.drift))}; {backlog.files} new files")
    quiet = backlog.last_at is not None and now - backlog.last_at >= policy.quiet_for
    settled = f"none for {policy.quiet_for.total_seconds():.0f} s" if quiet else "the longest wait is over"
    return Launch("data", f"{backlog.files} new files, and {settled}")
