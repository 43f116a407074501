"""Is the challenger better? No clock, no network, no SDK."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from functions.loops import Gate
from functions.ports import JobOutcome
from functions.promotion.report import Report, Score

LEAST_DAYS = 3  # fewer days say nothing about the next one


@dataclass(frozen=True, slots=True)
class Register:
    """Make the challenger the champion."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Keep the champion."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There is no challenger: the job did not end well."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The job is still running."""

    reason: str


type Decision = Register | Reject | GiveUp | Wait


@dataclass(frozen=True, slots=True)
class Gain:
    """How much lower the challenger's loss is on the same rows.

    Args:
        mean: Log loss per row, nats; positive is better.
        lower: One-sided lower confidence bound of the mean, days taken as independent.
        days: Number of held-out days.
    """

    mean: float
    lower: float
    days: int


def decide(outcome: JobOutcome, report: Report | None, gate: Gate) -> Decision:
    """Register a challenger that beats the champion (or, without one, the baseline) with confidence."""
    if outcome.status == "running":
        return Wait("the job is running")
    if outcome.status != "completed":
        return GiveUp(f"the job {outcome.status}{': ' + outcome.detail if outcome.detail else ''}")
    if report is None:
        return GiveUp("the job wrote no usable model and report")
    if report.champion is None:
        return _against_baseline(report, gate)
    return _against_champion(gain(report.challenger, report.champion, gate.confidence), gate)


def gain(challenger: Score, champion: Score, confidence: float) -> Gain:
    """Paired gain over the days both models were scored on, days weighted by their rows.

    Args:
        challenger: The new model's losses by day.
        champion: The old model's, on the same rows.
        confidence: One-sided, between 0.5 and 1.

    Source: the ratio estimator's linearised variance for clusters of unequal size (Cochran 1977, section 6.3).
    """
    days = sorted(set(challenger.by_day) & set(champion.by_day))
    rows = [challenger.by_day[day].rows for day in days]
    gains = [champion.by_day[day].log_loss - challenger.by_day[day].log_loss for day in days]
    if len(days) < LEAST_DAYS:
        return Gain(0.0, float("-inf"), len(days))
    total = sum(rows)
    mean = sum(n * g for n, g in zip(rows, gains, strict=True)) / total
    squares = sum((n * (g - mean)) ** 2 for n, g in zip(rows, gains, strict=True))
    error = sqrt(squares * len(days) / (len(days) - 1)) / total
    return Gain(mean, mean - NormalDist().inv_cdf(confidence) * error, len(days))


def _against_baseline(report: Report, gate: Gate) -> Decision:
    better = report.baseline.log_loss - report.challenger.log_loss
    reason = f"log loss {report.challenger.log_loss:.4f} against {report.baseline.log_loss:.4f} for a constant guess"
    return Register(f"first model: {reason}") if better >= gate.margin else Reject(f"no better than guessing: {reason}")


def _against_champion(found: Gain, gate: Gate) -> Decision:
    if found.days < LEAST_DAYS:
        return Reject(f"only {found.days} held-out days in common; {LEAST_DAYS} are needed")
    reason = (
        f"log loss {abs(found.mean):.4f} {'lower' if found.mean > 0 else 'higher'} than the champion's over "
        f"{found.days} held-out days, at least {found.lower:+.4f} better with {gate.confidence:.0%} confidence"
    )
    if found.mean >= gate.margin and found.lower > 0:
        return Register(reason)
    return Reject(f"{reason}; the gate asks for {gate.margin}")
