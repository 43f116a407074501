"""`refluent plan` and `refluent deploy`: what would change, before anything does."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from functions.manifests.check import check
from functions.manifests.findings import Finding, finding
from functions.manifests.read import Kind, read

COLOURS = {"error": "red", "policy": "yellow", "warning": "dim"}
console = Console(highlight=False, markup=False, emoji=False)  # names and reasons are anybody's text

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def plan(
    names: Annotated[list[str] | None, typer.Argument(help="More files, with --manifest.")] = None,
    manifest: Annotated[list[Path] | None, typer.Option(help="Check deployment manifests from anywhere.")] = None,
    registry: Annotated[list[str] | None, typer.Option(help="With --manifest: a host images may come from.")] = None,
    as_json: Json = False,  # noqa: FBT002  # typer's flags are arguments with defaults
) -> None:
    """Check deployment manifests: exit code 1 if IoT Edge would reject or misread one of them."""
    files = [*(manifest or []), *(Path(name) for name in names or [])]
    if not manifest:
        raise typer.BadParameter("give --manifest FILE…")
    checked = [(path, *_checked(path, registry or [])) for path in files]
    if as_json:
        found = [
            {"file": str(path), "kind": kind, "findings": [asdict(one) for one in findings]}
            for path, kind, findings in checked
        ]
        typer.echo(json.dumps(found, indent=1))
    else:
        for path, kind, findings in checked:
            _tell(path, kind, findings)
    if any(one.severity == "error" for _, _, findings in checked for one in findings):
        raise typer.Exit(1)


def _checked(path: Path, registries: list[str]) -> tuple[Kind, list[Finding]]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        return "not-a-deployment", [finding("FILE_UNREADABLE", (), str(problem.strerror))]
    manifest = read(data, name=path.name)
    return manifest.kind, check(manifest, registries=registries)


def _tell(path: Path, kind: Kind, findings: list[Finding]) -> None:
    counts = [f"{n} {word}" for word in COLOURS if (n := sum(one.severity == word for one in findings))]
    console.print(
        Text.assemble((str(path), "bold"), f"  {kind}: {', '.join(counts) or 'nothing to find'}"), soft_wrap=True
    )
    for one in findings:
        where = one.pointer or "the file"
        line = Text.assemble(
            "  ", (f"{one.severity:<7} {one.code}", COLOURS[one.severity]), f" at {where}: {one.reason}; "
        )
        console.print(line.append(one.fix, "italic"), soft_wrap=True)
