"""The blocks of cells that a profile is made of, in the order of the vector of counts.

Every feature owns a block of cells (see `sketch.features`); so does every pair, and the model's scores are one more
number. The last block, if there are contexts, counts the rows of each (see `sketch.contexts`). Each block's counts add
up to the rows. All blocks in a row make one vector of counts, so that adding two sketches is adding two vectors.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sketch.calibration import Calibration
from sketch.contexts import Contexts
from sketch.features import Feature, NumberFeature, PairFeature

type Block = Feature | Contexts


@dataclass(frozen=True, eq=False)
class Blocks:
    """The reference, counted.

    Attributes:
        rows: Reference rows, >= 1.
        features: What the model reads, in the order of its signature.
        scores: The distribution of what the model answered on the reference.
        pairs: Numbers that are watched together.
        contexts: The reference per context; None when none were declared.
        calibration: What answers cost on held-out rows; None when nobody said.
    """

    rows: int
    features: tuple[Feature, ...]
    scores: NumberFeature
    pairs: tuple[PairFeature, ...] = ()
    contexts: Contexts | None = None
    calibration: Calibration | None = None

    @cached_property
    def blocks(self) -> tuple[tuple[Block, slice], ...]:
        """Each feature, each pair, the scores, then the contexts, with the cells that are its own in the counts."""
        start, blocks = 0, list[tuple[Block, slice]]()
        for block in (*self.features, *self.pairs, self.scores, *([self.contexts] if self.contexts else [])):
            blocks.append((block, slice(start, start + block.cells)))
            start += block.cells
        return tuple(blocks)

    @cached_property
    def watched(self) -> tuple[tuple[Feature, slice], ...]:
        """The blocks that have a distribution: each feature, each pair, the scores."""
        return tuple((block, cells) for block, cells in self.blocks if not isinstance(block, Contexts))

    @cached_property
    def score_block(self) -> slice:
        """The cells of the scores."""
        return self.watched[-1][1]

    @property
    def context_block(self) -> slice:
        """The cells of the contexts, one per context and `other`; empty when there are no contexts."""
        return slice(self.score_block.stop, len(self.counts))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Reference rows per cell, all blocks in a row, read-only, shape (cells,)."""
        counts = np.concatenate([np.array(block.counts, np.int64) for block, _ in self.blocks])
        counts.flags.writeable = False
        return counts

    @cached_property
    def stretches(self) -> NDArray[np.intp]:
        """First cells of all stretches that are compared, ascending, in the vector of counts, shape (stretches,)."""
        return np.concatenate([np.array(block.stretches, np.intp) + cells.start for block, cells in self.watched])

    @cached_property
    def places(self) -> int:
        """Length of a vector of rows by stretch."""
        return len(self.stretches) + (self.contexts.cells if self.contexts else 0)

    @cached_property
    def stretch_of(self) -> NDArray[np.intp]:
        """Where the rows of each cell are in a vector of rows by stretch, shape (cells,)."""
        cells = np.arange(len(self.counts))
        stretches = np.searchsorted(self.stretches, cells, side="right") - 1
        own = cells - self.score_block.stop + len(self.stretches)
        return np.where(cells < self.score_block.stop, stretches, own)

    def by_stretch(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows per stretch, then per context and in `other`, of rows per cell: all that is compared."""
        end = self.score_block.stop
        return np.concatenate([np.add.reduceat(counts[:end], self.stretches), counts[end:]])

    @cached_property
    def coarse(self) -> NDArray[np.int64]:
        """Reference rows per context and stretch, shape (contexts + 1, stretches).

        The last line has all rows of the reference: what is known of a row whose context is `other`.
        """
        pooled = self.by_stretch(self.counts)[: len(self.stretches)]
        lines = self.contexts.coarse if self.contexts else ()
        return np.array([*lines, pooled], np.int64)
