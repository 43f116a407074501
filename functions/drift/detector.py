"""The tolerance e-detector: evidence of drift that is right at any time, from shares and nothing else.

For each share and direction there are four bets on what it may have become: three fixed ones, by how much its odds have
changed, and one learned from the windows since evidence began to gather. A bet of t on the odds pays

    e = exp(t k) / (1 + u (exp(t) - 1))^n

in a window with k of n rows counted, u the edge of the tolerance: the likelihood ratio of the share with the odds of u
times exp(t) against u itself. Since every bet is made before its window is seen, e is at most 1 on average while the
share is within tolerance, also when the window mixes rows of different shares whose mean is: the mean of a product is
then at most that of equal shares (the inequality of means). Rows that resemble their neighbours are worth fewer: e is
taken to the power of n_eff / n. Evidence adds up as S = e * (1 + S). The weighted mean of S over all shares, directions
and bets reaches A within tolerance no more often than every A windows on average, whenever one looks.

Source: e-detectors, Shin, Ramdas and Rinaldo 2022, arXiv:2203.03532. The tolerance covers the reference's own error.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from functions.drift.channels import Channels, Limits, odds

BETS = (0.12, 0.5, 1.5)  # How much the logarithm of a share's odds has moved beyond the edge; one more bet is learned.
_BOLD = np.array([[[0.0], [-4.0]], [[4.0], [0.0]]])  # No bet learned is further: where it is wrong, it costs little.
_SHRINK_ROWS = 50  # As many independent rows remembered are believed by half.
_LOUD = 8.0  # Nats: what began is over once as many speak against it, however long it lasted.
_FIXED = np.multiply.outer(BETS, [[1.0], [-1.0]])  # Rising and falling, shape (3, 2, 1).
_Float = np.float32  # Half the state; evidence is a logarithm.

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that the detector knows; one device, one model version. T is the number of tests.

    What is told of the windows since evidence began to gather is told per direction, rising and falling.

    Attributes:
        windows: Windows of this device scored so far, under earlier models too.
        log_s: Logarithm of the evidence S per bet and direction, the learned bet last, shape (4, 2, T).
        log_c: Logarithm of the evidence since it was last nil, at most 8, shape (2, T).
        counted: Rows counted since then, shape (2, T).
        expected: Rows that the reference would have had there, shape (2, T).
        rows: Rows that could have been counted, shape (2, T).
        since: Window, from 1, that came first since then, shape (2, T).
    """

    windows: int
    log_s: NDArray[np.float32]
    log_c: NDArray[np.float32]
    counted: NDArray[np.float32]
    expected: NDArray[np.float32]
    rows: NDArray[np.float32]
    since: NDArray[np.uint32]

    @staticmethod
    def none(tests: int, *, windows: int = 0) -> "Evidence":
        """The evidence before the first window, or after so many that no longer matter."""
        nothing = np.zeros((2, tests), _Float)
        return Evidence(
            windows=windows,
            log_s=np.full((len(BETS) + 1, 2, tests), -np.inf, _Float),
            log_c=nothing,
            counted=nothing,
            expected=nothing,
            rows=nothing,
            since=np.full((2, tests), windows + 1, np.uint32),
        )

    def forgiven(self) -> "Evidence":
        """The evidence after an alarm: the case starts anew, what the windows since its beginning say is remembered."""
        return replace(self, log_s=np.full_like(self.log_s, -np.inf))

    def to_bytes(self) -> bytes:
        """All arrays in the order of the attributes, little-endian."""
        arrays = [getattr(self, attribute.name) for attribute in fields(self)[1:]]
        return b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)

    @staticmethod
    def from_bytes(data: bytes, *, windows: int, tests: int) -> "Evidence":
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: There are more or fewer bytes than so many tests have.
        """
        bets = len(BETS) + 1
        words = np.frombuffer(data, "<u4").reshape(2 * (bets + 5), tests)
        log_s, log_c, counted, expected, rows, since = np.split(words, 2 * (bets + np.arange(5)))
        return Evidence(
            windows=windows,
            log_s=log_s.view("<f4").astype(_Float).reshape(bets, 2, tests),
            log_c=log_c.view("<f4").astype(_Float),
            counted=counted.view("<f4").astype(_Float),
            expected=expected.view("<f4").astype(_Float),
            rows=rows.view("<f4").astype(_Float),
            since=since.astype(np.uint32),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """The share with the most evidence against it.

    Attributes:
        feature: Its feature, or "score".
        words: What the share is.
        rising: Whether the share is larger than in the reference.
        before: The share that the reference expects of the windows since the evidence began to gather, 0..1.
        after: The share in these windows, 0..1.
        since: The first of them, from 1.
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
        counts: The window's rows by stretch (`Blocks.by_stretch`).
        channels: The tests of that profile.

    Returns:
        What is known now, and the share that speaks loudest; None if the reference is too small to test anything.
    """
    counted, among = channels.count(counts)
    limits = channels.limits(counts)
    log_e = _log_e_values(_learned(evidence, limits, channels.worth), limits, counted=counted, among=among)
    log_e *= channels.worth * limits.open
    found = log_e.astype(_Float)
    goes_on = evidence.log_c > 0  # what is nil says nothing any more: what follows begins anew
    kept = goes_on.astype(_Float)
    now = Evidence(
        windows=evidence.windows + 1,
        log_s=found + _log_of_one_more(evidence.log_s),
        log_c=np.minimum(evidence.log_c * kept + _log_mean(found), _LOUD),
        counted=evidence.counted * kept + counted.astype(_Float),
        expected=evidence.expected * kept + (among * limits.expected).astype(_Float),
        rows=evidence.rows * kept + among.astype(_Float),
        since=np.where(goes_on, evidence.since, np.uint32(evidence.windows + 1)),
    )
    return now, _loudest(now, channels)


def _learned(evidence: Evidence, limits: Limits, worth: Floats) -> Floats:
    """How far beyond the edge the learned bet puts the logarithm of the odds, shape (2, T); towards 0 for falling."""
    before, after = odds(_remembered(evidence, worth.astype(_Float)))
    learned: Floats = np.clip(after - before - limits.room, *_BOLD)
    return learned


def _remembered(evidence: Evidence, worth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares that the reference expected of the windows since the evidence began, and theirs, believed in part.

    Shape (2, 2, T).
    """
    rows = np.maximum(evidence.rows, 1)
    before, after = evidence.expected / rows, evidence.counted / rows
    known = evidence.rows * worth
    return np.stack([before, before + (after - before) * (known / (known + _SHRINK_ROWS))])


def _log_e_values(learned: Floats, limits: Limits, *, counted: Floats, among: Floats) -> Floats:
    """Logarithms of the window's e-values, as if its rows were independent, shape (4, 2, T)."""
    log_e = np.empty((len(BETS) + 1, *learned.shape))
    np.multiply(counted, _FIXED, out=log_e[:-1])
    log_e[:-1] -= among * _fixed_price(limits)
    log_e[-1] = counted * learned - among * np.log(1 + limits.edges * np.expm1(learned))
    return log_e


@lru_cache(maxsize=64)  # of windows mixed like the reference, which are most
def _fixed_price(limits: Limits) -> Floats:
    """What a row costs the fixed bets, as a logarithm, shape (3, 2, T)."""
    price: Floats = np.log(1 + limits.edges * np.expm1(_FIXED))
    return price


def _log_of_one_more(log_s: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of 1 + S; numpy's own logaddexp takes eight times as long."""
    more: NDArray[np.float32] = np.maximum(log_s, 0) + np.log(1 + np.exp(-np.abs(log_s)))
    return more


def _log_mean(log_e: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of the mean over the bets."""
    largest = np.maximum.reduce(log_e)
    mean: NDArray[np.float32] = largest + np.log(np.add.reduce(np.exp(log_e - largest)) / len(log_e))
    return mean


def _loudest(evidence: Evidence, channels: Channels) -> Finding | None:
    if not channels.asked.any():
        return None
    log_s = np.where(channels.asked, evidence.log_s, -_Float(np.inf))
    largest, direction, test = _named(log_s, channels)
    log_evidence = largest + np.log(np.vdot(np.exp(log_s - largest).sum(axis=0), channels.weights) / len(log_s))
    share, rising = channels.shares[test], direction == 0
    rows = max(float(evidence.rows[direction, test]), 1.0)
    return Finding(
        feature=share.feature,
        words=share.told(rising=rising),
        rising=rising,
        before=min(float(evidence.expected[direction, test]) / rows, 1.0),
        after=min(float(evidence.counted[direction, test]) / rows, 1.0),
        since=int(evidence.since[direction, test]),
        log_evidence=float(log_evidence),
    )


def _named(log_s: NDArray[np.float32], channels: Channels) -> tuple[float, int, int]:
    """The largest evidence, and direction and test that it is told by.

    These are its own; but if a pair moved because one of its two did, that one's.
    A pair's product moves with the two, whether or not they go together as before; so the one that has at least half
    the pair's evidence itself, as a logarithm, is what people should look at.
    """
    bet, direction, test = np.unravel_index(int(log_s.argmax()), log_s.shape)
    largest = float(log_s[bet, direction, test])
    sides = channels.of_sides.get(channels.shares[test].sides)
    if sides is not None and len(sides):
        own = log_s[..., sides]
        bet, of_own, place = np.unravel_index(int(own.argmax()), own.shape)
        if own[bet, of_own, place] >= largest / 2:
            return largest, int(of_own), int(sides[place])
    return largest, int(direction), int(test)
