"""`refluent doctor`: every examination at the same time, each by itself, and what they found."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from functions.errors import LoopError, Refused
from functions.operator.doctor import events, fleet, own, rights, rollouts, storage, workspace
from functions.operator.doctor.finding import Finding, Level
from functions.operator.doctor.patient import Patient
from functions.secrecy import redacted
from functions.settings import read

type Check = Callable[[Patient], Iterator[Finding]]

CHECKS: Sequence[Check] = (
    own.identity,
    own.versions,
    storage.blobs,
    storage.tables,
    storage.waiting,
    workspace.workspace,
    workspace.named_by_loops,
    workspace.profiles,
    fleet.hub,
    fleet.deployments,
    rollouts.rollouts,
    events.topic,
    events.subscriptions,
    events.app,
    events.telemetry,
)
IN_AZURE: Sequence[Check] = (*CHECKS, rights.rights)
COLOURS: Mapping[Level, str] = {"ok": "green", "warning": "yellow", "error": "red"}
SIGNS: Mapping[Level, str] = {"ok": "✓", "warning": "!", "error": "✗"}


def doctor(
    *,
    azure: Annotated[
        bool, typer.Option("--azure", help="Also the rights of the app's identity, which only Azure has.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say what is wrong with this app and all it stands on, and what mends it; exit code 1 if something is."""
    found = list(examine(os.environ, IN_AZURE if azure else CHECKS))
    worst = Counter(one.level for one in found)
    if as_json:
        typer.echo(json.dumps({"summary": dict(worst), "findings": [asdict(one) for one in found]}, indent=1))
    else:
        _show(found)
    if worst["error"]:
        raise typer.Exit(1)


def examine(environment: Mapping[str, str], checks: Sequence[Check]) -> Iterator[Finding]:
    """Everything that can be found out; what one examination fails with is a finding too.

    Args:
        environment: Where the settings stand.
        checks: What to look at.
    """
    yield from own.settings_of_triggers(environment)
    loops, told = own.readable_loops(Path(environment.get("LOOPS_FOLDER") or "loops"))
    yield from told
    try:
        settings = read(environment)
    except Refused as broken:
        yield Finding("settings", "error", broken.what, broken.why, broken.fix)
        yield Finding(
            "settings", "warning", "no service was looked at", "it takes settings to find them", "mend them first"
        )
        return
    patient = Patient(environment, settings, loops)
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        started = [(check, pool.submit(_all, check, patient)) for check in checks]
        for check, running in started:
            problem = running.exception()
            yield from [_failed(check, problem)] if problem else running.result()


def _all(check: Check, patient: Patient) -> list[Finding]:
    return list(check(patient))


def _failed(check: Check, problem: BaseException) -> Finding:
    name = check.__module__.rpartition(".")[2] if check.__name__ == "rights" else check.__name__
    what = f"{name.replace('_', ' ')}: the examination could not end"
    if isinstance(problem, LoopError):
        return Finding(name, "error", what, redacted(f"{problem.what}: {problem.why}"), problem.fix)
    why, fix = redacted(f"{type(problem).__name__}: {problem}"), "report it: a doctor should not fall ill"
    return Finding(name, "error", what, why, fix)


def _show(found: Sequence[Finding]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    for one in found:
        style = COLOURS[one.level]
        console.print(
            Text.assemble((f"{SIGNS[one.level]} ", style), (f"{one.check:<14}", "dim"), one.what), soft_wrap=True
        )
        if one.level != "ok":
            console.print(Text.assemble("    because: ", one.why, "\n    fix: ", (one.fix, "bold")), soft_wrap=True)
    counted = Counter(one.level for one in found)
    console.print(", ".join(f"{counted[level]} {level}" for level in COLOURS if counted[level]))
