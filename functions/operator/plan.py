"""`refluent plan` and `refluent deploy`: what would change, before anything does; and the order that changes it."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from functions.errors import Throttled
from functions.loops import Loop
from functions.manifests.check import check
from functions.manifests.findings import Finding, finding
from functions.manifests.fleet import CONFIGURATIONS_MAX
from functions.manifests.read import Kind, read
from functions.operator.foresee import Outlook, foresee
from functions.operator.orders import order
from functions.ports import Row
from functions.wiring import Cloud, cloud

COLOURS = {"error": "red", "policy": "yellow", "warning": "dim"}
FAILED, RISKY = 1, 2  # exit codes
ATTEMPTS = 5  # of a question that the hub has no time for
SHOWN = 3  # devices and changes of a group
console = Console(highlight=False, markup=False, emoji=False)  # names and reasons are anybody's text

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="A ring may have no device.")]
OnlyRing = Annotated[str, typer.Option("--ring", help="Only this ring; default: all.")]


def plan(
    names: Annotated[list[str] | None, typer.Argument(help="The loop; or, with --manifest, more files.")] = None,
    *,
    manifest: Annotated[list[Path] | None, typer.Option(help="Check deployment manifests from anywhere.")] = None,
    registry: Annotated[list[str] | None, typer.Option(help="With --manifest: a host images may come from.")] = None,
    to: Annotated[str, typer.Option(help="Version; default: the newest.")] = "",
    ring: OnlyRing = "",
    allow_empty: AllowEmpty = False,
    as_json: Json = False,
) -> None:
    """Say what deploying a version would change, or check manifests. Changes nothing.

    Exit code 1: a ring without devices, or a manifest that IoT Edge would reject or misread. 2: risky, and why.
    """
    if manifest:
        _check([*manifest, *(Path(name) for name in names or [])], registry or [], as_json=as_json)
        return
    if len(names or []) != 1:
        _refuse("name one loop, or give --manifest FILE…")
    here = cloud()
    seen = _foreseen(here, _loop(here, *(names or [])), to, ring)
    _tell_outlook(seen, as_json=as_json)
    _judge(seen, allow_empty=allow_empty)


def deploy(
    loop: Annotated[str, typer.Argument(help="Which loop.")],
    *,
    to: Annotated[str, typer.Option(help="Version: a newer one, or an older one to roll back.")],
    ring: OnlyRing = "",
    because: Annotated[str, typer.Option(help="Why; it is journalled.")] = "refluent deploy",
    allow_empty: AllowEmpty = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also when it is risky.")] = False,
    as_json: Json = False,
) -> None:
    """Plan, then order it: devices serve this version, whatever the rollout does, until refluent unpin.

    The next turn of the rollout timer carries it out. An order to an older version is a rollback.
    """
    here = cloud()
    seen = _foreseen(here, _loop(here, loop), to, ring)
    _tell_outlook(seen, as_json=as_json)
    _judge(seen, allow_empty=allow_empty, anyway=anyway)
    row: Row = {"kind": "pin", "version": seen.version, "ring": ring, "because": because, "at": here.now()}
    order(here.rows, loop, row)
    typer.echo(f"ordered: {loop}:{seen.version} for {ring or 'every ring'}; see refluent watch", err=as_json)


def _loop(here: Cloud, name: str) -> Loop:
    found = here.settings.loops.get(name)
    if found is None:
        _refuse(f"there is no loop {name!r}; there are: {', '.join(here.settings.loops)}")
    return found


def _foreseen(here: Cloud, loop: Loop, version: str, ring: str) -> Outlook:
    """Wait where the hub says so: a person has the time that a function has not."""
    for _ in range(ATTEMPTS):
        try:
            return foresee(here, loop, version, ring=ring)
        except Throttled as problem:
            typer.echo(f"{problem.what}; again in {problem.after_s:.0f} s", err=True)
            time.sleep(problem.after_s)
    return foresee(here, loop, version, ring=ring)


def _judge(seen: Outlook, *, allow_empty: bool, anyway: bool = False) -> None:
    if seen.empty and not allow_empty:
        typer.echo(f"no device is in ring {', '.join(seen.empty)}: mend its condition, or --allow-empty", err=True)
        raise typer.Exit(FAILED)
    if seen.risks and not anyway:
        raise typer.Exit(RISKY)


def _tell_outlook(seen: Outlook, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_json(seen), indent=1))
        return
    made, gone = [one.id for one in seen.change.made], [one.id for one in seen.change.gone]
    _say(f"{seen.loop.name}:{seen.version}", "bold")
    for name, devices in seen.rings.items():
        _say(f"  ring {name}: {len(devices)} device(s)")
    for group in seen.touched:
        before, after = seen.served(group, after=False) or "none", seen.served(group, after=True) or "none"
        some = ", ".join(group.devices[:SHOWN]) + (", …" if len(group.devices) > SHOWN else "")
        _say(f"  {len(group.devices)} device(s) ({some}): {before} -> {after}", "green" if group.changes else "dim")
        for path, was, becomes in group.changes:
            _say(f"    {'/'.join(path)}: {_short(was)} -> {_short(becomes)}")
    _say(f"  configurations: {seen.change.configurations} of {CONFIGURATIONS_MAX}; {len(made)} made, {len(gone)} gone")
    for one in seen.change.overwritten:
        _say(f"  {one.reason}", "dim")
    _say(f"  rollback: {seen.rollback}")
    for risk in seen.risks:
        _say(f"  risky: {risk.code}: {risk.reason}", "red")


def _as_json(seen: Outlook) -> dict[str, object]:
    return {
        "loop": seen.loop.name,
        "version": seen.version,
        "rings": [{"name": name, "devices": len(devices)} for name, devices in seen.rings.items()],
        "groups": [
            {
                "devices": len(group.devices),
                "examples": list(group.devices[:SHOWN]),
                "before": {"version": seen.served(group, after=False), "deployments": group.was.applied},
                "after": {"version": seen.served(group, after=True), "deployments": group.becomes.applied},
                "changes": [
                    {"path": "/".join(path), "before": was, "after": becomes} for path, was, becomes in group.changes
                ],
                "findings": [asdict(one) for one in group.findings],
            }
            for group in seen.touched
        ],
        "made": [one.id for one in seen.change.made],
        "gone": [one.id for one in seen.change.gone],
        "configurations": {"count": seen.change.configurations, "limit": CONFIGURATIONS_MAX},
        "overwritten": [asdict(one) for one in seen.change.overwritten],
        "rollback": seen.rollback,
        "risks": [asdict(one) for one in seen.risks],
    }


def _check(files: list[Path], registries: list[str], *, as_json: bool) -> None:
    checked = [(path, *_checked(path, registries)) for path in files]
    if as_json:
        found = [
            {"file": str(path), "kind": kind, "findings": [asdict(one) for one in findings]}
            for path, kind, findings in checked
        ]
        typer.echo(json.dumps(found, indent=1))
    else:
        for path, kind, findings in checked:
            _tell_findings(path, kind, findings)
    if any(one.severity == "error" for _, _, findings in checked for one in findings):
        raise typer.Exit(FAILED)


def _checked(path: Path, registries: list[str]) -> tuple[Kind, list[Finding]]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        return "not-a-deployment", [finding("FILE_UNREADABLE", (), str(problem.strerror))]
    manifest = read(data, name=path.name)
    return manifest.kind, check(manifest, registries=registries)


def _tell_findings(path: Path, kind: Kind, findings: list[Finding]) -> None:
    counts = [f"{n} {word}" for word in COLOURS if (n := sum(one.severity == word for one in findings))]
    told = f"  {kind}: {', '.join(counts) or 'nothing to find'}"
    console.print(Text.assemble((str(path), "bold"), told), soft_wrap=True)
    for one in findings:
        where = f" at {one.pointer or 'the file'}: {one.reason}; "
        line = Text.assemble("  ", (f"{one.severity:<7} {one.code}", COLOURS[one.severity]), where, (one.fix, "italic"))
        console.print(line, soft_wrap=True)


def _say(text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True)


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004  # what fits beside the path


def _refuse(problem: str) -> NoReturn:
    typer.echo(problem, err=True)
    raise typer.Exit(FAILED)
