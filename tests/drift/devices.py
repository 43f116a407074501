"""A small plant for the drift tests: three numbers, one category, one score, and messages about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from functions.drift.decide import Decision, decide
from functions.drift.ledger import MessageKey
from functions.drift.policy import DriftSettings
from functions.drift.state import DeviceState
from sketch.features import Column
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch

KINDS: Mapping[str, Kind] = {"temp": "number", "wind": "number", "rain": "number", "carrier": "category"}
type Columns = dict[str, Column]


def draw(rng: np.random.Generator, rows: int) -> Columns:
    """Rows as in training: a normal, a skewed and a mostly-zero number, and three carriers."""
    return {
        "temp": rng.normal(50, 10, rows),
        "wind": np.exp(rng.normal(2, 0.5, rows)),
        "rain": np.where(rng.random(rows) < 0.9, 0.0, rng.random(rows)),
        "carrier": rng.choice(["AA", "B6", "UA"], rows, p=[0.6, 0.3, 0.1]).tolist(),
    }


def profile_of(rows: int, seed: int) -> Profile:
    """The reference of that many rows."""
    rng = np.random.default_rng(seed)
    return Profile.build(draw(rng, rows), kinds=KINDS, scores=rng.beta(2, 5, rows))


REFERENCE = profile_of(20_000, seed=7)


def sketch_of(columns: Columns, scores: Column, profile: Profile = REFERENCE) -> Sketch:
    """A sketch of these rows."""
    sketch = Sketch(profile)
    sketch.add(columns, scores)
    return sketch


def key(sequence: int, *, epoch: str = "e1", version: str = "1", profile: Profile = REFERENCE) -> MessageKey:
    """The key of a message of device lga."""
    return MessageKey("lga", "delays", version, profile.hash, epoch, sequence)


@dataclass
class Device:
    """A device whose messages are decided upon one after another, one full window each."""

    seed: int
    settings: DriftSettings = field(default_factory=DriftSettings)
    profile: Profile = REFERENCE
    state: DeviceState | None = None
    sent: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def windows(self, count: int, **changes: object) -> list[Decision]:
        """Send windows in which columns are replaced by what `changes` makes of them; "score" stands for the scores."""
        decisions = []
        for _ in range(count):
            rows = self.settings.window_rows
            columns = {**draw(self.rng, rows), "score": self.rng.beta(2, 5, rows)}
            columns |= {name: change(columns[name]) for name, change in changes.items() if callable(change)}
            scores = columns.pop("score")
            message = key(self.sent, profile=self.profile)
            sketch = sketch_of(columns, scores, self.profile)
            self.state, decision = decide(self.state, sketch, message, profile=self.profile, settings=self.settings)
            self.sent += 1
            decisions.append(decision)
        return decisions
