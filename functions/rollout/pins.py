"""An operator's pin: layers above all others, kept equal to what the table says."""

from datetime import datetime

from functions.errors import Refused, Transient
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Deployment, Row, Stored
from functions.rollout import effects, rings
from functions.rollout.records import PINS, Pin, Standing
from functions.wiring import Cloud

CHANGING = "changing"  # instead of a pin: nobody has said yet that the hub has what was wanted
APPLIED = "applied"  # the pin that the hub has; compared with the one that is wanted, so that no call is made in vain


def obey(here: Cloud, loop: Loop, told: Standing, now: datetime) -> None:
    """Make the hub's pins what the operator ordered: the wanted one is made before the others are deleted.

    Raises:
        Refused: The pinned version or ring does not exist.
    """
    wanted = f"{told.pin.version} {told.pin.ring}" if told.pin else ""
    applied = here.rows.get(PINS, loop.name, APPLIED)
    if wanted == (str(applied.row["pin"]) if applied else ""):
        return
    before, changing = _begin(here, loop, applied)
    deployment = _layer(here, loop, told, told.pin) if told.pin else None
    if deployment:
        effects.apply(here, deployment)
    for one in here.fleet.deployments():
        ours = one.labels.get("loop") == loop.name and "pin" in one.labels
        if ours and one.id != (deployment.id if deployment else ""):
            here.fleet.delete(one.id)
    was = f"was {before.strip()}" if before else "was none"
    subject = f"{loop.name}:{told.pin.version}" if told.pin else loop.name
    reason = (
        f"{told.pin.ring or 'every ring'}: {told.pin.because} ({was})" if told.pin else f"the pin is lifted ({was})"
    )
    links = (deployment.id,) if deployment else ()
    record(here.rows, Entry(now, loop.name, "rollout", subject, "Pin" if told.pin else "Unpin", reason, links))
    if not here.rows.replace(PINS, loop.name, stored=changing, row={"pin": wanted}):
        here.rows.change(
            PINS, loop.name, keys=[APPLIED], values={"pin": CHANGING}
        )  # whoever came between may be undone


def _begin(here: Cloud, loop: Loop, applied: Stored | None) -> tuple[str, Stored]:
    """Say that the hub's pins change, before they do: if this turn dies, the next looks, whatever is wanted by then.

    Returns:
        The pin before, and the row as it stands.
    """
    known = str(applied.row["pin"]) if applied else ""
    before = str(applied.row.get("before", "")) if applied and known == CHANGING else known
    row: Row = {"pin": CHANGING, "before": before}
    if applied is None:
        here.rows.insert(PINS, loop.name, APPLIED, row=row)
    elif known != CHANGING:
        here.rows.replace(PINS, loop.name, stored=applied, row=row)
    changing = here.rows.get(PINS, loop.name, APPLIED)
    if changing is None or changing.row["pin"] != CHANGING:
        why, fix = "its row changed meanwhile", "the next turn sees what is wanted then"
        raise Transient(f"the pin of {loop.name} is set by another instance too", why=why, fix=fix)
    return before, changing


def _layer(here: Cloud, loop: Loop, told: Standing, pin: Pin) -> Deployment:
    model = here.registry.get(loop.name, pin.version)
    if model is None or "sha256" not in model.lineage:
        why, fix = (
            "the registry has no such version, or nobody knows its files",
            f"refluent pin {loop.name} with another",
        )
        raise Refused(f"{loop.name}:{pin.version} cannot be pinned", why=why, fix=fix)
    names = [ring.name for ring in loop.rollout.ring]
    if pin.ring and pin.ring not in names:
        why, fix = f"the rings are {', '.join(names)}", f"refluent unpin {loop.name}, then pin one of these"
        raise Refused(f"ring {pin.ring!r} of {loop.name} cannot be pinned", why=why, fix=fix)
    newest = told.records[-1] if told.records else None
    members = newest.members if newest else {}
    index = names.index(pin.ring) if pin.ring else None
    return rings.pin(loop, model, index, store=here.settings.blob_endpoint, members=members)
