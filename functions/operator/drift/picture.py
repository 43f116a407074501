"""Two files on one page: the evidence over the windows, each feature's distance, the farthest before and after."""

from collections.abc import Sequence
from math import log10
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from functions.operator.drift.compare import Comparison
from functions.operator.drift.ranking import Distances
from sketch.features import CELLS, CategoryFeature, Feature, NumberFeature
from sketch.profile import Profile

BEFORE, AFTER, ALARM = "#8a94a6", "#1f6feb", "#d1242f"
_BARS = 12  # features in the ranking
_SHOWN = 4  # features before and after
_PROFILED = 24  # features of a profile
_NAMES = 8  # categories of one
_CELLS = 4  # of a grid that make one bar
_TALL = 50.0  # Powers of ten: more would make a flat line of the threshold.
_NOTHING = 0.0005  # A share that is not worth a word.
_TICKS = 6  # of an axis
_LOWEST = -3.0  # Less evidence than this is drawn as this.


def draw(found: Comparison, path: Path, *, title: str) -> None:
    """Write the picture."""
    mpl.use("agg")
    figure = Figure(figsize=(13, 9), layout="constrained", facecolor="white")
    figure.suptitle(f"{_short(title, 100)}: {found.verdict}\n{_short(_caption(found), 140)}", fontsize=11)
    grid = figure.add_gridspec(3, 3, height_ratios=(1.1, 1, 1))
    _evidence(figure.add_subplot(grid[0, :]), found)
    _ranking(figure.add_subplot(grid[1:3, 0]), found.features[:_BARS])
    for place, (feature, now) in enumerate(farthest(found)):
        _before_after(figure.add_subplot(grid[1 + place // 2, 1 + place % 2]), feature, now)
    figure.savefig(path, dpi=110)


def farthest(found: Comparison) -> Sequence[tuple[Feature, NDArray[np.int64]]]:
    """The few features that are drawn before and after, each with its rows per cell in the current file."""
    profile = found.profile
    blocks = {(feature.name, feature is profile.scores): (feature, cells) for feature, cells in profile.watched}
    shown = [blocks[one.name, one.is_score] for one in found.features[:_SHOWN]]
    return [(feature, found.counts[cells]) for feature, cells in shown]


def draw_profile(profile: Profile, path: Path) -> None:
    """Write a picture of a profile: every feature's distribution, the first 24."""
    mpl.use("agg")
    shown = profile.watched[:_PROFILED]
    rows = -(-len(shown) // 4)
    figure = Figure(figsize=(14, 2.6 * rows + 0.6), layout="constrained", facecolor="white")
    figure.suptitle(f"profile {profile.hash}: {profile.rows:,} rows", fontsize=11)
    for place, (feature, _) in enumerate(shown, 1):
        axes = figure.add_subplot(rows, 4, place)
        before = np.array(feature.counts, np.float64) / profile.rows
        if isinstance(feature, CategoryFeature):
            largest = np.argsort(-before, kind="stable")[:_NAMES]
            names = [*feature.categories, "(unseen)", "(missing)"]
            axes.bar([_short(names[cell], 10) for cell in largest], before[largest], color=AFTER)
            axes.tick_params(axis="x", rotation=30, labelsize=8)
        else:
            edges = [feature.edge(cell) for cell in range(0, CELLS + 1, _CELLS)]
            axes.stairs(before[1 : CELLS + 1].reshape(-1, _CELLS).sum(axis=1), edges, fill=True, color=AFTER)
            axes.xaxis.set_major_locator(MaxNLocator(_TICKS - 2))
        axes.set_title(_short(feature.name), fontweight="bold")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        _plain(axes)
    figure.savefig(path, dpi=100)


def _caption(found: Comparison) -> str:
    first = found.first
    return first.explanation if first else f"evidence never reached {found.threshold:,.0f}"


def _evidence(axes: Axes, found: Comparison) -> None:
    heights = [max(window.log_evidence / np.log(10), _LOWEST) for window in found.windows]
    places = range(len(heights))
    axes.plot(places, heights, color=AFTER, marker="o", markersize=3, linewidth=1.2)
    axes.axhline(log10(found.threshold), color=ALARM, linestyle="--", linewidth=1)
    alarms = [place for place in places if found.windows[place].alarm]
    axes.plot(alarms, [heights[place] for place in alarms], "o", color=ALARM, markersize=5)
    title = (
        f"evidence of drift, window by window; drift from {found.threshold:,.0f} on (dashed); an alarm begins it anew"
    )
    axes.set(title=title, ylabel="evidence (log)")
    if max(heights) > _TALL:
        axes.set_yscale("symlog", linthresh=log10(found.threshold))
        axes.minorticks_off()
        axes.set_yticks(powers(log10(found.threshold), max(heights)))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(_TICKS, integer=True))
    axes.yaxis.set_major_formatter(lambda height, _: f"$10^{{{round(height, 1):g}}}$")
    step = max(1, -(-len(places) // 16))
    axes.set_xticks(places[::step], [found.windows[place].label for place in places[::step]], rotation=30, ha="right")
    _plain(axes)


def powers(threshold: float, largest: float) -> list[float]:
    """Powers of ten worth a tick: nothing, the threshold, and from there by a factor of about three or more."""
    tall = [step * 10.0**digits for digits in range(1, 10) for step in (1, 3)]
    ticks = [power for power in tall if 2 * threshold <= power <= largest]
    return [0, threshold, *reversed(ticks[:: -max(1, -(-len(ticks) // _TICKS))])]


def _ranking(axes: Axes, features: Sequence[Distances]) -> None:
    shown = list(reversed(features))
    places = np.arange(len(shown))
    axes.barh(places, [one.jensen_shannon for one in shown], color=AFTER, height=0.7)
    axes.barh(places, [one.by_chance for one in shown], color=BEFORE, height=0.7, alpha=0.8)
    axes.set_yticks(places, [_short(one.name) for one in shown])
    axes.set(title="how far each feature lies\n(Jensen-Shannon distance; grey: by chance)")
    _plain(axes)


def _before_after(axes: Axes, feature: Feature, now: NDArray[np.int64]) -> None:
    before = np.array(feature.counts, np.float64)
    shares = before / before.sum(), now / now.sum()
    if isinstance(feature, CategoryFeature):
        _bars(axes, feature, *shares)
    else:
        _steps(axes, feature, *shares)
    axes.set_title(_short(feature.name), fontweight="bold")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)


def _steps(axes: Axes, feature: NumberFeature, before: NDArray[np.float64], now: NDArray[np.float64]) -> None:
    edges = [feature.edge(cell) for cell in range(0, CELLS + 1, _CELLS)]
    for shares, colour, name in ((before, BEFORE, "before"), (now, AFTER, "after")):
        inner = shares[1 : CELLS + 1].reshape(-1, _CELLS).sum(axis=1)
        axes.stairs(
            inner,
            edges,
            fill=colour is BEFORE,
            color=colour,
            alpha=0.55 if colour is BEFORE else 1,
            label=name,
            linewidth=1.4,
        )
    beside = [
        f"{name} {_percent(before[cell])} → {_percent(now[cell])} %"
        for name, cell in (("below", 0), ("above", CELLS + 1), ("missing", CELLS + 2))
        if max(before[cell], now[cell]) > _NOTHING
    ]
    axes.set_xlabel(", ".join(beside), fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(_TICKS - 1))


def _bars(axes: Axes, feature: CategoryFeature, before: NDArray[np.float64], now: NDArray[np.float64]) -> None:
    kept = len(feature.categories)
    names = [*feature.categories, "(unseen)", "(missing)"]
    moved = np.argsort(-np.maximum(before, now), kind="stable")[:_NAMES]
    places = np.arange(len(moved))
    axes.bar(places - 0.2, before[moved], 0.4, color=BEFORE, label="before")
    axes.bar(places + 0.2, now[moved], 0.4, color=AFTER, label="after")
    axes.set_xticks(places, [_short(names[cell], 10) for cell in moved], rotation=30, ha="right", fontsize=8)
    if kept + 2 > _NAMES:
        axes.set_xlabel(f"the {_NAMES} largest of {kept} names", fontsize=8)


def _short(name: str, most: int = 24) -> str:
    plain = name.replace("$", r"\$")
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)
