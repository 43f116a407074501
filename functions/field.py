"""What one model version does on one device, in counts that add up.

Telemetry writes it into the device's row, in the compare-and-swap that counts a message once; the rollout reads it.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

import msgspec

COLUMN: Final = "field"  # of a row of the table `devices`
LATENCIES: Final = 16  # bucket i: requests that took less than 0.25 * 2^i ms; the last one: everything longer
PARTS: Final = 8  # a version's expected scores are cut into so many parts of equal share
MOST_VERSIONS: Final = 3  # kept of a device, the newest
_MOST_BYTES: Final = 1024 * 1024  # unpacked; three versions have about 5,000


class Use(msgspec.Struct, frozen=True, array_like=True):
    """One version on one device, or the sum over several.

    Args:
        profile: Hash of the version's reference profile.
        rows: Rows scored.
        requests: Requests answered or refused.
        failed: Requests refused.
        latencies: Requests by time taken, 16 buckets; empty where devices do not tell.
        scores: Rows by score, on the cells of the profile's scores.
        messages: Telemetry messages these counts came in.
        clusters: How messages differ from each other: for rows above each inner cut of the expected scores, for failed
            requests, and for the buckets of latencies: the sums over messages of k*k, k*n and n*n, with k of n.
        drift: What drifted under this version and has not come back; "" for nothing.
    """

    profile: str
    rows: int = 0
    requests: int = 0
    failed: int = 0
    latencies: tuple[int, ...] = ()
    scores: tuple[int, ...] = ()
    messages: int = 0
    clusters: tuple[tuple[int, int, int], ...] = ()
    drift: str = ""


type Uses = Mapping[str, Use]  # version -> its use on a device


def cuts(expected: Sequence[int]) -> tuple[int, ...]:
    """Cells after which the expected scores are cut, 7 of them: about j/8 of the rows lie up to cut j.

    Args:
        expected: Reference rows by score, on the profile's cells; the last cell holds what is missing.
    """
    below = list(accumulate(expected[:-1]))
    return tuple(
        min(range(len(below)), key=lambda cell: abs(below[cell] - part * below[-1] / PARTS)) for part in range(1, PARTS)
    )


def above(scores: Sequence[int], cell: int) -> int:
    """Rows whose score lies above a cell; missing scores lie nowhere."""
    return sum(scores[cell + 1 : -1])


def slowness(latencies: Sequence[int]) -> int:
    """Sum of the buckets that requests fall into."""
    return sum(bucket * count for bucket, count in enumerate(latencies))


def of_message(
    profile: str,
    *,
    rows: int,
    requests: int,
    failed: int,
    latencies: Sequence[int],
    scores: Sequence[int],
    expected: Sequence[int],
) -> Use:
    """What one telemetry message tells.

    Args:
        profile: Hash of the version's reference profile.
        rows: Rows scored.
        requests: Requests answered or refused.
        failed: Requests refused.
        latencies: Requests by time taken, 16 buckets, or none.
        scores: Rows by score, on the profile's cells.
        expected: Reference rows by score, likewise.
    """
    parts = [(above(scores, cell), rows) for cell in cuts(expected)]
    parts += [(failed, requests), (slowness(latencies), sum(latencies))]
    return Use(
        profile=profile,
        rows=rows,
        requests=requests,
        failed=failed,
        latencies=tuple(latencies),
        scores=tuple(scores),
        messages=1,
        clusters=tuple((k * k, k * n, n * n) for k, n in parts),
    )


def added(use: Use | None, more: Use, *, sign: int = 1) -> Use:
    """Two uses together, or with sign -1 what came after an earlier look; another profile's begins anew."""
    if use is None or use.profile != more.profile:
        return more if sign > 0 or use is None else use
    return Use(
        profile=use.profile,
        rows=use.rows + sign * more.rows,
        requests=use.requests + sign * more.requests,
        failed=use.failed + sign * more.failed,
        latencies=_sum(use.latencies, more.latencies, sign),
        scores=_sum(use.scores, more.scores, sign),
        messages=use.messages + sign * more.messages,
        clusters=tuple(
            (one[0] + sign * other[0], one[1] + sign * other[1], one[2] + sign * other[2])
            for one, other in zip(use.clusters, more.clusters, strict=True)
        ),
        drift=use.drift,
    )


def total(uses: Iterable[Use]) -> Use:
    """The use of several devices together."""
    whole: Use | None = None
    for use in uses:
        whole = added(whole, use)
    return whole or Use("")


def newest(uses: Uses) -> Uses:
    """The newest versions of a device; older ones are forgotten."""
    kept = sorted(uses, key=int)[-MOST_VERSIONS:]
    return {version: uses[version] for version in kept}


def to_bytes(uses: Uses) -> bytes:
    """For one property of a table row."""
    return zlib.compress(msgspec.msgpack.encode(dict(uses)))


def from_bytes(data: object) -> Uses:
    """Read what `to_bytes` wrote; nothing for a row that has none, or one that another release wrote."""
    if not isinstance(data, bytes):
        return {}
    try:
        content = zlib.decompressobj().decompress(data, _MOST_BYTES)
        return msgspec.msgpack.decode(content, type=dict[str, Use])
    except (zlib.error, msgspec.DecodeError):  # evidence begins anew: it is no truth that anything else stands on
        return {}


def _sum(left: Sequence[int], right: Sequence[int], sign: int) -> tuple[int, ...]:
    if not left or not right:
        return tuple(left) if left else tuple(sign * count for count in right)
    return tuple(one + sign * other for one, other in zip(left, right, strict=True))
