"""What a loop's jobs cost this month: price an hour times how long they ran. No clock, no network, no SDK."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

UNKNOWN = timedelta(hours=1)  # what a job is taken to last before one has ended
REMEMBERED = 10  # newest ended jobs that say how long one lasts
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Spent:
    """Money of one calendar month, UTC.

    Args:
        euros: Of ended jobs as measured, of running ones as long as they are expected to run, or already do.
        next_job: What one more job is expected to cost.
    """

    euros: float
    next_job: float


def spent(jobs: Sequence[tuple[datetime, datetime | None]], euros_per_hour: float, now: datetime) -> Spent:
    """Add up what falls into the month of `now`.

    Args:
        jobs: When each was launched, and when it ended; None while it runs. Oldest first.
        euros_per_hour: Of the compute.
        now: Aware, UTC.
    """
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    lasted = [ended - begun for begun, ended in jobs if ended is not None][-REMEMBERED:]
    usual = sum(lasted, timedelta(0)) / len(lasted) if lasted else UNKNOWN
    ends = [(begun, ended or max(now, begun + usual)) for begun, ended in jobs]
    time = sum((ended - max(begun, month) for begun, ended in ends if ended > month), timedelta(0))
    return Spent(time / HOUR * euros_per_hour, usual / HOUR * euros_per_hour)
