"""Faults on purpose: deliveries duplicated, reordered, delayed and dropped, the way a real event service may."""

import random
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field


class Switches(BaseModel):
    """How deliveries are disturbed; the defaults disturb nothing.

    Args:
        duplicate: Probability that an event is delivered once more.
        duplicate_within_s: The extra copy follows up to so many seconds later.
        reorder_s: Each delivery is held back for a random time up to this, so events closer together than it may swap.
        delay_s: Every delivery is held back for this long.
        drop: Probability that an event is never delivered: what Event Grid does not do, and a handler should survive.
        seed: The same seed and the same events give the same disturbance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    duplicate: float = Field(default=0.0, ge=0, le=1)
    duplicate_within_s: float = Field(default=1.0, ge=0, le=3600)
    reorder_s: float = Field(default=0.0, ge=0, le=3600)
    delay_s: float = Field(default=0.0, ge=0, le=3600)
    drop: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0


class Disturbance:
    """The switches at work."""

    def __init__(self, switches: Switches) -> None:
        self.switches = switches
        self._random = random.Random(switches.seed)  # noqa: S311 - repeatable chance, nothing secret

    def delays_s(self) -> Iterator[float]:
        """How long to hold back each copy of one event: nothing for a dropped one, two values for a duplicated one."""
        switches, chance = self.switches, self._random
        if chance.random() < switches.drop:
            return
        delay_s = switches.delay_s + chance.uniform(0, switches.reorder_s)
        yield delay_s
        if chance.random() < switches.duplicate:
            yield delay_s + chance.uniform(0, switches.duplicate_within_s)
