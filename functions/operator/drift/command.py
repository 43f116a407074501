"""The command `refluent drift`: its arguments; numpy and pyarrow are imported when it runs, not with every command."""

from pathlib import Path
from typing import Annotated

import typer


def drift(  # noqa: PLR0917  # typer makes options of them
    reference: Annotated[Path, typer.Argument(help="What is usual: a Parquet or CSV file, or - for a pipe.")],
    current: Annotated[Path, typer.Argument(help="What is asked about: another one.")],
    window: Annotated[
        str, typer.Option(help="Rows, such as 500, or a span: '6 hours', '1 day', 'month'. Default: about 30 windows.")
    ] = "",
    context: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare like with like: a column, or hour, weekday or month of the time, in UTC. Repeatable."
        ),
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Compare only this column. Repeatable.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Leave this column out. Repeatable.")] = None,
    score: Annotated[str, typer.Option(help="Column with a model's answers.")] = "",
    time: Annotated[str, typer.Option(help="Column with the time. Default: the first that holds times.")] = "",
    tolerance: Annotated[
        float, typer.Option(min=0, max=0.99, help="Change of a share that is nobody's concern.")
    ] = 0.0,
    false_alarm_every: Annotated[
        float, typer.Option(min=100, max=1e12, help="Windows without drift, on average.")
    ] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines; see docs/drift.md.")] = False,  # noqa: FBT002  # typer's flags
    plot: Annotated[Path | None, typer.Option(help="Write a picture: a .png, .svg or .pdf file.")] = None,
) -> None:
    """Say whether a file has drifted from another, in what, since when. Exit code 0: no; 3: yes; 4: too few rows."""
    from functions.drift.policy import DriftSettings  # noqa: PLC0415 # see above
    from functions.operator.drift.columns import Wish  # noqa: PLC0415
    from functions.operator.drift.telling import tell  # noqa: PLC0415

    wish = Wish(
        columns=tuple(column or ()),
        ignored=tuple(ignore or ()),
        contexts=tuple(dict.fromkeys(context or ())),
        score=score,
        time=time,
        window=window,
    )
    settings = DriftSettings(scores=bool(score), tolerance=tolerance, false_alarm_every=false_alarm_every)
    raise typer.Exit(tell(reference, current, wish, settings=settings, as_json=as_json, plot=plot))
