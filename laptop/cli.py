"""The command line on a laptop: what functions/operator/cli.py has everywhere, and a stack to try it on."""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from functions.errors import LoopError
from functions.loops import load
from functions.operator.cli import app as operator
from laptop.settings import app_settings, secret_settings
from laptop.stack import MQTT_PORT, Stack
from laptop.up import CannotStart, Up, claimed_stack, forget

HOME = Path(".refluent/stack")
DEMO_HOME = Path(".refluent/demo")
SETTINGS = "settings.json"
console = Console(highlight=False)


@operator.callback()
def attach(
    home: Annotated[Path, typer.Option(envvar="REFLUENT_HOME", help="Folder of the local stack's state.")] = HOME,
) -> None:
    """Keep models on edge devices good. Commands use the settings in the environment, else the stack in --home."""
    saved = home / SETTINGS
    if "DATA_BLOB_ENDPOINT" not in os.environ and saved.is_file():
        chosen = {name: os.environ[name] for name in ("LOOPS_FOLDER",) if name in os.environ}
        os.environ.update({**json.loads(saved.read_text(encoding="utf-8")), **chosen})


@operator.command()
def up(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Option(help="Loopback address; default: the first with free ports.")] = None,
    host: Annotated[bool, typer.Option(help="Run the Functions host; without it, func start may.")] = True,  # noqa: FBT002 # typer's flags
    as_json: Annotated[bool, typer.Option("--json", help="Print the URLs as JSON, on one line.")] = False,  # noqa: FBT002 # as above
) -> None:
    """Bring a stack up and keep it up until Ctrl-C; its state stays in --home."""
    home = Path(ctx.parent.params["home"] if ctx.parent else HOME).resolve()
    folder = Path(os.environ.get("LOOPS_FOLDER", "loops")).resolve()
    load(folder)  # a broken loop is said before anything starts
    settings = {"LOOPS_FOLDER": str(folder)}
    with contextlib.suppress(KeyboardInterrupt), claimed_stack(home, address or _known_address(home)) as stack:
        os.environ.update({**stack_environment(stack), **settings})
        with (
            console.status("starting") as line,
            Up(stack, host=host, progress=line.update, settings=settings) as running,
        ):
            line.stop()
            _save(stack, settings)
            if as_json:
                typer.echo(json.dumps(_urls(stack, host=host)))
            else:
                _greet(stack, host=host)
            while True:
                running.check()
                time.sleep(1)


@operator.command()
def demo(
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    address: Annotated[str | None, typer.Option(help="Loopback address; default: the first with free ports.")] = None,
) -> None:
    """Run the whole loop on real flights, with what it turns down, and tell the story."""
    from laptop.demo import tell  # noqa: PLC0415 # pyarrow and the flights take a second that no other command owes

    home = Path(f"{DEMO_HOME}-{os.getpid()}").resolve()
    with claimed_stack(home, address) as stack:
        os.environ.update(stack_environment(stack))
        try:
            figures = tell(stack, console)
        except KeyboardInterrupt:
            forget(home)
            raise typer.Exit(130) from None
    forget(home)  # not after a failure: its logs are what there is to read
    if as_json:
        as_json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run() -> None:
    """The entry point: errors as what, why and fix, never a traceback."""
    try:
        operator()
    except (LoopError, CannotStart) as problem:
        typer.echo(f"refluent: {problem}", err=True)
        raise SystemExit(2) from None


def stack_environment(stack: Stack) -> dict[str, str]:
    """What points the app, and every SDK under it, at a stack."""
    return {**app_settings(stack), **secret_settings(stack), **stack.sdk_environment()}


def _save(stack: Stack, settings: Mapping[str, str]) -> None:
    whole = {**stack_environment(stack), **settings, "REFLUENT_ADDRESS": stack.address}
    (stack.home / SETTINGS).write_text(json.dumps(whole, indent=1), encoding="utf-8")


def _known_address(home: Path) -> str | None:
    saved = home / SETTINGS
    return json.loads(saved.read_text(encoding="utf-8"))["REFLUENT_ADDRESS"] if saved.is_file() else None


def _urls(stack: Stack, *, host: bool) -> dict[str, str]:
    return {
        "Functions host": stack.host_url if host else "not started: run func start",
        "Blob Storage": stack.blob_url,
        "Table Storage": stack.table_url,
        "Event Grid topic": stack.topic_url,
        "Azure Machine Learning": stack.ml_url,
        "IoT Hub": f"https://{stack.hub_hostname}, MQTT on {MQTT_PORT}",
        "state and logs": str(stack.home),
    }


def _greet(stack: Stack, *, host: bool) -> None:
    table = Table(show_header=False, box=None)
    for name, url in _urls(stack, host=host).items():
        table.add_row(name, url)
    console.print(table)
    said = "In another terminal: refluent watch, refluent send, refluent status. Ctrl-C ends it."
    console.print(f"[bold]up.[/] {said}", soft_wrap=True)
