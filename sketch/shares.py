"""What share of a window's rows the reference expects in some cells, and how far that expectation may be wrong.

A window mixes contexts: of its n rows n_c are in context c, whose share in the reference is F_c. Then the share to
expect is the mixture of the F_c with weights n_c / n. Each F_c is known from as many rows as the reference has there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sketch.blocks import Blocks

RISK = 0.003  # That one share's tolerance is narrower than the reference's error.
_NATS = np.log(2 / RISK)

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reference says of a window's shares; all of shape (tests,).

    Attributes:
        share: Expected share, 0..1; 0 where the reference has no row that could have been counted.
        error: How far the true share may lie from it, but for 3 in 1,000 tests; 1 where the reference knows nothing.
    """

    share: Floats
    error: Floats


@dataclass(frozen=True, eq=False)
class References:
    """The shares of one profile in each context; C contexts and `other`, T tests.

    Attributes:
        shares: Rows counted among rows that could have been, shape (C + 1, T).
        among: Share of the context's rows that could have been counted, shape (C + 1, T).
        known: Reference rows that each share is known from, >= 0, shape (C + 1, T).
        autocorrelation: Of the feature that each test is about, 0..0.99, shape (T,).
    """

    shares: Floats
    among: Floats
    known: Floats
    autocorrelation: Floats

    @staticmethod
    def of(blocks: Blocks, bounds: NDArray[np.intp]) -> "References":
        """Take some tests' shares out of a profile.

        Args:
            blocks: The profile.
            bounds: Per test the first and last cell counted, the first and last cell among; the last ones excluded;
                each the beginning or the end of a stretch of cells (`Blocks.stretches`); shape (4, T).
        """
        first, last, start, end = np.searchsorted(blocks.stretches, bounds)
        before = np.concatenate([np.zeros((len(blocks.coarse), 1)), np.cumsum(blocks.coarse, axis=1)], axis=1)
        counted, among = before[:, last] - before[:, first], before[:, end] - before[:, start]
        rows = np.concatenate([blocks.contexts.counts[:-1] if blocks.contexts else (), [blocks.rows]])
        block = np.searchsorted([cells.start for _, cells in blocks.watched], bounds[2], "right") - 1
        resemblance = np.array([feature.autocorrelation for feature, _ in blocks.watched])
        return References(
            shares=counted / np.maximum(among, 1),
            among=among / np.maximum(rows, 1)[:, np.newaxis],
            known=among,
            autocorrelation=resemblance[block],
        )

    def discounted(self) -> "References":
        """The same shares, known from as many independent rows as the reference's rows in their order are worth."""
        return replace(self, known=self.known * (1 - self.autocorrelation) / (1 + self.autocorrelation))

    def expect(self, contexts: Sequence[int] | NDArray[np.int64] | None = None) -> Expected:
        """What to expect of a window.

        Args:
            contexts: The window's rows per context, then those in `other`, shape (C + 1,); None for a window of the
                reference's own mixture.

        Returns:
            The mixture. Rows in `other` are expected to be like all rows of the reference. Where a test is about some
            rows of a window only, such as those that are not missing, a context weighs as many of these as usual.

        Source: Hoeffding's or Bernstein's inequality for a weighted sum of independent rows, whichever says more; the
        latter does near 0 and 1.
        """
        rows = np.eye(len(self.shares))[-1] if contexts is None else np.asarray(contexts, np.float64)
        some = np.flatnonzero(rows)  # A window has few of the contexts.
        rows = rows[some]
        meant, counted, hoeffding, bernstein, step = (terms[some] for terms in self._terms)
        total = rows @ meant
        whole = np.where(total > 0, total, 1)
        steps = 2 / 3 * _NATS * (rows[:, np.newaxis] * step).max(axis=0, initial=0.0)
        error = np.minimum(
            np.sqrt(_NATS / 2 * (rows**2 @ hoeffding)), np.sqrt(2 * _NATS * (rows**2 @ bernstein)) + steps
        )
        return Expected(rows @ counted / whole, np.where(total > 0, np.minimum(error / whole, 1.0), 1.0))

    @cached_property
    def _terms(self) -> tuple[Floats, ...]:
        """What a window's rows of each context, or their squares, are multiplied with; each of shape (C + 1, T).

        For the rows that could have been counted, those counted, the two variances, and the largest step of one row of
        the reference.
        """
        known = np.maximum(self.known, 1)
        spread = np.maximum(self.shares * (1 - self.shares), 1 / known)
        squared = self.among**2 / known
        return self.among, self.among * self.shares, squared, squared * spread, self.among / known
