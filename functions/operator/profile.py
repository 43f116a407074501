"""`refluent profile show`: what a model was trained on, readable."""

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from functions.errors import Refused
from functions.model_folder import CONTAINER
from functions.wiring import cloud

if TYPE_CHECKING:
    from sketch.features import Feature
    from sketch.profile import Profile

app = typer.Typer(no_args_is_help=True, help="Reference profiles of models.")


@app.callback()
def group() -> None:
    """Reference profiles of models."""


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A profile.json, or <model>:<version> of the store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,  # noqa: FBT002  # typer's flags
    plot: Annotated[Path | None, typer.Option(help="Write a picture: a .png, .svg or .pdf file.")] = None,
) -> None:
    """Print what a model was trained on: features, shares, contexts, and how alike neighbouring rows are."""
    from sketch.profile import Profile  # noqa: PLC0415 # numpy: for this command alone

    text = _text(name)
    try:
        profile = Profile.from_json(text)
        canonical = profile.to_json()
    except ValueError as problem:
        fix = "give the profile.json of a model folder, or train the model again"
        raise Refused(f"{name} is no profile", why=str(problem), fix=fix) from problem
    if plot:
        from functions.operator.drift.telling import tell_profile  # noqa: PLC0415 # pyarrow and matplotlib: for a picture

        tell_profile(profile, plot)
    if as_json:
        typer.echo(json.dumps({"hash": profile.hash, **json.loads(canonical)}))
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        _print(profile, console)
        console.print(f"{len(zlib.compress(canonical.encode())):,} bytes compressed", soft_wrap=True)


def _text(name: str) -> str:
    if (path := Path(name)).is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    model, _, version = name.partition(":")
    data = cloud().blobs.read(CONTAINER, f"{model}/{version}/profile.json") if version else None
    if data is None:
        why, fix = "no file and no version is called so", "give a path, or <model>:<version>; see refluent status"
        raise Refused(f"there is no profile {name}", why=why, fix=fix)
    return data.decode("utf-8", errors="replace")


def _print(profile: "Profile", console: Console) -> None:
    table = Table(title=f"profile {profile.hash}: {profile.rows:,} rows", title_justify="left")
    for column in ("feature", "what most rows are", "missing", "outside", "alike in a row"):
        table.add_column(column, justify="left" if column in {"feature", "what most rows are"} else "right")
    for feature, _ in profile.watched:
        missing, outside = feature.counts[-1], _outside(feature)
        shares = (f"{100 * rows / profile.rows:.1f} %" for rows in (missing, outside))
        table.add_row(feature.name, _told(feature), *shares, f"{feature.autocorrelation:.2f}")
    console.print(table)
    contexts = profile.contexts
    if contexts:
        told = f"{len(contexts.keys)} contexts by {contexts.name}; {contexts.counts[-1]:,} rows in no kept one"
        console.print(told, soft_wrap=True)


def _outside(feature: "Feature") -> int:
    """Rows beyond the grid, or of no kept name."""
    from sketch.features import CategoryFeature  # noqa: PLC0415 # see above

    return feature.counts[-2] + (0 if isinstance(feature, CategoryFeature) else feature.counts[0])


def _told(feature: "Feature") -> str:
    """The middle half of a number, or the most frequent names."""
    from sketch.features import CategoryFeature  # noqa: PLC0415 # see above

    known = max(sum(feature.counts[:-1]), 1)
    if isinstance(feature, CategoryFeature):
        named = zip(feature.categories[:3], feature.counts, strict=False)
        return ", ".join(f"{name} {100 * rows / known:.0f} %" for name, rows in named) or "no name"
    if not feature.edges:
        return "no number"
    edges = feature.edges
    lower, middle, upper = (feature.edge(edges[len(edges) * part // 4]) for part in (1, 2, 3))
    return f"half of {lower:.4g} to {upper:.4g}, middle {middle:.4g}"
