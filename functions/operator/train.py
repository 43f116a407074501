"""`refluent train`: a person, or continuous integration, asks a loop for a job."""

from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from functions.events import TrainingCodeChanged
from functions.wiring import cloud
from functions.wishes import ask_for_code, order


def train(
    loop: Annotated[str, typer.Argument(help="Which loop.")],
    because: Annotated[str, typer.Option(help="Why; it is journalled with the job.")] = "",
    code_version: Annotated[str, typer.Option(help="New version of the loop's pipeline component.")] = "",
    anyway: Annotated[bool, typer.Option("--anyway", help="Also over budget and in hours set aside.")] = False,  # noqa: FBT002  # typer's flags are arguments with defaults
) -> None:
    """Ask for a training job; the next turn of the retraining timer decides, and says why not."""
    here = cloud()
    found = here.settings.loops.get(loop)
    if found is None:
        _refuse(f"there is no loop {loop!r}; there are: {', '.join(here.settings.loops)}")
    if (code_version and anyway) or not (code_version or because):
        _refuse("say --because, with --anyway if it must be; or --code-version, with --because if you like")
    if code_version:
        new = ask_for_code(here.rows, found, _changed(loop, code_version, because), at=here.now())
    else:
        new = order(here.rows, found, because, anyway=anyway)
    typer.echo("ordered; see refluent status" if new else "ordered before; see refluent status")


def _changed(loop: str, version: str, because: str) -> TrainingCodeChanged:
    try:
        return TrainingCodeChanged(loop=loop, version=version, reason=because)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        _refuse(f"{first['loc'][0]}: {first['msg']}")


def _refuse(problem: str) -> NoReturn:
    typer.echo(problem, err=True)
    raise typer.Exit(2)
