"""`python -m bench.field_gate [--json FILE] [--worlds N]`: what the field gate makes of good and of harmful versions.

Small fleets whose sites differ in how often the thing happens and in how well it can be told, on days that differ. One
of three sites is the canary. Before it gets version 2 it and the others share 0 to 10 periods with version 1, then up
to 80 with one of each; a version goes on from the tenth on, as soon as nothing speaks against it. Harmful ones were
held out like a good one, and promise what a good one does; a tenth more loss than version 1 has is allowed.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figures
from functions.field import Period, Use, counted, grouped, judged
from functions.rollout.gate import judge
from functions.rollout.promise import Promise
from sketch.calibration import Calibration
from sketch.features import NumberFeature, cells_of_numbers, count_numbers
from tests.rollout.plant import LIMITS, judgement, reference

type Numbers = NDArray[np.float64]
type Model = Callable[[np.random.Generator, Numbers], Numbers]  # logits of what is true -> scores

SITES, ROWS, DWELL, LOOKS = 3, 280, 10, (5, 6, 8, 10, 11, 12, 14, 17, 20, 25, 30, 40, 60, 80)
BEFORE = (0, 1, 3, 5, 10)
USUAL, SEASON = -1.2, 1.2  # logits: of an average row, and of what is higher where a season comes


def _chance(logits: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-logits))


def _logit(chances: Numbers) -> Numbers:
    return np.log(chances / (1 - chances))


def good(rng: np.random.Generator, truth: Numbers) -> Numbers:
    """A calibrated model that does not know everything."""
    return _chance(0.9 * (truth - USUAL) - 1.15 + rng.normal(0, 0.5, len(truth)))


def better(rng: np.random.Generator, truth: Numbers) -> Numbers:
    """One that knows more."""
    return _chance(0.97 * (truth - USUAL) - 1.18 + rng.normal(0, 0.25, len(truth)))


def out_of_date(rng: np.random.Generator, truth: Numbers) -> Numbers:
    """A good one that has not heard of the season."""
    return good(rng, truth - SEASON)


def _bad(change: Callable[[np.random.Generator, Numbers], Numbers]) -> Model:
    return lambda rng, truth: change(rng, good(rng, truth))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of version 2.

    Args:
        name: What it is.
        model: How it answers.
        trained: How it answered held-out rows.
        last: How version 1 answers.
        season: By how much the world differs from when version 1 was trained, logits.
        is_good: Whether it ought to reach everybody.
    """

    name: str
    model: Model
    trained: Model = good
    last: Model = good
    season: float = 0.0
    is_good: bool = False


KINDS = (
    Kind("alike", good, is_good=True),
    Kind("better", better, better, is_good=True),
    Kind("in_season", good, good, out_of_date, SEASON, is_good=True),
    Kind("inverted", _bad(lambda _, scores: 1 - scores)),
    Kind("constant", _bad(lambda _, scores: np.full(len(scores), 0.25))),
    Kind("too_high", _bad(lambda _, scores: _chance(_logit(scores) + 1.2))),
    Kind("noisy", _bad(lambda rng, scores: _chance(_logit(scores) + rng.normal(0, 1.5, len(scores))))),
    Kind("a_bit_noisy", _bad(lambda rng, scores: _chance(_logit(scores) + rng.normal(0, 0.95, len(scores))))),
)


@dataclass
class World:
    """A fleet; everything is drawn from its seed.

    Args:
        seed: Of the world.
        kind: What version 2 is like.
        by_skill: Standard deviation of how well sites can be told, as a logarithm.
        days: How many have been.
    """

    seed: int
    kind: Kind
    by_skill: float
    days: int = 0
    uses: dict[str, dict[str, Use]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.hard = self.rng.normal(0, 0.5, SITES)
        self.skill = np.exp(self.rng.normal(0, self.by_skill, SITES))

    def day(self, *, canary: bool) -> None:
        """A day's message of every site, and what its answers turned out to cost."""
        common = self.kind.season + self.rng.normal(0, 0.4)
        for site in range(SITES):
            hard = USUAL + self.hard[site] + common + self.rng.normal(0, 0.3)
            truth = hard + self.skill[site] * self.rng.normal(0, 1, ROWS)
            version = "2" if canary and site == 0 else "1"
            grid = grids(self.kind)[version]
            scores = (self.kind.model if version == "2" else self.kind.last)(self.rng, truth)
            cells = cells_of_numbers(scores, low=grid.low, width=grid.width)
            told = Period(self.days, ROWS, 100, 0, (), grouped(np.bincount(cells, minlength=259).tolist()))
            mine = self.uses.setdefault(f"d{site}", {})
            mine[version] = counted(mine.get(version), version, [told])
            happened = (self.rng.random(ROWS) < _chance(truth)).astype(np.float64)
            mine[version] = judged(mine[version], [judgement(self.days, scores, happened)])
        self.days += 1

    def ends(self, before: int, *, outcomes: bool) -> str:
        """What becomes of version 2 after so many shared periods with version 1: `on`, `held` or `back`."""
        for _ in range(before):
            self.day(canary=False)
        references = {version: reference(grid) for version, grid in grids(self.kind).items()}
        for number in range(1, LOOKS[-1] + 1):
            self.day(canary=True)
            if number not in LOOKS:
                continue
            uses = self.uses if outcomes else _without_outcomes(self.uses)
            found = judge(uses, "2", "1", references=references, limits=LIMITS, promise=promise(self.kind))
            if found.harm:
                return "back"
            if number >= DWELL and not found.suspect:
                return "on"
        return "held"


def _without_outcomes(uses: dict[str, dict[str, Use]]) -> dict[str, dict[str, Use]]:
    def bare(use: Use) -> Use:
        return Use(use.profile, use.rows, use.requests, use.periods)

    return {device: {version: bare(use) for version, use in used.items()} for device, used in uses.items()}


def _held_out(model: Model, season: float) -> tuple[Numbers, Numbers]:
    """Scores and labels of 30 days at eight sites."""
    rng = np.random.default_rng(5)
    scores, labels = [], []
    for _ in range(30):
        common = season + rng.normal(0, 0.4)
        for _ in range(8):
            hard, skill = USUAL + rng.normal(0, 0.5) + common + rng.normal(0, 0.3), np.exp(rng.normal(0, 0.15))
            truth = hard + skill * rng.normal(0, 1, 100)
            scores.append(model(rng, truth))
            labels.append((rng.random(100) < _chance(truth)).astype(np.float64))
    return np.concatenate(scores), np.concatenate(labels)


@cache
def grids(kind: Kind) -> dict[str, NumberFeature]:
    """What training expected of each version's scores; of version 1, without the season."""
    return {
        "1": count_numbers("score", _held_out(good, 0.0)[0]),
        "2": count_numbers("score", _held_out(kind.trained, kind.season)[0]),
    }


@cache
def promise(kind: Kind) -> Promise:
    """What version 2's answers cost on held-out rows."""
    calibration = Calibration.of(*_held_out(kind.trained, kind.season), grids(kind)["2"])
    if calibration is None:
        raise ValueError("scores are chances")
    return Promise.of([astuple(group) for group in calibration.groups], "log_loss")


def shares(kind: Kind, before: int, worlds: Sequence[int], *, outcomes: bool, by_skill: float) -> Counter[str]:
    """How many of some worlds end how."""
    return Counter(World(seed, kind, by_skill).ends(before, outcomes=outcomes) for seed in worlds)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="bench.field_gate", description=__doc__)
    arguments.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments.add_argument("--worlds", type=int, default=60, help="of each kind and number of shared periods")
    arguments.add_argument("--by-skill", type=float, default=0.15, help="how much sites differ in what can be told")
    given = arguments.parse_args()
    worlds = range(given.worlds)
    figures = Figures(f"The field gate: {given.worlds} worlds a line; shares let on and taken back; the rest is held")
    for kind in KINDS:
        for outcomes in (True, False) if kind.is_good else (True,):
            for before in BEFORE:
                ends = shares(kind, before, worlds, outcomes=outcomes, by_skill=given.by_skill)
                name = f"{kind.name}{'' if outcomes else '_without_outcomes'}_{before}_before"
                line = f"{kind.name.replace('_', ' ')}{'' if outcomes else ', no outcomes'}; {before} shared periods"
                for end, said in (("on", "let on"), ("back", "taken back")):
                    figures.single(f"{name}_{end}", ends[end] / len(worlds), of=f"{line}: {said}")
    figures.tell(given.json)


if __name__ == "__main__":
    main()
