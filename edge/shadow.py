"""A second model beside the one that serves: it scores the same rows, answers nobody, and only disagreement is told.

It works off the request path, on what there is time for: what does not fit into its queue is left out.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.following import Candidate, Following
from edge.model import Model, ScoringFailed
from edge.preparing import Preparation
from edge.signature import Batch
from edge.wanted import Wanted

QUEUE_ROWS = 20_000  # rows that wait to be scored silently; more are left out, so that memory stays bounded
SIDE = 0.5  # a score on the other side of it is another answer


class Disagreement(msgspec.Struct, frozen=True):
    """How a shadow's scores differed from those that were answered, over the rows it saw.

    Args:
        version: The shadow's.
        rows: How many rows it scored.
        moved: Mean absolute difference of the two scores.
        flipped: Rows whose scores lie on different sides of 0.5.
    """

    version: str
    rows: int
    moved: float
    flipped: int


@dataclass(frozen=True, slots=True)
class _Answered:
    model: Model
    batch: Batch
    scores: NDArray[np.float32]


class Shadow(Following):
    """The model that scores silently, and what it makes of the rows.

    Args:
        preparation: Gets models ready.
        on_change: Called when the state has changed.
    """

    def __init__(self, preparation: Preparation, *, on_change: Callable[[], None]) -> None:
        super().__init__(preparation, slot="shadow", on_change=on_change)
        self.left_out = 0  # rows
        self._queue: deque[_Answered] = deque()
        self._queued_rows = 0
        self._due = asyncio.Event()
        self._forget()

    def offer(self, model: Model, batch: Batch, scores: NDArray[np.float32]) -> None:
        """Give it rows that have been answered; cheap, because it is done between two requests."""
        if self.model is None:
            return
        rows = len(scores)
        if self._queued_rows + rows > QUEUE_ROWS:
            self.left_out += rows
            return
        self._queue.append(_Answered(model, batch, scores))
        self._queued_rows += rows
        self._due.set()

    def take(self) -> Disagreement | None:
        """What came of the rows since the last time; None if there were none."""
        if self.model is None or not self._rows:
            return None
        found = Disagreement(self.model.wanted.version, self._rows, round(self._moved / self._rows, 6), self._flipped)
        self._forget()
        return found

    async def score(self) -> None:
        """Score what is queued, for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            while self._queue:
                await self._compare(self._queue.popleft())

    async def _compare(self, answered: _Answered) -> None:
        self._queued_rows -= len(answered.scores)
        model = self.model
        if model is None:
            return
        if not _asked_with(model, answered):
            why = f"model {answered.model.wanted} is asked with other features than this one needs"
            self._drop(Candidate(model.wanted.version, "failed", why))
            return
        try:
            scores = await asyncio.to_thread(_scores, model, answered)
        except ScoringFailed as problem:
            self._drop(Candidate(model.wanted.version, "failed", problem.reason))
            return
        if model is self.model:
            self._rows += len(scores)
            self._moved += float(np.sum(np.abs(scores.astype(np.float64) - answered.scores)))
            self._flipped += int(np.sum((scores < SIDE) != (answered.scores < SIDE)))

    async def _place(self, model: Model) -> None:
        self._forget()
        self.model = model
        self._rest()

    def _rest(self) -> None:
        if isinstance(self._wish, Wanted) and self.model is not None:
            self._show(Candidate(self.model.wanted.version, "scoring"))
        else:
            self._drop(None)

    def _drop(self, candidate: Candidate | None) -> None:
        self.model = None
        self._queue.clear()
        self._queued_rows = 0
        self._forget()
        self._show(candidate)

    def _forget(self) -> None:
        self._rows, self._moved, self._flipped = 0, 0.0, 0


def _asked_with(shadow: Model, answered: _Answered) -> bool:
    """Whether what the shadow needs is among what was asked with."""
    return shadow.signature.kinds.items() <= answered.model.signature.kinds.items()


def _scores(shadow: Model, answered: _Answered) -> NDArray[np.float32]:
    """The shadow's, whose features may be in another order, and whose categories may have other codes."""
    asked, own = answered.model.signature, shadow.signature
    if own.document.features == asked.document.features:
        return shadow.score(answered.batch)
    named = asked.named(answered.batch)
    return shadow.score(own.batch([named[name] for name in own.kinds]))
