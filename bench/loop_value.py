"""`python -m bench.loop_value [--json FILE] [--picture FILE]`: what retraining gains in a year of real flights.

Every policy goes through the real decisions of functions/retraining, functions/drift and functions/promotion. The gain
is the log loss that it saves over never training again, as a share of what training every day saves. Beside it stands
the best plan with as many jobs that somebody who knew the year could have made.

The settings of our own policies were chosen after seeing this year: see docs/benchmarks.md.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.loop_matrix import DAYS, LOOP, START, TRAIN_DAYS, Learns, Matrix, matrix
from bench.loop_picture import svg
from bench.loop_plan import hindsight
from bench.loop_replay import Policy, mean_loss, replay
from functions.drift.policy import DriftSettings
from functions.loops import Gate, Retrain

FIRST_MODELS = range(
    START, START + 13, 3
)  # one year is one sample: other first days show how far a figure can be trusted
DEFAULT = "both"
WIDTH = 120
UNLESS_WORSE = LOOP.gate.model_copy(update={"promote": "unless proven worse"})
NO_LIMIT = UNLESS_WORSE.model_copy(update={"never_worse": []})
EVERYTHING = DriftSettings(features=(), scores=False, window_rows=1_500, tolerance=0.22)


def retrain(**changes: object) -> Retrain:
    """The loop's own policy, with the spans of a plant instead of a demo's seconds."""
    plant: dict[str, object] = {
        "quiet_for": timedelta(minutes=10),
        "at_most_wait": timedelta(days=1),
        "at_least_files": 1,
        "cool_down": timedelta(days=1),
        "train_on": f"last {TRAIN_DAYS} days",
        "on_drift": "report",
    }
    return LOOP.retrain.model_copy(update={**plant, **changes})


def policies() -> Iterator[Policy]:
    """The rows of the table."""
    yield Policy("never", "never again", None)
    for name, days in (("monthly", 30), ("weekly", 7), ("daily", 1)):
        yield Policy(name, name, retrain(cool_down=timedelta(days=days)))
    data = Policy("data", "data: at_least_rows = 16_000", retrain(at_least_rows=16_000))
    on_drift = retrain(cool_down=timedelta(days=366), on_drift="retrain")
    drift = Policy("drift", "drift: on_drift = retrain", on_drift, drift=EVERYTHING)
    sooner = retrain(cool_down=timedelta(days=22), on_drift="retrain")
    both = Policy(DEFAULT, "both: drift, and cool_down = 22 days", sooner, drift=EVERYTHING)
    ours = (data, drift, both)
    yield from ours
    for one in ours:
        yield other(one, "gate", "if proven better", gate=LOOP.gate)
    for one in ours:
        yield other(one, "unless_worse", "unless proven worse", gate=UNLESS_WORSE)
    yield other(both, "unless_worse_no_limit", "unless proven worse, no limit by site", gate=NO_LIMIT)
    yield other(both, "held_out", "held-out days not learnt, no gate *", serves="held-out")
    yield other(
        both, "gate_held_out", "held-out days not learnt, if proven better *", gate=LOOP.gate, serves="held-out"
    )
    yield replace(both, name="both_labels_later", about="both, labels after 2 days", labels_after=2)
    yearly = retrain(cool_down=timedelta(days=366))
    yield Policy("labels", "ordered from outside, by late flights *", yearly, watch=True)


def other(policy: Policy, name: str, about: str, *, gate: Gate | None = None, serves: Learns = "all") -> Policy:
    """The same policy with another way from job to champion."""
    long, told = f"{policy.name}_{name}", f"{policy.name}, {about}"
    return replace(policy, name=long, about=told, gate=gate, serves=serves)


@dataclass(frozen=True, slots=True)
class Scale:
    """What never and daily cost, and the best plans, for one first model.

    Args:
        never: Nats a flight.
        daily: Nats a flight.
        best: Nats a flight, by number of jobs.
    """

    never: float
    daily: float
    best: NDArray[np.float64]

    @staticmethod
    def of(known: Matrix, start: int) -> "Scale":
        losses, rows = known.all.sum(axis=2), known.rows.sum(axis=1)
        never = mean_loss(losses, rows, [start] * (DAYS - 1 - start), start=start)
        daily = mean_loss(losses, rows, range(start, DAYS - 1), start=start)
        return Scale(never, daily, hindsight(losses, rows, start=start, most_jobs=DAYS - 2 - start))

    def share(self, loss: float) -> float:
        """Of what training daily gains over never training again."""
        return (self.never - loss) / (self.never - self.daily)


@dataclass(frozen=True, slots=True)
class Line:
    """What one policy came to; the shares are of daily's gain.

    Args:
        promoted: Models that served, the first not counted.
        spread: Gain share for each of FIRST_MODELS.
    """

    about: str
    jobs: int
    promoted: int
    log_loss: float
    gain_share: float
    hindsight_gain_share: float
    spread: tuple[float, ...]


def line(known: Matrix, policy: Policy, scales: Mapping[int, Scale]) -> Line:
    """Replay a policy from each first day."""
    found = {start: replay(known, policy, start=start) for start in scales}
    scale, outcome = scales[START], found[START]
    jobs = len(outcome.launches)
    return Line(
        policy.about,
        jobs,
        outcome.promoted,
        outcome.loss,
        scale.share(outcome.loss),
        scale.share(float(scale.best[jobs])),
        tuple(scales[start].share(one.loss) for start, one in found.items()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.loop_value", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--picture", type=Path, help="also draw gain against jobs into this SVG file")
    given = parser.parse_args()
    known = matrix()
    scales = {start: Scale.of(known, start) for start in FIRST_MODELS}
    lines = {
        policy.name: line(known, policy, scales)
        for policy in track(list(policies()), description="replaying the year", transient=True)
    }
    Console(width=max(WIDTH, Console().width)).print(table(lines))
    if given.json:
        given.json.write_text(json.dumps(figures(lines), indent=1) + "\n", encoding="utf-8")
    if given.picture:
        best = [scales[START].share(float(loss)) for loss in scales[START].best]
        reached = {name: (one.jobs, one.gain_share) for name, one in lines.items()}
        given.picture.write_text(svg(reached, best), encoding="utf-8")


def table(lines: Mapping[str, Line]) -> Table:
    """For people."""
    title = f"A year of flights; first model after {START + 1} days, labels after one day"
    caption = "* not what Refluent does by itself"
    shown = Table("policy", "jobs", "promoted", "log loss", "gain", "hindsight", "mean (of 5 first days)", title=title)
    shown.caption, shown.title_justify, shown.caption_justify = caption, "left", "left"
    for column in shown.columns[1:]:
        column.justify = "right"
    for one in lines.values():
        spread = f"{np.mean(one.spread):.2f} ({min(one.spread):.2f} to {max(one.spread):.2f})"
        shares = (f"{one.gain_share:.2f}", f"{one.hindsight_gain_share:.2f}", spread)
        shown.add_row(one.about, str(one.jobs), str(one.promoted), f"{one.log_loss:.4f}", *shares)
    return shown


def figures(lines: Mapping[str, Line]) -> dict[str, float]:
    """For everything else: the figures of when to train, by their bare names, then those of every line."""
    flat = dict[str, float]()
    for prefix, one in [("", lines[DEFAULT]), *((f"{name}_", one) for name, one in lines.items())]:
        flat |= {
            f"{prefix}jobs": one.jobs,
            f"{prefix}gain_share": one.gain_share,
            f"{prefix}hindsight_gain_share": one.hindsight_gain_share,
            f"{prefix}promoted": one.promoted,
            f"{prefix}log_loss": one.log_loss,
            f"{prefix}gain_share_mean": float(np.mean(one.spread)),
        }
    return flat


if __name__ == "__main__":
    main()
