"""Is the challenger better? No clock, no network, no SDK."""

from dataclasses import dataclass
from math import isinf

from functions.loops import METRICS, Gate
from functions.ports import JobOutcome
from functions.promotion.interval import LEAST_DAYS, Day, Gain, gain
from functions.promotion.limits import broken
from functions.promotion.report import Report, Score


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


def decide(outcome: JobOutcome, report: Report | None, gate: Gate, *, rival: str = "", champion: str = "") -> Decision:
    """Register a challenger that beats the champion with confidence, or only is not beaten by it: as the gate says.

    Without a champion the baseline is to be beaten, whatever the gate says.

    Args:
        outcome: Where the job stands.
        report: What it says about its model; None for nothing usable.
        gate: What a better model is.
        rival: Version that the job was given to beat; "" for none.
        champion: Version that is to be beaten now; "" for none.
    """
    if outcome.status == "running":
        return Wait("the job is running")
    if outcome.status != "completed":
        return GiveUp(f"the job {outcome.status}{': ' + outcome.detail if outcome.detail else ''}")
    if report is None:
        return GiveUp("the job wrote no usable model and report")
    return _judge(report, gate, rival=rival, champion=champion)


def _judge(report: Report, gate: Gate, *, rival: str, champion: str) -> Decision:
    if rival != champion:
        return Reject(f"it was compared with {_named(rival)}, and by now the champion is {_named(champion)}")
    if report.champion is None and rival:
        return Reject(f"the report does not score {_named(rival)}, which is to be beaten")
    if report.champion is None:
        return _against_baseline(report, gate)
    return _against_champion(report, report.champion, gate)


def _named(version: str) -> str:
    return f"version {version}" if version else "no model"


def _against_baseline(report: Report, gate: Gate) -> Decision:
    guess, found = report.baseline.value(gate.metric), report.challenger.value(gate.metric)
    name = METRICS[gate.metric]
    if guess is None or found is None:
        return Reject(f"the report has no {name} of the model and of a constant guess")
    reason = f"{name} {found:.4f} against {guess:.4f} for a constant guess"
    better = guess - found
    return Register(f"first model: {reason}") if better >= gate.margin else Reject(f"no better than guessing: {reason}")


def _against_champion(report: Report, champion: Score, gate: Gate) -> Decision:
    days = _paired(report.challenger, champion, gate.metric)
    if isinstance(days, str):
        return Reject(days)
    found = gain(days, gate.confidence)
    if found.days < LEAST_DAYS:
        return Reject(f"only {found.days} held-out days; {LEAST_DAYS} are needed")
    judged = _unless_worse if gate.promote == "unless proven worse" else _if_better
    reason, objection = judged(found, gate)
    objections = [one for one in (objection, *broken(gate, report.challenger, champion)) if one]
    return Reject("; ".join([reason, *objections])) if objections else Register(reason)


def _if_better(found: Gain, gate: Gate) -> tuple[str, str]:
    """What was found, and what the gate has against it: that the challenger is not surely better."""
    said = _said(found, gate)
    enough = found.mean >= gate.margin and found.lower > 0
    told = (
        said
        if isinf(found.lower)
        else f"{said}, at least {found.lower:+.4f} better with {gate.confidence:.0%} confidence"
    )
    return told, "" if enough else f"the gate asks for {gate.margin}"


def _unless_worse(found: Gain, gate: Gate) -> tuple[str, str]:
    """Likewise: that the challenger is surely worse; or that so few days could not show it if it were."""
    said = _said(found, gate)
    if isinf(found.upper):
        return said, "more days are needed to prove a model worse"
    told = f"{said}, at most {found.upper:+.4f} better with {gate.confidence:.0%} confidence"
    return (told, "it is proven worse") if found.upper < 0 else (f"{told}: not proven worse", "")


def _paired(challenger: Score, champion: Score, metric: str) -> list[Day] | str:
    """What each day says about the two models; or why they cannot be compared."""
    mine, theirs = challenger.by_day, champion.by_day
    if {day: part.rows for day, part in mine.items()} != {day: part.rows for day, part in theirs.items()}:
        return "the report scores the models on different rows"
    losses = [(day, part.rows, theirs[day].value(metric), part.value(metric)) for day, part in mine.items()]
    days = [Day(day, rows, old - new) for day, rows, old, new in losses if old is not None and new is not None]
    return days if len(days) == len(losses) else f"the report has no {METRICS[metric]} of both models by day"


def _said(found: Gain, gate: Gate) -> str:
    way = "lower" if found.mean > 0 else "higher"
    mean = f"{METRICS[gate.metric]} {abs(found.mean):.4f} {way} than the champion's over {found.days} held-out days"
    return f"{mean}, too few for a bound with {gate.confidence:.0%} confidence" if isinf(found.lower) else mean
