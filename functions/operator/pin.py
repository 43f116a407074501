"""An operator's word on what devices serve: `refluent pin` and `refluent unpin`."""

from typing import Annotated

import typer

from functions.operator.orders import order
from functions.wiring import Cloud, cloud


def pin(
    loop: str,
    version: str,
    because: Annotated[str, typer.Option(help="Why; it is shown until the pin is lifted.")],
    ring: Annotated[str, typer.Option(help="Only this ring.")] = "",
) -> None:
    """Make devices serve a version, whatever automation does, until `refluent unpin`."""
    here = cloud()
    _known(here, loop)
    names = [one.name for one in here.settings.loops[loop].rollout.ring]
    if ring and ring not in names:
        typer.echo(f"{loop} has no ring {ring!r}; its rings are {', '.join(names)}", err=True)
        raise typer.Exit(1)
    if here.registry.get(loop, version) is None:
        typer.echo(f"the registry has no {loop}:{version}; see refluent status", err=True)
        raise typer.Exit(1)
    order(here.rows, loop, {"kind": "pin", "version": version, "ring": ring, "because": because, "at": here.now()})
    typer.echo(f"{ring or 'every ring'} of {loop} is pinned to version {version}; see refluent watch")


def unpin(loop: str) -> None:
    """Let automation decide again what devices serve."""
    here = cloud()
    _known(here, loop)
    order(here.rows, loop, {"kind": "pin", "version": "", "ring": "", "because": "", "at": here.now()})
    typer.echo(f"{loop} is not pinned any more; see refluent watch")


def _known(here: Cloud, loop: str) -> None:
    if loop not in here.settings.loops:
        typer.echo(f"there is no loop {loop!r}; the loops are {', '.join(here.settings.loops)}", err=True)
        raise typer.Exit(1)
