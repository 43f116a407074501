"""IoT Hub answers so many requests a minute and holds so many deployments: what is too much waits its turn."""

from datetime import datetime, timedelta

from functions.errors import Full, Throttled
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Row
from functions.rollout.records import ROLLOUTS
from functions.wiring import Cloud

HUB, UNTIL = "#hub", "throttled until"  # no loop has such a name


def is_exhausted(here: Cloud, now: datetime) -> bool:
    """Whether the hub has asked to be left alone for a while."""
    stored = here.rows.get(ROLLOUTS, HUB, UNTIL)
    return stored is not None and now < datetime.fromisoformat(str(stored.row["until"]))


def exhaust(here: Cloud, now: datetime, throttled: Throttled) -> None:
    """Leave the hub alone as long as it asks; every loop, for they share it."""
    row: Row = {"until": now + timedelta(seconds=throttled.after_s), "what": throttled.what}
    if not here.rows.insert(ROLLOUTS, HUB, UNTIL, row=row):
        stored = here.rows.get(ROLLOUTS, HUB, UNTIL)
        if stored:
            here.rows.replace(ROLLOUTS, HUB, stored=stored, row=row)


def tell(here: Cloud, loop: Loop, now: datetime, full: Full) -> None:
    """Write down that a deployment has no place; it is tried again at every turn."""
    reason = f"{full.what}: {full.why}; {full.fix}"
    record(here.rows, Entry(now, loop.name, "rollout", loop.name, "Hold", reason))
