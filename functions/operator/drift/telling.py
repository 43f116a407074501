"""What `refluent drift` prints, for people or as JSON, and the exit code it ends with."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from functions.drift.policy import DriftSettings
from functions.operator.drift.columns import Wish
from functions.operator.drift.compare import Comparison, compare
from functions.operator.drift.ranking import Distances
from functions.operator.drift.source import Source, opened
from functions.operator.pictures import check_picture, drawing
from sketch.profile import Profile

EXIT_CODES = {"steady": 0, "drift": 3, "too few": 4}
SHAPE = 2  # Version of the printed JSON: fields may come, none goes or changes without a new number.
_ROWS = 15  # of the printed ranking; --json has all
_COLUMNS = ("feature", "JS", "by chance", "PSI", "KS", "moved by", "missing", "unseen", "in a row")
_WIDE, _NARROW = 110, 6  # characters of a terminal that has room for all columns; how many a narrower one gets


def tell(
    reference: Path, current: Path, wish: Wish, *, settings: DriftSettings, as_json: bool, plot: Path | None
) -> int:
    """Compare, print, draw.

    Returns:
        The exit code.

    Raises:
        Refused: The files cannot be compared, or the picture cannot be drawn.
    """
    if plot:
        check_picture(plot)
    with opened(reference) as one, opened(current) as other:
        found = compare(one, other, wish, settings=settings, progress=_progress)
    if plot:
        _draw(found, plot, title=f"{current.name} against {reference.name}")
    if as_json:
        typer.echo(json.dumps(_as_json(found, one, other), indent=1, allow_nan=False))
    else:
        _print(found, one, other)
    return EXIT_CODES[found.verdict]


def _draw(found: Comparison, path: Path, *, title: str) -> None:
    with drawing():
        from functions.operator.drift.picture import draw  # noqa: PLC0415 # matplotlib: half a second, and optional
    draw(found, path, title=title)


def tell_profile(profile: Profile, plot: Path) -> None:
    """Draw a profile.

    Raises:
        Refused: The picture cannot be drawn.
    """
    check_picture(plot)
    with drawing():
        from functions.operator.drift.picture import draw_profile  # noqa: PLC0415 # see _draw
    draw_profile(profile, plot)


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[float], None]]:
    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(f"reading {source.path.name}", total=1.0)
        yield lambda done: shown.update(task, completed=done)


def _as_json(found: Comparison, reference: Source, current: Source) -> dict[str, object]:
    first = found.first
    return {
        "version": SHAPE,
        "verdict": found.verdict,
        "explanation": first.explanation if first else None,
        "feature": first.feature if first else None,
        "since": first.since if first else None,
        "found_at": first.label if first else None,
        "threshold": found.threshold,
        "reference": {"file": str(reference.path), "rows": found.profile.rows, "profile": found.profile.hash},
        "current": {"file": str(current.path), "rows": found.rows},
        "windows": [
            {
                "from": window.label,
                "rows": window.rows,
                "evidence": window.evidence,
                "alarm": window.alarm,
                "feature": window.feature,
                "explanation": window.explanation,
            }
            for window in found.windows
        ],
        "features": [asdict(one) for one in found.features],
        "left_out": [{"column": one.name, "reason": one.reason} for one in found.left_out],
        "notes": list(found.notes),
    }


def _print(found: Comparison, reference: Source, current: Source) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(
        _table(
            found,
            f"{current.path} ({found.rows:,} rows) against {reference.path} ({found.profile.rows:,})",
            width=console.width,
        )
    )
    for one in found.left_out:
        console.print(f"left out {one.name}: {one.reason}", style="dim", soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True)
    console.print(
        _verdict(found),
        style={"drift": "bold red", "steady": "bold green"}.get(found.verdict, "bold yellow"),
        soft_wrap=True,
    )
    if found.verdict == "drift":
        _print_alarms(found, console)


def _verdict(found: Comparison) -> str:
    windows, largest = len(found.windows), max(window.evidence for window in found.windows)
    if first := found.first:
        alarms = sum(window.alarm for window in found.windows)
        return f"drift: {first.explanation} (found at {first.label}; {alarms} of {windows} windows alarm)"
    if found.verdict == "too few":
        return f"too few rows to say: {_lacking(found)}"
    risk = f"a false alarm once in {found.threshold:,.0f} windows"
    return f"steady: {windows} windows, evidence of at most {largest:.3g} of {found.threshold:.3g} ({risk})"


def _lacking(found: Comparison) -> str:
    if len(found.windows) == 1:
        return "one window is not enough; give more rows, or a smaller --window"
    if not any(window.feature for window in found.windows):
        return "the reference is too small to tell anything; give one of some hundred rows"
    return "no change, however large, could have been found with these; give more of the reference, or of both"


def _print_alarms(found: Comparison, console: Console) -> None:
    """The newest alarm about each other feature, which the first explanation does not name."""
    others = {
        window.feature: window
        for window in found.windows
        if window.alarm and found.first and window.feature != found.first.feature
    }
    for window in others.values():
        console.print(f"  also {window.explanation} (at {window.label})", soft_wrap=True)


def _table(found: Comparison, title: str, *, width: int) -> Table:
    """The ranking; a narrow terminal gets the columns that fit, --json has all."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    shown = len(_COLUMNS) if width >= _WIDE else _NARROW
    for name in _COLUMNS[:shown]:
        table.add_column(name, justify="left" if name == "feature" else "right", no_wrap=name != "feature")
    for one in found.features[:_ROWS]:
        table.add_row(*_line(one)[:shown], style="" if one.jensen_shannon > 2 * one.by_chance else "dim")
    if len(found.features) > _ROWS:
        table.caption = f"and {len(found.features) - _ROWS} more: --json has all"
    return table


def _line(one: Distances) -> tuple[str, ...]:
    moved = "" if one.wasserstein is None else f"{one.wasserstein:.3g}"
    if one.deviations is not None:
        moved += f" ({one.deviations:.2g} sd)"
    return (
        one.name,
        f"{one.jensen_shannon:.3f}",
        f"{one.by_chance:.3f}",
        f"{one.psi:.3f}",
        "" if one.kolmogorov_smirnov is None else f"{one.kolmogorov_smirnov:.3f}",
        moved,
        _change(one.missing),
        _change(one.unseen),
        f"{one.autocorrelation:.2f}",
    )


def _change(shares: tuple[float, float]) -> str:
    before, after = (f"{100 * share:.1f}" for share in shares)
    return f"{before} %" if before == after else f"{before} → {after} %"
