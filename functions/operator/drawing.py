"""A loop's devices as a picture: bars of evidence against what names a device, and shares before and after."""

import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from functions.operator.drift.picture import AFTER, ALARM, BEFORE
from functions.operator.picture import Page

_TALL = 50.0  # Powers of ten: from here on the scale is logarithmic, or the threshold would be a hair.
_WIDE = 150  # Letters of a title's line.
_MARGIN = 0.2  # Inches beside names and shares.


def draw(page: Page, path: Path) -> None:
    """Write the picture; a name's $ is a $, and no formula."""
    mpl.use("agg")
    height = 2.8 + 0.42 * len(page.devices)
    figure = Figure(figsize=(14, height), layout=ConstrainedLayoutEngine(w_pad=_MARGIN), facecolor="white")
    lines = [part for line in page.title.splitlines() for part in textwrap.wrap(line, _WIDE) or [""]]
    figure.suptitle(_plain("\n".join(lines)), fontsize=10)
    evidence, shares = figure.subplots(1, 2, sharey=True)
    _evidence(evidence, page)
    _shares(shares, page)
    evidence.invert_yaxis()
    figure.savefig(path, dpi=110)


def _evidence(axes: Axes, page: Page) -> None:
    places = np.arange(len(page.devices))
    colours = [ALARM if one.drifts else BEFORE for one in page.devices]
    axes.barh(places, [one.powers for one in page.devices], color=colours, height=0.6)
    axes.axvline(page.together, color=AFTER, linestyle=":", label="names a device when all drift")
    axes.axvline(page.alone, color=AFTER, linestyle="--", label="names one alone")
    axes.set_yticks(places, [_plain(one.name) for one in page.devices])
    if max(one.powers for one in page.devices) > _TALL:
        axes.set_xscale("symlog", linthresh=page.together)
    axes.xaxis.set_major_formatter(lambda power, _: f"$10^{{{power:.0f}}}$")
    more = f"; {page.left_out} more have less" if page.left_out else ""
    axes.set_title(f"evidence of drift (red: it goes on{more})", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    _bare(axes)


def _shares(axes: Axes, page: Page) -> None:
    places = np.arange(len(page.devices))
    for shift, colour, label in ((-0.2, BEFORE, "before"), (0.2, AFTER, "after")):
        heights = [getattr(one, label) for one in page.devices]
        axes.barh(places + shift, heights, 0.36, color=colour, label=label)
    for place, one in zip(places.tolist(), page.devices, strict=True):
        moved = f"{_plain(one.share)}: {100 * one.before:.0f} % → {100 * one.after:.0f} %"
        text = moved if one.share else "within tolerance"
        axes.text(1.03, place, text, va="center", fontsize=8, color="black" if one.drifts else BEFORE)
    axes.set_xlim(0, 1.0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_title("what moved most clearly: share of the rows", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
