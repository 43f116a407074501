"""The command line: what people ask and order, here and in Azure."""

import json
import random  # noqa: TID251  # the order in which a person sends files, at their wish
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from functions.journal import Entry, entries
from functions.operator.approve import approve
from functions.operator.doctor.command import doctor
from functions.operator.drift.command import drift
from functions.operator.picture import picture
from functions.operator.pin import pin, unpin
from functions.operator.plan import deploy, plan
from functions.operator.profile import app as profiles
from functions.operator.replay import replay
from functions.operator.status import readable, status, why
from functions.operator.train import train
from functions.operator.verify import verify
from functions.wiring import cloud

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The loop that keeps models on edge devices good.",
)
console = Console(highlight=False, markup=False, emoji=False)  # names and reasons are anybody's text

app.command("verify")(verify)

LANDING = "landing"
COLOURS = {
    "Launch": "green",
    "Retry": "yellow",
    "Register": "green",
    "Deploy": "green",
    "Advance": "green",
    "Finish": "green",
    "Drifted": "magenta",
    "Gap": "yellow",
    "Open": "magenta",
    "Widen": "magenta",
    "Tell": "bold magenta",
    "Resolve": "green",
    "Judge": "magenta",
    "Quarantine": "red",
    "GiveUp": "red",
    "Reject": "yellow",
    "Pause": "red",
    "Stall": "bold yellow",
    "RollBack": "red",
    "Image": "green",
    "NoImage": "red",
    "Pin": "yellow",
    "Unpin": "yellow",
    "AwaitApproval": "yellow",
    "Approve": "green",
    "HoldForBudget": "yellow",
}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


app.command("doctor")(doctor)
app.command("replay")(replay)
app.command("train")(train)
app.command("approve")(approve)
app.command("drift")(drift)
app.add_typer(profiles, name="profile")
app.command("picture")(picture)
app.command("pin")(pin)
app.command("unpin")(unpin)


@app.command("status")
def show_status(as_json: Json = False) -> None:  # noqa: FBT002  # typer's flags are arguments with defaults
    """Say where every loop stands."""
    here = cloud()
    found = status(here.rows, here.settings.loops)
    if as_json:
        typer.echo(json.dumps([asdict(loop) for loop in found], indent=1))
        return
    for loop in found:
        table = Table(title=f"loop {loop.loop}", show_header=False, title_justify="left")
        states = ", ".join(f"{number} {state}" for state, number in loop.uploads.items()) or "none"
        table.add_row("uploads", f"{states}; generation {loop.generation}")
        if loop.held:
            table.add_row("held", "\n".join(f"{what}: {reason}" for what, reason in loop.held.items()))
        table.add_row("retraining", loop.retraining or "nothing decided yet")
        table.add_row("jobs", "\n".join(f"{name}: {state}" for name, state in loop.jobs.items()) or "none")
        table.add_row("models", "\n".join(f"{loop.loop}:{v}: {state}" for v, state in loop.rollouts.items()) or "none")
        if loop.underway:
            table.add_row("underway", "\n".join(f"{loop.loop}:{v}: {way}" for v, way in loop.underway.items()))
        without = "none" if here.settings.registry_id else "none: CONTAINER_REGISTRY_ID is not set"
        table.add_row("images", "\n".join(f"{loop.loop}:{v}: {it}" for v, it in loop.images.items()) or without)
        if loop.pin:
            table.add_row("pinned", loop.pin)
        if loop.drift:
            table.add_row("drift", "\n".join(f"{name}: {said}" for name, said in loop.drift.items()))
        table.add_row("devices", "\n".join(f"{name}: {reason}" for name, reason in loop.devices.items()) or "none")
        table.add_row("last", "\n".join(loop.last) or "nothing decided yet")
        console.print(table)


@app.command("why")
def show_why(subject: str, as_json: Json = False) -> None:  # noqa: FBT002  # as above
    """Print the chain of decisions about a blob, generation (loop#1), job, model (loop:1), device or drift (loop~1)."""
    here = cloud()
    chain = why(here.rows, here.settings.loops, subject)
    if as_json:
        typer.echo(json.dumps([readable(entry) for entry in chain], indent=1))
    for entry in [] if as_json else chain:
        tell(entry, whole=True)
    if not chain:
        loops = ", ".join(here.settings.loops)
        typer.echo(f"nothing was decided about {subject!r}; the loops are {loops}: see refluent status", err=True)
        raise typer.Exit(1)


@app.command("watch")
def show_watch(as_json: Json = False) -> None:  # noqa: FBT002  # as above
    """Print decisions as they are taken, until Ctrl-C."""
    for entry in new_decisions():
        if as_json:
            typer.echo(json.dumps(readable(entry)))
        else:
            tell(entry)


@app.command("send")
def send(
    path: Annotated[Path, typer.Argument(exists=True, help="A file, or a folder whose layout is kept.")],
    to: Annotated[str, typer.Option(help="Folder of the landing container: <loop>/<site>.")],
    duplicate: Annotated[bool, typer.Option(help="Send everything twice.")] = False,  # noqa: FBT002  # as above
    shuffle: Annotated[bool, typer.Option(help="In any order.")] = False,  # noqa: FBT002  # as above
    as_json: Json = False,  # noqa: FBT002  # as above
) -> None:
    """Upload a file or a folder to the landing container, as a site's cloud share does."""
    files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    names = {found: f"{to.strip('/')}/{found.relative_to(path.parent if path.is_file() else path)}" for found in files}
    queue = files * (2 if duplicate else 1)
    if shuffle:
        random.shuffle(queue)
    blobs = cloud().blobs
    for found in track(queue, "sending", console=Console(stderr=True), disable=len(queue) == 1):
        blobs.put(LANDING, names[found], found.read_bytes())
    sent = [f"{LANDING}/{name}" for name in names.values()]
    typer.echo(json.dumps(sent) if as_json else f"sent {len(queue)} file(s) to {to}; see refluent watch")


app.command("plan")(plan)
app.command("deploy")(deploy)


def new_decisions(every_s: float = 0.5) -> Iterator[Entry]:
    """Decisions as they are journalled, the old ones first, for ever."""
    here, known = cloud(), set[str]()
    while True:
        for entry in entries(here.rows, [*here.settings.loops, "-"]):
            if entry.key not in known:
                known.add(entry.key)
                yield entry
        time.sleep(every_s)


def tell(entry: Entry, *, whole: bool = False) -> None:
    """Print one decision as one line."""
    colour = COLOURS.get(entry.decision, "dim")
    when = (f"{entry.at:%H:%M:%S} {entry.slice:<10} ", "dim")
    line = Text.assemble(
        when, (f"{entry.decision:<13} ", colour), (entry.subject, "bold"), f"  {entry.reason if whole else entry.brief}"
    )
    console.print(line, soft_wrap=True)
