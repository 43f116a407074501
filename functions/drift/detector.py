"""The tolerance e-detector: evidence of drift that is right at any time, from shares and nothing else.

For each share and direction, and for each of three memories of past windows, the window's e-value is the likelihood
ratio

    e = (q / u)^k * ((1 - q) / (1 - u))^(n - k)

with k of n rows counted, u the edge of the tolerance and q what the memory expects, never on the near side of u; since
q comes from past windows only, e is at most 1 on average while the share is within tolerance. Evidence adds up as
S = e * (1 + S). The weighted mean of S over all shares, directions and memories reaches A within tolerance no more
often than every A windows on average, whenever one looks.

Source: e-detectors, Shin, Ramdas and Rinaldo 2022, arXiv:2203.03532. The tolerance covers the reference's own error.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from functions.drift.channels import Channels

MEMORIES = np.array([0.0, 0.7, 0.95])  # What is kept of the past at each window: the last window, a few, many.
_SHRINK_ROWS = 50  # A memory of as many rows is believed by half.
_NOTEWORTHY = 1.0  # Less evidence than this nat is the everyday noise before something begins.
_Float = np.float32  # Half the state; evidence is a logarithm, and a memory fades.


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that the detector knows; one device, one model version. T is the number of tests.

    Attributes:
        windows: Windows of this device scored so far, under earlier models too.
        excess: Rows counted beyond what the reference expects, per memory, shape (3, T).
        rows: Rows that could have been counted, per memory, shape (3, T).
        log_s: Logarithm of the evidence S per memory and direction (rising, falling), shape (3, 2, T).
        log_c: Logarithm of the evidence since it was last nil, per direction, shape (2, T).
        since: Window, from 1, since which that evidence is worth a note, per direction, shape (2, T).
    """

    windows: int
    excess: NDArray[np.float32]
    rows: NDArray[np.float32]
    log_s: NDArray[np.float32]
    log_c: NDArray[np.float32]
    since: NDArray[np.uint32]

    @staticmethod
    def none(tests: int, *, windows: int = 0) -> "Evidence":
        """The evidence before the first window, or after so many that no longer matter."""
        memories = len(MEMORIES)
        return Evidence(
            windows=windows,
            excess=np.zeros((memories, tests), _Float),
            rows=np.zeros((memories, tests), _Float),
            log_s=np.full((memories, 2, tests), -np.inf, _Float),
            log_c=np.zeros((2, tests), _Float),
            since=np.full((2, tests), windows + 1, np.uint32),
        )

    def forgiven(self) -> "Evidence":
        """The evidence after an alarm: what the windows looked like is remembered, the case starts anew."""
        fresh = Evidence.none(self.excess.shape[1], windows=self.windows)
        return replace(fresh, excess=self.excess, rows=self.rows)


@dataclass(frozen=True, slots=True)
class Finding:
    """The share with the most evidence against it.

    Attributes:
        feature: Its feature, or "score".
        words: What the share is.
        rising: Whether the share is larger than in the reference.
        before: The share in the reference, 0..1.
        after: The share as remembered by the memory that found it, this window included, 0..1.
        since: Window, from 1, since which the evidence has been gathering.
        log_evidence: Logarithm of the weighted mean of all evidence: what is compared with log A.
    """

    feature: str
    words: str
    rising: bool
    before: float
    after: float
    since: int
    log_evidence: float


def score(evidence: Evidence, counts: NDArray[np.int64], channels: Channels) -> tuple[Evidence, Finding | None]:
    """Take one full window into account.

    Args:
        evidence: What was known before.
        counts: The window's rows per cell of the profile, shape (cells,).
        channels: The tests of that profile.

    Returns:
        What is known now, and the share that speaks loudest; None if the reference is too small to test anything.
    """
    counted, among = channels.count(counts)
    log_e = _log_e_values(evidence, counted, among, channels=channels)
    log_s = log_e + np.logaddexp(evidence.log_s, 0.0)
    quiet = evidence.log_c <= _NOTEWORTHY
    keep = MEMORIES[:, np.newaxis]
    now = Evidence(
        windows=evidence.windows + 1,
        excess=(keep * evidence.excess + (counted - among * channels.base)).astype(_Float),
        rows=(keep * evidence.rows + among).astype(_Float),
        log_s=log_s.astype(_Float),
        log_c=(np.maximum(evidence.log_c, 0.0) + _log_mean(log_e)).astype(_Float),
        since=np.where(quiet, np.uint32(evidence.windows + 1), evidence.since),
    )
    return now, _loudest(now, channels)


def _log_e_values(
    evidence: Evidence, counted: NDArray[np.float64], among: NDArray[np.float64], *, channels: Channels
) -> NDArray[np.float64]:
    """Logarithms of the window's e-values, shape (3, 2, T)."""
    known = evidence.rows.astype(np.float64)
    mean = evidence.excess / np.maximum(known, 1.0)
    expected = np.clip(channels.base + mean * known / (known + _SHRINK_ROWS), 1e-6, 1 - 1e-6)
    edge = np.stack([channels.upper, channels.lower])
    bet = np.stack([np.maximum(expected, channels.upper), np.minimum(expected, channels.lower)], axis=1)
    log_e: NDArray[np.float64] = counted * np.log(bet / edge) + (among - counted) * np.log((1 - bet) / (1 - edge))
    return log_e


def _log_mean(log_e: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the mean over the memories."""
    largest = log_e.max(axis=0)
    mean: NDArray[np.float64] = largest + np.log(np.exp(log_e - largest).mean(axis=0))
    return mean


def _loudest(evidence: Evidence, channels: Channels) -> Finding | None:
    if not channels.weights.any():
        return None
    log_s = evidence.log_s.astype(np.float64)
    largest = log_s[:, channels.weights > 0].max()
    log_evidence = largest + np.log((np.exp(log_s - largest) * channels.weights / len(MEMORIES)).sum())
    weighed = np.where(channels.weights > 0, log_s, -np.inf)
    memory, direction, test = np.unravel_index(int(weighed.argmax()), weighed.shape)
    share, base = channels.shares[test], float(channels.base[test])
    excess = float(evidence.excess[memory, test]) / max(float(evidence.rows[memory, test]), 1.0)
    return Finding(
        feature=share.feature,
        words=share.words,
        rising=bool(direction == 0),
        before=base,
        after=min(max(base + excess, 0.0), 1.0),
        since=int(evidence.since[direction, test]),
        log_evidence=float(log_evidence),
    )
