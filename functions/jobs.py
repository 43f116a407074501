"""The table of training jobs, as far as more than one slice reads it: whose model is to be beaten."""

from functions.loops import Loop
from functions.ports import Rows

JOBS = "jobs"
REGISTERED = "registered"  # its model passed the gate, and was not taken back since


def registered_versions(rows: Rows, loop: Loop) -> set[int]:
    """Versions that jobs of this loop made and the gate let through."""
    return {int(str(job.row["version"])) for job in rows.find(JOBS, loop.name, state=REGISTERED)}


def champion(rows: Rows, loop: Loop) -> str | None:
    """The newest of them, which a challenger has to beat; None before the first."""
    newest = max(registered_versions(rows, loop), default=None)
    return None if newest is None else str(newest)
