"""The table of training jobs, as far as more than one module reads or writes it."""

from functions.errors import Transient
from functions.loops import Loop
from functions.ports import Row, Rows, Stored

JOBS = "jobs"
REGISTERED = "registered"  # its model passed the gate, and was not taken back since


def registered_versions(rows: Rows, loop: Loop) -> set[int]:
    """Versions that jobs of this loop made and the gate let through."""
    return {int(str(job.row["version"])) for job in rows.find(JOBS, loop.name, state=REGISTERED)}


def champion(rows: Rows, loop: Loop) -> str | None:
    """The newest of them, which a challenger has to beat; None before the first."""
    newest = max(registered_versions(rows, loop), default=None)
    return None if newest is None else str(newest)


def rewritten(rows: Rows, loop: Loop, job: Stored, values: Row) -> Stored:
    """A job's row with some values changed, written only if it is as it was read.

    Raises:
        Transient: Somebody changed it meanwhile.
    """
    wanted = {**job.row, **values}
    if rows.replace(JOBS, loop.name, stored=job, row=wanted):
        now = rows.get(JOBS, loop.name, job.key)
        if now is not None and now.row == wanted:
            return now
    why, fix = "its row changed meanwhile", "the next try sees what it came to"
    raise Transient(f"{job.key} is judged by another instance too", why=why, fix=fix)
