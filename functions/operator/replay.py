"""`refluent replay`: let functions take once more what they did not take, or could not use then."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from functions.deadletters import (
    DEADLETTER,
    FAILED,
    ORDERED,
    QUARANTINE,
    RECORDED,
    REPLAYED,
    TAKING,
    TELEMETRY,
    WAITING,
    Letter,
    letters,
    order,
)
from functions.deployed import SUBSCRIPTIONS
from functions.errors import Refused
from functions.quantities import span
from functions.wiring import Cloud, cloud

LOOK_EVERY_S = 0.5
STATES = (WAITING, ORDERED, TAKING, REPLAYED, FAILED)


def replay(
    *,
    since: Annotated[str, typer.Option(help='Given up on since: "2 hours", or 2026-03-01T12:00+00:00.')] = "",
    function: Annotated[str, typer.Option(help="Only what this function did not take.")] = "",
    code: Annotated[str, typer.Option(help="Only with this quarantine code or dead-letter reason.")] = "",
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="What is in quarantine, not dead letters.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Recorded events: a JSON array, for --function.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was replayed before: it changes nothing.")] = False,
    because: Annotated[str, typer.Option(help="Your reason; it is kept in the journal.")] = "the cause is mended",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed, and do nothing.")] = False,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for the app to come to an end.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Order what lies in the dead-letter container to be taken once more; exit code 1 if something was not taken.

    The app itself does it, by its own rights: this command needs to read and write the data account, and no key.
    """
    here, container = cloud(), QUARANTINE if quarantined else DEADLETTER
    known = bool(function) and function in SUBSCRIPTIONS
    if (function and not known and function != TELEMETRY) or (file and not known):
        why, fix = f"{function or 'none'} is none of them", f"name one of {', '.join(SUBSCRIPTIONS)}"
        raise Refused("replay needs a function that takes events", why=why, fix=fix)
    if file and not dry_run:
        _bring(here, file, function)
    after = _after(here.now(), since)
    chosen = [
        one for one in letters(here.rows, here.blobs, container) if _wanted(one, after, function, code, again=again)
    ]
    if dry_run:
        _tell(chosen, as_json=as_json, title="would be replayed")
        return
    order(here.rows, chosen, because=because, at=here.now())
    done = _follow(here, container, {one.key for one in chosen}, wait_s)
    _tell(done, as_json=as_json, title="were replayed")
    if any(one.state != REPLAYED for one in done):
        raise typer.Exit(1)


def _wanted(one: Letter, after: datetime | None, function: str, code: str, *, again: bool) -> bool:
    return (
        (again or one.state != REPLAYED)
        and function in ("", one.function)
        and code in ("", one.reason)
        and (after is None or (one.at is not None and one.at >= after))
    )


def _after(now: datetime, since: str) -> datetime | None:
    if not since:
        return None
    try:
        return now - span(since)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(since)
    except ValueError as problem:
        why, fix = str(problem), 'say "2 hours", "3 days", or a time with its zone'
        raise Refused(f"--since {since!r} is no time", why=why, fix=fix) from problem
    if found.tzinfo is None:
        raise Refused(f"--since {since!r} has no zone", why="it could be any", fix="add +00:00 for UTC")
    return found


def _bring(here: Cloud, file: Path, function: str) -> None:
    """Keep recorded events beside dead letters, under the name of their content."""
    data = file.read_bytes()
    try:
        events = json.loads(data)
    except ValueError as problem:
        raise Refused(f"{file} holds no events", why=str(problem), fix="give a JSON array of events") from problem
    if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
        raise Refused(f"{file} holds no events", why="it is no array of objects", fix="give a JSON array of events")
    name = f"{RECORDED}/{function.upper().replace('_', '-')}/{sha256(data).hexdigest()}.json"
    here.blobs.create(DEADLETTER, name, data)


def _follow(here: Cloud, container: str, keys: set[str], wait_s: float) -> Sequence[Letter]:
    """Wait until the app has come to an end with what was ordered; say how far it is."""
    console, left = Console(stderr=True), wait_s
    with console.status(f"0 of {len(keys)}") as line:
        while True:
            done = [one for one in letters(here.rows, here.blobs, container) if one.key in keys]
            open_ = sum(one.state in (ORDERED, TAKING) for one in done)
            line.update(f"{len(keys) - open_} of {len(keys)}; the app takes them with its next turn")
            if not open_ or left <= 0:
                return done
            time.sleep(LOOK_EVERY_S)
            left -= LOOK_EVERY_S


def _tell(found: Sequence[Letter], *, as_json: bool, title: str) -> None:
    summary = {state: number for state, number in Counter(one.state for one in found).items() if number}
    if as_json:
        rows = [{**asdict(one), "at": one.at and one.at.isoformat()} for one in found]
        typer.echo(json.dumps({"summary": summary, "letters": rows}, indent=1))
        return
    table = Table(
        "function", "event", "given up on", "why", "state", title=f"{len(found)} {title}", title_justify="left"
    )
    for one in found:
        at = f"{one.at:%d %B %H:%M:%S}" if one.at else ""
        table.add_row(one.function or "?", _about(one), at, one.reason, f"{one.state} {one.detail}".strip())
    Console(highlight=False, markup=False, emoji=False).print(table)
    typer.echo(", ".join(f"{summary[state]} {state}" for state in STATES if state in summary) or "nothing")


def _about(one: Letter) -> str:
    return str((one.event or {}).get("subject", one.blob)).removeprefix("/blobServices/default/containers/")
