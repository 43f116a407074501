"""The year again under one policy: a simulated clock, the real decisions, and the losses of bench.loop_matrix.

A day's flights are served by that day's champion. Their labels land in the night after, a file an airport; the timer
looks an hour later, and what it starts is trained, judged and rolled out before the first flight of the morning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.loop_matrix import (
    DAYS,
    FIRST,
    KINDS,
    LOOP,
    START,
    TRAIN_DAYS,
    Learns,
    Matrix,
    learnt_days,
    learnt_rows,
    year,
)
from functions.drift.decide import Drifted
from functions.drift.decide import decide as judge_window
from functions.drift.ledger import MessageKey
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from functions.loops import Gate, Retrain
from functions.ports import JobOutcome
from functions.promotion.decide import Register
from functions.promotion.decide import decide as judge_challenger
from functions.promotion.report import Report
from functions.retraining.decide import Backlog, Job, Launch, Wish
from functions.retraining.decide import decide as decide_to_train
from laptop.flights import SITES
from sketch.profile import Profile
from sketch.sketch import Sketch

LANDS, LOOKS = timedelta(minutes=10), timedelta(minutes=70)  # after midnight


@dataclass(frozen=True, slots=True)
class Policy:
    """What the loop's decisions are given.

    Args:
        name: In figures.
        about: For people.
        retrain: For retraining; None never trains again.
        drift: For drift; None watches nothing.
        gate: For promotion; None promotes every challenger unasked.
        serves: Whether a model that serves has learnt "all" days, as the pipeline's have, or is the one that it was
            judged by, which has not learnt the "held-out" ones.
        watch: Whether somebody outside watches the share of late flights, and orders a job when it has moved.
        labels_after: Days until a flight's label is known; 1 is the night after.
    """

    name: str
    about: str
    retrain: Retrain | None
    drift: DriftSettings | None = None
    gate: Gate | None = None
    serves: Learns = "all"
    watch: bool = False
    labels_after: int = 1


@dataclass(slots=True)
class Outcome:
    """What came of a policy.

    Args:
        loss: Mean log loss a flight, nats, of the days after the first model's.
        launches: When each job was started.
        reasons: Why each was.
        promoted: How many models became the champion.
        verdicts: What the gate said to each; empty if it was not asked.
    """

    loss: float = np.nan
    launches: list[datetime] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    promoted: int = 0
    verdicts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Landed:
    """A file that no job has taken."""

    at: datetime
    rows: int


class LabelWatch:
    """Somebody who sees the landed labels, and orders a job once a new one seems worth its price.

    What a new model would gain is put at what a constant guess would: the share of late flights in the last 90 days,
    against that share when the champion was trained. To it comes what a model is taken to lose by age alone.

    Args:
        model: Day on whose evening the champion was trained.
    """

    PRICE = 60.0  # nats, summed over flights
    AGEING = 0.2  # nats a day, and a day more of it each day

    def __init__(self, model: int) -> None:
        self._model, self._guessed, self._aged = model, 0.0, 0.0

    def look(self, day: int) -> list[Wish]:
        """Take a day's labels into account; `refluent train flight-delays --because ...`, or nothing."""
        late, rows = late_flights(day, day)
        old, new = (_share(*late_flights(model - TRAIN_DAYS + 1, model)) for model in (self._model, day - 1))
        guessed = late * np.log(new / old) + (rows - late) * np.log((1 - new) / (1 - old))
        self._guessed = max(0.0, self._guessed + guessed)
        self._aged += self.AGEING * (day - self._model)
        because = f"late flights: {old:.1%} when the champion was trained, {new:.1%} now"
        return [Wish("operator", because)] if self._guessed + self._aged > self.PRICE else []


def late_flights(first: int, last: int) -> tuple[float, int]:
    """Late flights and all flights of some days."""
    rows = year().days(max(first, 0), last)
    return float(year().label[rows].sum()), rows.stop - rows.start


def _share(late: float, rows: int) -> float:
    return late / rows


def mean_loss(losses: NDArray[np.float64], rows: NDArray[np.int64], champions: Sequence[int], *, start: int) -> float:
    """Mean log loss a flight, nats, of the days after `start`.

    Args:
        losses: Summed by model and day, shape (models, days).
        rows: Flights, shape (days,).
        champions: The model of each day after `start`.
        start: Day on whose evening the first model was trained.
    """
    days = np.arange(start + 1, len(rows))
    return float(losses[np.asarray(champions), days].sum() / rows[days].sum())


def replay(known: Matrix, policy: Policy, *, start: int = START) -> Outcome:
    """Go through the year day by day."""
    outcome, fleet = Outcome(), _Fleet(policy)
    champion, champions, landed, wishes = start, list[int](), list[Landed](), list[Wish]()
    tried = set[int]()  # drift asks once per champion: docs/decisions/0011
    watch = LabelWatch(start) if policy.watch else None
    for day in range(start + 1, DAYS):
        champions.append(champion)
        midnight = datetime.combine(FIRST + timedelta(day + 1), time(), UTC)
        news = fleet.serve(champion, day)
        wishes += [Wish("drift", explanation) for explanation in news if champion not in tried]
        newest = day + 1 - policy.labels_after
        if newest > start:
            landed += [Landed(midnight + LANDS, rows) for rows in known.rows[newest].tolist() if rows]
            wishes += watch.look(newest) if watch else []
        decision = _decide(policy, landed, wishes, outcome.launches, now=midnight + LOOKS)
        if isinstance(decision, Launch) and day < DAYS - 1:
            outcome.launches.append(midnight + LOOKS)
            outcome.reasons.append(decision.reason)
            tried.add(champion)
            if _promotes(known, policy, champion, newest, outcome):
                champion, outcome.promoted = newest, outcome.promoted + 1
            landed, wishes = [], []
            watch = LabelWatch(champion) if watch else None
    losses = known.all if policy.serves == "all" else known.held_out
    outcome.loss = mean_loss(losses.sum(axis=2), known.rows.sum(axis=1), champions, start=start)
    return outcome


def _decide(
    policy: Policy, landed: Sequence[Landed], wishes: Sequence[Wish], launches: Sequence[datetime], *, now: datetime
) -> object:
    if policy.retrain is None:
        return None
    times = [file.at for file in landed]
    backlog = Backlog(
        generation=len(launches) + 2,  # the first model was the first
        sealed=False,
        files=len(landed),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        rows=sum(file.rows for file in landed),
        wishes=tuple(wishes),
        jobs=tuple(Job(at, at + timedelta(hours=1)) for at in launches),
    )
    return decide_to_train(backlog, policy.retrain, now)


def _promotes(known: Matrix, policy: Policy, champion: int, challenger: int, outcome: Outcome) -> bool:
    if policy.gate is None:
        return True
    report = report_of(known, champion, challenger, judged_at=challenger)
    verdict = judge_challenger(JobOutcome("completed"), report, policy.gate)
    outcome.verdicts.append(f"{type(verdict).__name__}: {verdict.reason}")
    return isinstance(verdict, Register)


def report_of(known: Matrix, champion: int, challenger: int, *, judged_at: int) -> Report:
    """What training/evaluate.py writes about two models on the days that the training set of one evening holds out."""
    window = range(max(0, judged_at - TRAIN_DAYS + 1), judged_at + 1)
    days = sorted(set(window) - set(learnt_days("held-out", judged_at)))
    rows = known.rows[days]

    def score(model: int) -> dict[str, object]:
        lost = known.held_out[model, days]

        def by(names: Sequence[str], axis: int) -> dict[str, object]:
            sums = zip(names, rows.sum(axis), lost.sum(axis), strict=True)
            return {name: {"rows": int(n), "log_loss": loss / n} for name, n, loss in sums if n}

        days_named = [(FIRST + timedelta(day)).isoformat() for day in days]
        parts = {"by_day": by(days_named, 1), "by_segment": by(SITES, 0)}
        return {"log_loss": lost.sum() / rows.sum(), "latency_ms": 1.0, **parts}  # latency: not what is tried here

    scores = {"challenger": score(challenger), "champion": score(champion)}
    return Report.model_validate({"rows": int(rows.sum()), "baseline": {"log_loss": 1.0}, **scores})


class _Fleet:
    """One device an airport; each sends a sketch a day.

    Args:
        policy: What is watched, and which models serve.
    """

    def __init__(self, policy: Policy) -> None:
        self._settings, self._learns = policy.drift, policy.serves
        self._states: dict[str, DeviceState] = {}

    def serve(self, model: int, day: int) -> list[str]:
        """Count a day under a model; explain the drifts that are news."""
        if self._settings is None:
            return []
        news, profile = list[str](), profile_of(self._learns, model)
        for place, site in enumerate(SITES):
            sketch = sketch_of(self._learns, model, day, place)
            key = MessageKey(site, LOOP.name, str(model), profile.hash, "the year", day)
            state, found = judge_window(self._states.get(site), sketch, key, profile=profile, settings=self._settings)
            self._states[site] = state
            if isinstance(found, Drifted) and found.is_news:
                news.append(f"{site}: {found.explanation}")
        return news


@lru_cache(maxsize=512)
def profile_of(learns: Learns, model: int) -> Profile:
    """The reference of a model: what it learnt."""
    known, rows = year(), learnt_rows(learns, model)
    unwatched = np.full(len(rows), np.nan)  # the loop does not watch the scores
    return Profile.build(known.of(rows), kinds=KINDS, scores=unwatched)


@lru_cache(maxsize=100_000)
def sketch_of(learns: Learns, model: int, day: int, place: int) -> Sketch:
    """What a device saw on one day."""
    known, sketch = year(), Sketch(profile_of(learns, model))
    rows = known.days(day, day)
    here = np.flatnonzero(known.site[rows] == place) + rows.start
    sketch.add(known.of(here), np.full(len(here), np.nan))
    return sketch
