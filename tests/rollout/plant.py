"""A small fleet for the gate: sites that differ, days that differ, and versions that answer well or not."""

from collections.abc import Callable
from dataclasses import astuple, dataclass, field

import numpy as np
from numpy.typing import NDArray

from functions.field import Judged, Period, Use, counted, grouped, judged
from functions.loops import Rollout
from functions.rollout.decide import Field
from functions.rollout.gate import Reference, judge
from functions.rollout.promise import Promise
from sketch.calibration import Calibration
from sketch.features import NumberFeature, cells_of_numbers, count_numbers
from sketch.losses import brier, log_loss

type Scores = NDArray[np.float64]
LIMITS = Rollout.model_validate({"ring": [{"name": "all", "devices": "tags.fleet = 'ny'", "dwell": "0 s"}]})


def answers(rng: np.random.Generator, rows: int, *, harder_by: float = 0.0) -> Scores:
    """Probabilities of a model on a day: most low, some high."""
    return 1 / (1 + np.exp(-(rng.normal(-1.2 + harder_by, 1.0, rows))))


def expected(change: Callable[[Scores], Scores] = lambda scores: scores, *, seed: int = 5) -> NumberFeature:
    """What training expects of a version, on days of every kind."""
    rng = np.random.default_rng(seed)
    days = [answers(rng, 200, harder_by=rng.normal(0, 0.4)) for _ in range(60)]
    return count_numbers("score", change(np.concatenate(days)))


def held_out() -> Calibration:
    """What a version costs whose scores are the chances of what happens, on days of every kind."""
    rng = np.random.default_rng(5)
    scores = np.concatenate([answers(rng, 200, harder_by=rng.normal(0, 0.4)) for _ in range(60)])
    found = Calibration.of(scores, (rng.random(len(scores)) < scores).astype(np.float64), expected())
    assert found
    return found


def promised() -> Promise:
    """What its training promises of such a version."""
    return Promise.of(map(astuple, held_out().groups), "log_loss")


@dataclass
class Plant:
    """A fleet whose sites and days differ.

    Args:
        seed: Of everything that is drawn.
        sites: How many devices; the first ones are the canary.
        by_site: Standard deviation of what makes sites differ, in units of the scores' own spread.
        by_day: The same of days, common to all sites.
        by_both: The same of what only one site has on one day.
    """

    seed: int
    sites: int = 3
    by_site: float = 0.5
    by_day: float = 0.4
    by_both: float = 0.3
    rows: int = 280
    old: NumberFeature = field(default_factory=expected)
    uses: dict[str, dict[str, Use]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.hard = self.rng.normal(0, self.by_site, self.sites)
        self.days = 0
        self.fate = np.random.default_rng(self.seed + 1_000)  # its own, so that outcomes change no scores

    def day(
        self,
        *,
        canaries: int = 0,
        change: Callable[[Scores], Scores] = lambda scores: scores,
        new: NumberFeature | None = None,
        failing: float = 0.0,
        slower_by: int = 0,
        season: float = 0.0,
        outcomes: bool = False,
    ) -> None:
        """A day's message of every device; the first `canaries` of them have the new version.

        The old version's scores are the chances of what happens; with `outcomes` it becomes known.
        """
        common = season + self.rng.normal(0, self.by_day)
        for site in range(self.sites):
            has_new = site < canaries
            hard = self.hard[site] + common + self.rng.normal(0, self.by_both)
            scores = answers(self.rng, self.rows, harder_by=hard)
            grid = new if has_new and new else self.old
            told = change(scores) if has_new else scores
            cells = cells_of_numbers(told, low=grid.low, width=grid.width)
            mine = self.uses.setdefault(f"d{site}", {})
            version = "2" if has_new else "1"
            latencies = np.bincount(self.rng.poisson(2, 100) + (slower_by if has_new else 0), minlength=16)[:16]
            period = Period(
                at=self.days,
                rows=self.rows,
                requests=100,
                failed=int(self.rng.binomial(100, failing if has_new else 0.001)),
                latencies=tuple(latencies.tolist()),
                scores=grouped(np.bincount(cells, minlength=259).tolist()),
            )
            mine[version] = counted(mine.get(version), version, [period])
            if outcomes:
                happened = (self.fate.random(self.rows) < scores).astype(np.float64)
                mine[version] = judged(mine[version], [judgement(self.days, told, happened)])
        self.days += 1

    def look(self, new: NumberFeature | None = None, promise: Promise | None = None) -> Field:
        """What the gate says now."""
        references = {"1": reference(self.old), "2": reference(new or self.old)}
        return judge(self.uses, "2", "1", references=references, limits=LIMITS, promise=promise)


def canary(seed: int, *, before: int, outcomes: bool = True) -> Plant:
    """A version like the last one after forty days on one of three devices, which shared some days before it."""
    plant = Plant(seed)
    for _ in range(before):
        plant.day(outcomes=outcomes)
    for _ in range(40):
        plant.day(canaries=1, outcomes=outcomes)
    return plant


def judgement(at: int, scores: Scores, happened: Scores) -> Judged:
    """What a day's answers turned out to cost."""
    logs, squares = log_loss(happened, scores), brier(happened, scores)
    sums = [float(one.sum()) for loss in (logs, squares) for one in (loss, loss**2)]
    return Judged(at, len(scores), int(happened.sum()), *sums)


def reference(feature: NumberFeature) -> Reference:
    return Reference.of(feature.low, feature.width, feature.counts)
