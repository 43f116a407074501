"""`refluent picture`: one page about a loop's devices: their evidence of drift, and what moved from where to where."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Annotated

import typer

from functions.errors import Refused
from functions.field import DEVICES
from functions.journal import entries
from functions.operator import episodes
from functions.operator.pictures import check_picture, drawing
from functions.ports import Row, Rows
from functions.wiring import cloud

COLUMNS = (
    "version", "episode", "feature", "words", "before", "after", "log_evidence", "log_peak",
)  # of a device's row  # fmt: skip
MOST = 40  # devices on one page, those with the most evidence


@dataclass(frozen=True, slots=True)
class Portrait:
    """One device on the page.

    Attributes:
        name: Device, and model version.
        powers: Evidence of drift, as a power of ten.
        drifts: Whether it goes on.
        share: What moved, such as "temp, share above 39.04"; "" for nothing.
        before: That share in the reference, 0..1.
        after: That share when it was found, 0..1.
    """

    name: str
    powers: float
    drifts: bool
    share: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Page:
    """What is drawn.

    Attributes:
        title: The loop, and its open episodes.
        devices: The most evidence first.
        left_out: How many more there are.
        alone: Power of ten of the evidence that names a device alone.
        together: Likewise, when all of them drift.
    """

    title: str
    devices: Sequence[Portrait]
    left_out: int
    alone: float
    together: float


def picture(
    loop: Annotated[str, typer.Argument(help="Name of the loop.")],
    to: Annotated[Path, typer.Option(help="Where to write it: a .png, .svg or .pdf file.")] = Path("drift.png"),
) -> None:
    """Draw a loop's devices: the evidence of drift of each, what names it, and what moved from where to where."""
    here = cloud()
    known = here.settings.loops.get(loop)
    if known is None:
        fix = f"name one of {', '.join(here.settings.loops)}"
        raise Refused(f"there is nothing to draw of {loop}", why="there is no such loop", fix=fix)
    check_picture(to)
    page = page_of(here.rows, loop, patience=known.drift.false_alarm_every)
    if not page.devices:
        raise Refused(
            f"there is nothing to draw of {loop}", why="no device has told anything", fix="wait for telemetry"
        )
    _draw(page, to)
    typer.echo(f"{to}: {len(page.devices)} device{'s' * (len(page.devices) > 1)}, {page.title}")


def page_of(rows: Rows, loop: str, *, patience: float) -> Page:
    """What a loop's rows show now.

    Args:
        rows: Of the app.
        loop: Its name.
        patience: Windows of one device, on average, until a false alarm.
    """
    seen = rows.columns(DEVICES, loop, *COLUMNS)
    found = [_portrait(stored.key, stored.row) for stored in seen if "version" in stored.row]
    found.sort(key=lambda one: (-one.powers, one.name))
    told = episodes.shown(rows, loop, entries(rows, [loop]))
    title = "\n".join(f"{name}: {said}" for name, said in list(told.items())[:3]) or "no drift"
    alone, together = (log(patience * times) / log(10) for times in (max(len(found), 1), 1))
    return Page(f"{loop}\n{title}", found[:MOST], max(len(found) - MOST, 0), alone, together)


def _portrait(key: str, row: Row) -> Portrait:
    drifts = row.get("episode", 0) != 0
    evidence = float(str(row.get("log_peak" if drifts else "log_evidence", 0.0)))
    share = f"{row['feature']!s}, {row['words']!s}" if drifts else ""
    numbers = [float(str(row.get(name, 0.0))) if drifts else 0.0 for name in ("before", "after")]
    name = f"{key.partition('/')[0]} (version {row['version']!s})"
    return Portrait(name, max(evidence, 0.0) / log(10), drifts, share, *numbers)


def _draw(page: Page, path: Path) -> None:
    with drawing():
        from functions.operator.drawing import draw  # noqa: PLC0415 # matplotlib: half a second, and optional
    draw(page, path)
