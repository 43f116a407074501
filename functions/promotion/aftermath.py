"""What becomes of a job that brings no model? No clock, no network, no SDK."""

from dataclasses import dataclass
from datetime import timedelta

from functions.ports import JobOutcome
from functions.promotion.decide import GiveUp

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Let it be started once more: same generation, same training set, another name."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel it, and give up."""

    reason: str


def aftermath(
    outcome: JobOutcome, *, attempt: int, ran: timedelta, limit: timedelta
) -> GiveUp | TryAgain | Stop | None:
    """Try again once what the platform failed; never what the script failed, or what somebody stopped.

    Args:
        outcome: Where the job stands, by the service's own word.
        attempt: 1, or 2 for one that was started once more.
        ran: Since it was launched.
        limit: How long it may run.

    Returns:
        None for a job that runs within its time, or completed: its model decides.
    """
    detail = f": {outcome.detail}" if outcome.detail else ""
    match outcome.status:
        case "running" if ran > limit:
            return Stop(f"the job runs for {ran / HOUR:.1f} hours, and may for {limit / HOUR:.1f}: it was stopped")
        case "failed" if outcome.blame == "script":
            return GiveUp(f"the job failed{detail}")
        case "failed" | "missing" if attempt == 1:
            return TryAgain(f"the platform failed the job ({outcome.status}){detail}")
        case "failed" | "missing":
            return GiveUp(f"the platform failed the job ({outcome.status}), the second time{detail}")
        case "canceled":
            return GiveUp(f"the job canceled{detail}")
    return None
