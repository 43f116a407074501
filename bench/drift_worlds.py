"""Worlds for `bench.drift_quality`: what 40 devices see before and after something changes, hour by hour.

Eleven columns: nine numbers of different shapes, one category, one score; a declared pair of numbers is the twelfth
channel. Everything comes from standard normal values, so that a change can be said in standard deviations, and so that
rows can be made to resemble their neighbours (autocorrelation) or the hour of the day (season).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

from sketch.counting import cells_of
from sketch.features import TIMES, Column
from sketch.profile import Kind, Profile

DEVICES, WINDOW_ROWS, A_DAY = 40, 200, 24
NUMBERS = tuple(f"x{number}" for number in range(9))
KINDS: Mapping[str, Kind] = {**dict.fromkeys(NUMBERS, "number"), "kind": "category"}
PAIR, CORRELATION = ("x0", "x1"), 0.6
NAMES = np.array(["ash", "beech", "cedar", "elm", "fir", "oak"])
PARTS = np.array([0.4, 0.7, 0.85, 0.93, 0.98])
LATENTS = len(NUMBERS) + 2  # and the score's own part, and the category's

type Floats = NDArray[np.float64]
type Columns = dict[str, Column]


@dataclass(frozen=True, slots=True)
class Change:
    """What is different at some moment; x0 is what changes unless it says otherwise.

    Attributes:
        shift: Of x0, in standard deviations.
        spread: Factor of x0's standard deviation.
        correlation: Of x0 and x1, whose own distributions stay.
        missing: Share of x0 that is missing.
        new: Share of rows with a category that was never seen.
    """

    shift: float = 0.0
    spread: float = 1.0
    correlation: float = CORRELATION
    missing: float = 0.0
    new: float = 0.0


type Moment = Callable[[int], Change]
NOTHING = Change()


@dataclass(frozen=True)
class World:
    """One scenario.

    Attributes:
        name: For people.
        change: What is different so many windows after the change, from 0; None when nothing ever is.
        feature: What an explanation should name.
        alike: Autocorrelation of a row with the next, 0..1.
        season: How far x0 and x2 swing over the day, in standard deviations.
        contexts: Context columns of the profile.
        reference_rows: Rows of the reference: one device's, hour after hour.
        drifting: How many of the devices change.
        shown: Whether river and NannyML see it too, which takes 20 s of a processor.
    """

    name: str
    change: Moment | None = None
    feature: str = "x0"
    alike: float = 0.0
    season: float = 0.0
    contexts: tuple[str, ...] = ()
    reference_rows: int = 20_000
    drifting: int = DEVICES
    shown: bool = False

    def devices(self, devices: int, seed: int) -> "Stream":
        """What so many devices see."""
        return Stream(self, devices, np.random.default_rng(seed))

    def reference(self, seed: int) -> tuple[Columns, Floats]:
        """Columns and scores of the reference, one device's rows in their order."""
        windows = -(-self.reference_rows // WINDOW_ROWS)
        parts = list(self.devices(1, seed).windows(windows, changed_from=windows))
        rows = self.reference_rows
        columns = {name: np.concatenate([columns[name] for columns, _ in parts])[:rows] for name in parts[0][0]}
        return dict(columns), np.concatenate([scores for _, scores in parts])[:rows]

    def profile(self, columns: Columns, scores: Floats) -> Profile:
        """What training makes of a reference."""
        return Profile.build(columns, kinds=KINDS, scores=scores, pairs=[PAIR], contexts=self.contexts)


@dataclass
class Stream:
    """Devices' rows, one window of each at a time."""

    world: World
    devices: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self._last = self.rng.normal(size=(self.devices, LATENTS))

    def windows(self, count: int, *, changed_from: int) -> Iterator[tuple[dict[str, NDArray[np.generic]], Floats]]:
        """Columns and scores of all devices' rows of a window, device after device, each of shape (devices * rows,)."""
        for number in range(count):
            hour = number % A_DAY
            change, world = NOTHING, self.world
            if world.change and number >= changed_from:
                change = world.change(number - changed_from)
            usual, changed = (
                self._seen(latent, hour, one) for latent, one in zip(self._twice(), (NOTHING, change), strict=True)
            )
            row_changes = np.repeat(np.arange(self.devices) < world.drifting, WINDOW_ROWS)
            yield (
                {name: np.where(row_changes, changed[0][name], usual[0][name]) for name in usual[0]},
                np.where(row_changes, changed[1], usual[1]),
            )

    def _twice(self) -> tuple[Floats, Floats]:
        latent = self._latent()
        return latent, latent.copy()

    def _latent(self) -> Floats:
        """Standard normal values of all rows, shape (latents, devices * rows)."""
        noise = self.rng.normal(size=(WINDOW_ROWS, self.devices, LATENTS))
        alike = self.world.alike
        if alike:
            for row in range(WINDOW_ROWS):
                self._last = noise[row] = alike * self._last + np.sqrt(1 - alike**2) * noise[row]
        return noise.transpose(2, 1, 0).reshape(LATENTS, -1)

    def _seen(self, latent: Floats, hour: int, change: Change) -> tuple[dict[str, NDArray[np.generic]], Floats]:
        latent[1] = change.correlation * latent[0] + np.sqrt(1 - change.correlation**2) * latent[1]
        latent[0] = change.spread * latent[0] + change.shift
        swing = self.world.season * np.sin(2 * np.pi * hour / A_DAY)
        latent[0] += swing
        latent[2] += swing
        columns: dict[str, NDArray[np.generic]] = dict(zip(NUMBERS, latent[:9] * 10 + 50, strict=True))
        columns["x4"] = np.exp(latent[4] * 0.5 + 2)
        columns["x5"] = ndtr(latent[5])
        columns["x6"] = np.maximum(latent[6] - 1.2, 0)
        columns["x7"] = np.floor(3 * np.exp(latent[7] * 0.6))
        columns["kind"] = NAMES[np.searchsorted(PARTS, ndtr(latent[10]))].astype(object)
        columns["hour"] = np.full(latent.shape[1], float(hour))
        chance = self.rng.random(latent.shape[1])
        if change.missing:
            columns["x0"] = np.where(chance < change.missing, np.nan, columns["x0"])
        if change.new:
            columns["kind"] = np.where(chance < change.new, "yew", columns["kind"]).astype(object)
        return columns, 1 / (1 + np.exp(-0.3 * latent[0] - latent[9]))


def counted(profile: Profile, columns: Columns, scores: Floats) -> NDArray[np.int64]:
    """The counts of one window of each device, as their sketches would have them, shape (devices, cells)."""
    cells, rows = len(profile.counts), len(scores)
    device = np.arange(rows) // WINDOW_ROWS * cells
    places = cells_of([*profile.features, *profile.pairs], profile.scores, columns=columns, answers=scores)
    found = [place + device + block.start for place, (_, block) in zip(places, profile.watched, strict=True)]
    if profile.contexts:
        found.append(profile.contexts.of(columns, rows) + device + profile.context_block.start)
    return np.bincount(np.concatenate(found), minlength=rows // WINDOW_ROWS * cells).reshape(-1, cells)


def _steadily(change: Change) -> Moment:
    return lambda _: change


def _by_and_by(window: int) -> Change:
    return Change(shift=min(0.5, 0.5 * (window + 1) / 48))


def _now_and_then(window: int) -> Change:
    return Change(shift=0.5) if window % A_DAY < 8 else NOTHING  # noqa: PLR2004 - of 24 hours


@cache
def worlds() -> tuple[World, ...]:
    """All scenarios, those without any change first."""
    half = _steadily(Change(shift=0.5))
    season = World("season, contexts", season=1.0, contexts=("hour",))
    return (
        World("nothing changes", shown=True),
        *(World(f"nothing changes, reference of {rows} rows", reference_rows=rows) for rows in (64, 200, 1_000, 5_000)),
        World("autocorrelation .5", alike=0.5),
        World("autocorrelation .9", alike=0.9, shown=True),
        season,
        replace(season, name="season, contexts, reference of 4,800 rows", reference_rows=4_800),
        replace(season, name="season, contexts, autocorrelation .5", alike=0.5),
        replace(season, name="season, no contexts", contexts=(), shown=True),
        World("0.1 sd", _steadily(Change(shift=0.1))),
        World("0.2 sd", _steadily(Change(shift=0.2)), shown=True),
        World("0.5 sd", half, shown=True),
        World("1 sd", _steadily(Change(shift=1.0))),
        World("deviation x 1.3", _steadily(Change(spread=1.3)), shown=True),
        World("variance x 1.3", _steadily(Change(spread=1.3**0.5))),
        World("correlation only", _steadily(Change(correlation=0.0)), f"{PAIR[0]}{TIMES}{PAIR[1]}"),
        World("5 % missing", _steadily(Change(missing=0.05)), shown=True),
        World("2 % new category", _steadily(Change(new=0.02)), "kind"),
        World("gradual, to 0.5 sd in 48 windows", _by_and_by),
        World("recurring, 0.5 sd for 8 windows of 24", _now_and_then),
        World("one device of 40, 0.5 sd", half, drifting=1),
        World("0.5 sd, autocorrelation .5", half, alike=0.5),
        World("0.5 sd, autocorrelation .9", half, alike=0.9),
        replace(season, name="0.5 sd, season, contexts", change=half),
        replace(season, name="0.5 sd, season, contexts, reference of 4,800 rows", change=half, reference_rows=4_800),
        World("0.5 sd, reference of 64 rows", half, reference_rows=64),
        World("0.5 sd, reference of 1,000 rows", half, reference_rows=1_000),
    )
