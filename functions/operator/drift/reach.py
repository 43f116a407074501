"""What evidence some windows could have come to, whatever their rows held: if to no drift, they say nothing of it."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from functions.drift.channels import Channels, Floats
from functions.drift.detector import Evidence, score


@dataclass(frozen=True, eq=False)
class _Extreme(Channels):
    """Tests of rows that all lie where each share wants them, or none of which does.

    Attributes:
        rising: Whether all do.
    """

    rising: bool

    def count(self, counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """As of a window of as many rows."""
        _, among = super().count(counts)
        rows = np.full_like(among, among.max(initial=0))
        return rows * self.rising, rows


class Reach:
    """The detector's own evidence after windows that are as far from the reference as can be.

    Args:
        channels: The tests.
    """

    def __init__(self, channels: Channels) -> None:
        known = {one.name: getattr(channels, one.name) for one in fields(channels)}
        self._ways = [_Extreme(**known, rising=rising) for rising in (True, False)]
        self._evidence = [Evidence.none(len(channels.shares)) for _ in self._ways]
        self.log_evidence = float(-np.inf)

    def add(self, counts: NDArray[np.int64]) -> None:
        """One window more.

        Args:
            counts: Its rows by stretch; how many, and of which contexts, is all that they are asked.
        """
        scored = [score(evidence, counts, way) for evidence, way in zip(self._evidence, self._ways, strict=True)]
        self._evidence = [evidence for evidence, _ in scored]
        found = [finding.log_evidence for _, finding in scored if finding]
        self.log_evidence = float(np.logaddexp.reduce(found, initial=-np.inf))
