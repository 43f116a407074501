"""`python -m bench.gate [--json FILE]`: how often the gate promotes a model that is no better, and one that is.

Real flights, real models, the real gate. Each week of 2013 has a training set of the 90 days before it, and holds out
what `training/prepare.py` would. On each, one model is trained four times, with the rows in another order: none of the
four has a claim to be better than another, and every promotion among them is a false one.

For more replications than there are weeks, two models trained on halves of each set lend their differences, day by day
and site by site: given a sign by chance, they are as large and go wrong together as real ones do, and the truth is
exactly zero. "Weather" keeps one sign for three days in a row. A gain added to every row then measures the power.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.figures import Figures
from functions.loops import Gate, read
from functions.ports import JobOutcome
from functions.promotion.decide import Register, decide
from functions.promotion.report import Report
from laptop.flights import FEATURES, LABEL, SITES, day_tables
from training.boosting import describe, fit
from training.holdout import held_out
from training.losses import log_losses
from training.rows import Column
from training.schema import Kind

LOOP = "flight-delays"
GATE = read(Path(f"loops/{LOOP}.toml")).gate
BOUND_ALONE = Gate(margin=0.0, confidence=GATE.confidence)
KINDS: dict[str, Kind] = {name: "category" if name in ("carrier", "dest") else "number" for name in FEATURES}
YEAR = [date(2013, 1, 1) + timedelta(days=n) for n in range(365)]
TRAINED_DAYS, EVERY_DAYS, ORDERS = 90, 7, 4
HELD_OUT = (5, 10, 21, 42)  # days: the demo's first job holds out 7, 90 days of data about 21
GAINS = (0.002, 0.005, 0.01)  # nats per row
WEATHER_DAYS = 3

type Flights = Mapping[date, Sequence[tuple[str, pa.Table]]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models' losses on the same held-out days.

    Args:
        rows: Shape (days, sites).
        champion: Summed log loss, shape (days, sites).
        challenger: Likewise.
    """

    rows: NDArray[np.float64]
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]

    def report(self) -> Report:
        """What evaluate would have written."""
        days = [f"day {number:02}" for number in range(len(self.rows))]

        def score(lost: NDArray[np.float64]) -> dict[str, object]:
            def by(names: Sequence[str], axis: int) -> dict[str, object]:
                parts = zip(names, self.rows.sum(axis), lost.sum(axis), strict=True)
                return {name: {"rows": int(rows), "log_loss": loss / rows} for name, rows, loss in parts}

            mean = lost.sum() / self.rows.sum()
            return {"log_loss": mean, "by_day": by(days, 1), "by_segment": by(SITES, 0), "latency_ms": 1.0}

        scores = {"champion": score(self.champion), "challenger": score(self.challenger)}
        return Report.model_validate({"rows": int(self.rows.sum()), "baseline": {"log_loss": 1.0}, **scores})

    def gain(self) -> float:
        """By how much the challenger is better, nats per row."""
        return float((self.champion - self.challenger).sum() / self.rows.sum())

    def promoted(self, gate: Gate) -> bool:
        """Ask the gate itself."""
        return isinstance(decide(JobOutcome("completed"), self.report(), gate), Register)


@dataclass(frozen=True, slots=True)
class Asked:
    """Flights of some days, and the day and site each belongs to."""

    columns: Mapping[str, Column]
    label: NDArray[np.float64]
    cell: NDArray[np.intp]
    days: int

    @staticmethod
    def of(days: Sequence[date], flights: Flights) -> "Asked":
        parts = [(place, site, table) for place, day in enumerate(days) for site, table in flights[day]]
        whole = pa.concat_tables([table for _, _, table in parts])
        columns: dict[str, Column] = {
            name: whole[name].to_pylist() if kind == "category" else whole[name].cast(pa.float64()).to_numpy()
            for name, kind in KINDS.items()
        }
        cells = [place * len(SITES) + SITES.index(site) for place, site, _ in parts]
        cell = np.repeat(np.array(cells, np.intp), [table.num_rows for _, _, table in parts])
        return Asked(columns, np.array(whole[LABEL].to_pylist(), np.float64), cell, len(days))

    def summed(self, weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Sums by day and site, shape (days, sites)."""
        return np.bincount(self.cell, weights, self.days * len(SITES)).astype(np.float64).reshape(self.days, -1)

    def lost(self, learnt: "Asked", *, order: int = 0) -> NDArray[np.float64]:
        """What a model costs, by day and site, that was trained on other days, the rows in some order."""
        signature = describe(KINDS, learnt.columns, learnt.label)
        shuffled = np.random.default_rng(order).permutation(len(learnt.label))
        tensor = signature.tensor(learnt.columns, len(learnt.label))
        model = fit(tensor[shuffled], learnt.label[shuffled])
        answers = np.asarray(model.predict(signature.tensor(self.columns, len(self.label))), np.float64)
        return self.summed(log_losses(self.label, answers))


def weeks(flights: Flights) -> Iterator[tuple[list[Pair], Pair]]:
    """For each week: every pair of models retrained on the same data, and a pair trained on its two halves."""
    rng = np.random.default_rng(2013)
    for end in range(TRAINED_DAYS, len(YEAR), EVERY_DAYS):
        days = YEAR[end - TRAINED_DAYS : end]
        held = sorted(day for part in held_out(LOOP, days).values() for day in part)
        learnt, asked = [day for day in days if day not in held], Asked.of(held, flights)
        rows, whole = asked.summed(None), Asked.of(learnt, flights)
        again = [asked.lost(whole, order=order) for order in range(ORDERS)]
        mixed, half = rng.permutation(len(learnt)).tolist(), len(learnt) // 2
        halves = [
            asked.lost(Asked.of([learnt[n] for n in sorted(part)], flights)) for part in (mixed[:half], mixed[half:])
        ]
        yield [Pair(rows, one, other) for one, other in permutations(again, 2)], Pair(rows, *halves)


def simulated(
    halves: Sequence[Pair], *, days: int, alike: int, gain: float, rng: np.random.Generator
) -> Iterator[Pair]:
    """Pairs without end whose difference is `gain` on average, and as noisy as real ones.

    Args:
        halves: Real pairs.
        days: How many held-out days.
        alike: Days in a row that get the same sign.
        gain: Nats per row by which the challenger is better.
        rng: The chance.
    """
    while True:
        drawn = [halves[n] for n in rng.permutation(len(halves))[: 1 + days // 18]]
        rows, champion, other = (
            np.concatenate([getattr(one, name) for one in drawn])[:days] for name in ("rows", "champion", "challenger")
        )
        signs = np.repeat(rng.choice([-1.0, 1.0], size=len(rows)), alike)[: len(rows), np.newaxis]
        yield Pair(rows, champion, champion - signs * (champion - other) - gain * rows)


def rate(pairs: Iterator[Pair], gate: Gate, *, replications: int) -> float:
    """Share of pairs whose challenger is promoted."""
    return sum(next(pairs).promoted(gate) for _ in range(replications)) / replications


def main() -> None:
    arguments = argparse.ArgumentParser(prog="bench.gate", description=__doc__)
    arguments.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments.add_argument("--replications", type=int, default=1000, help="for each simulated rate")
    given = arguments.parse_args()
    flights: dict[date, list[tuple[str, pa.Table]]] = {}
    for site, day, table in day_tables(YEAR[0], YEAR[-1]):
        flights.setdefault(day, []).append((site, table))
    found = list(weeks(flights))
    again, halves = [pair for pairs, _ in found for pair in pairs], [pair for _, pair in found]
    rng = np.random.default_rng(1)
    figures = Figures(
        f"The gate: {len(again)} retrains of {len(found)} weeks; {given.replications} replications a line"
    )
    for name, pairs, of in (("same", again, "the same data"), ("other", halves, "two halves of the data")):
        spread = float(np.std([pair.gain() for pair in pairs]))
        figures.single(f"spread_{name}_data_nats", spread, of=f"nats, how far models of {of} lie apart")
    same = [Pair(pair.rows, pair.champion, pair.champion) for pair in again]
    for name, pairs, of in (("same_model", same, "itself"), ("retrain", again, "a retrain on the same data")):
        share = sum(pair.promoted(GATE) for pair in pairs) / len(pairs)
        figures.single(f"aa_{name}_promoted", share, of=f"share promoted, a model against {of}")
    for name, gate, alike, of in (
        ("false_promotion", GATE, 1, "no better"),
        ("false_promotion_weather", GATE, WEATHER_DAYS, "no better, weather"),
        ("false_promotion_bound", BOUND_ALONE, 1, "no better, no margin and no limits"),
    ):
        for days in HELD_OUT:
            drawn = simulated(halves, days=days, alike=alike, gain=0.0, rng=rng)
            share = rate(drawn, gate, replications=given.replications)
            figures.single(f"{name}_{days}_days", share, of=f"share promoted, {of}; {days} days")
    for gain in GAINS:
        for source, of, days in ((halves, "other data", 21), (halves, "other data", 42), (again, "same data", 21)):
            drawn = simulated(source, days=days, alike=1, gain=gain, rng=rng)
            share = rate(drawn, GATE, replications=given.replications // 2)
            name = f"power_{of.replace(' ', '_')}_{gain:g}_{days}_days"
            figures.single(name, share, of=f"share promoted, better by {gain:g}, {of}; {days} days")
    figures.tell(given.json)


if __name__ == "__main__":
    main()
