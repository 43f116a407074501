"""What model versions do on one device, period by period, in counts that add up.

Telemetry writes it into the device's row, in the compare-and-swap that counts a message once; the rollout reads it.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from math import fsum
from typing import Any, Final

import msgspec

DEVICES: Final = "devices"  # the table
COLUMN: Final = "field"  # of its rows
LATENCIES: Final = 16  # bucket i: requests that took less than 0.25 * 2^i ms; the last one: everything longer
GROUP: Final = 4  # cells of the profile's scores that are counted together here
PARTS: Final = 8  # a version's expected scores are cut into so many parts of about equal share
MOST_VERSIONS: Final = 3  # kept of a device, the newest
MOST_PERIODS: Final = 100  # kept of a version; as many again of those whose outcomes are known
# When there are more, the oldest go first of those that are not among the newest 64, nor every 8th of the newest 256 or
# 64th of the newest 1,024: what a rollout is compared with is what was before it, however long it lasts. Every device
# keeps the same ones.
KEPT: Final = ((64, 1), (256, 8), (1024, 64))
_MOST_BYTES: Final = 1024 * 1024  # unpacked; three full versions have about 40,000


class Period(msgspec.Struct, frozen=True, array_like=True):
    """What a version did in one period.

    Args:
        at: Number of the period since 1970.
        rows: Rows scored.
        requests: Requests answered or refused.
        failed: Requests refused.
        latencies: Requests by time taken, 16 buckets; empty where the device does not tell.
        scores: Rows by score: below the grid, 64 groups of four cells, above it; missing scores are in none.
    """

    at: int
    rows: int
    requests: int
    failed: int
    latencies: tuple[int, ...]
    scores: tuple[int, ...]


class Judged(msgspec.Struct, frozen=True, array_like=True):
    """What the answers that a version gave in one period turned out to cost; losses are those of sketch/losses.py.

    Args:
        at: Number of the period in which the answers were given.
        rows: Answers whose outcome is known by now.
        positives: Those whose outcome was true.
        log_loss: What they cost, summed, nats.
        log_loss_squares: The squares of that, summed.
        brier: Their squared errors, summed.
        brier_squares: The squares of these, summed.
    """

    at: int
    rows: int
    positives: int
    log_loss: float
    log_loss_squares: float
    brier: float
    brier_squares: float


class Use(msgspec.Struct, frozen=True, array_like=True):
    """One version on one device.

    Args:
        profile: Hash of the version's reference profile.
        rows: Rows scored, ever.
        requests: Requests answered or refused, ever.
        periods: The newest periods with telemetry, oldest first.
        drift: What drifted under this version and has not come back; "" for nothing.
        shadow_rows: Rows it scored silently, beside the version that answered.
        shadow_moved: Sum over these rows of the distance between the two scores.
        shadow_flipped: Rows whose scores lay on different sides of a half.
        judged: The newest periods with outcomes, oldest first; these come late, so there are none for the last ones.
        alarmed_at: Number of the newest period with an alarm of drift under this version; None for none.
    """

    profile: str
    rows: int = 0
    requests: int = 0
    periods: tuple[Period, ...] = ()
    drift: str = ""
    shadow_rows: int = 0
    shadow_moved: float = 0.0
    shadow_flipped: int = 0
    judged: tuple[Judged, ...] = ()
    alarmed_at: int | None = None

    @property
    def drifted_at(self) -> int | None:
        """Number of the newest period in which something was adrift under this version; None for none."""
        return self.periods[-1].at if self.drift and self.periods else self.alarmed_at


type Uses = Mapping[str, Use]  # version -> its use on a device


def grouped(cells: Sequence[int]) -> tuple[int, ...]:
    """Counts on the profile's cells of scores (below, 256, above, missing) as they are kept here."""
    inner = [sum(cells[first : first + GROUP]) for first in range(1, len(cells) - 2, GROUP)]
    return (cells[0], *inner, cells[-2])


def cuts(expected: Sequence[int]) -> tuple[int, ...]:
    """Groups after which expected scores are cut, 7 of them: about j/8 of the rows lie up to cut j."""
    below = list(accumulate(expected))
    return tuple(
        min(range(len(below)), key=lambda at: abs(below[at] - part * below[-1] / PARTS)) for part in range(1, PARTS)
    )


def period_of(moment: datetime, every: timedelta) -> int:
    """Number of the period that a moment lies in."""
    return int(moment.timestamp() // every.total_seconds())


def counted(use: Use | None, profile: str, periods: Iterable[Period]) -> Use:
    """A version's use with what more messages tell of periods; a use of another profile begins anew."""
    before = use if use and use.profile == profile else msgspec.structs.replace(use or Use(""), **_fresh(profile))
    known = {one.at: one for one in before.periods}
    rows, requests = before.rows, before.requests
    for now in periods:
        known[now.at] = merge([known[now.at], now]) if now.at in known else now
        rows, requests = rows + now.rows, requests + now.requests
    told = [known[at] for at in sorted(known)]
    return msgspec.structs.replace(before, rows=rows, requests=requests, periods=_kept(told))


def _kept[Told: (Period, Judged)](told: Sequence[Told]) -> tuple[Told, ...]:
    """The periods that are remembered, of those in order of time."""
    surplus = len(told) - MOST_PERIODS
    if surplus <= 0:
        return tuple(told)
    newest_at = told[-1].at
    stays = [any(newest_at - one.at < span and one.at % step == 0 for span, step in KEPT) for one in told]
    first_to_go = sorted(range(len(told)), key=lambda place: (stays[place], place))
    gone = set(first_to_go[:surplus])
    return tuple(one for place, one in enumerate(told) if place not in gone)


def shadowed(use: Use | None, *, rows: int, moved: float, flipped: int) -> Use:
    """A version's use with what one more message says of it as a shadow; `moved` is a mean over the rows."""
    before = use or Use("")
    return msgspec.structs.replace(
        before,
        shadow_rows=before.shadow_rows + rows,
        shadow_moved=before.shadow_moved + moved * rows,
        shadow_flipped=before.shadow_flipped + flipped,
    )


def judged(use: Use | None, outcomes: Iterable[Judged]) -> Use:
    """A version's use with the outcomes that one more message tells of answers it gave earlier."""
    before = use or Use("")
    known = together([*before.judged, *outcomes])
    return msgspec.structs.replace(before, judged=_kept(known))


def drifted(use: Use, alarms: Sequence[str], *, goes_on: bool, at: int) -> Use:
    """A version's use with what one more message tells of drift.

    Args:
        use: What is known.
        alarms: What the alarms it made say, oldest first.
        goes_on: Whether there is a drift after it.
        at: Number of its period.
    """
    newest = max(use.alarmed_at or at, at) if alarms else use.alarmed_at
    return msgspec.structs.replace(use, drift=[use.drift, *alarms][-1] if goes_on else "", alarmed_at=newest)


def together(outcomes: Iterable[Judged]) -> tuple[Judged, ...]:
    """Outcomes of several messages or devices, one entry a period, in order of time."""
    found: dict[int, list[Judged]] = {}
    for one in outcomes:
        found.setdefault(one.at, []).append(one)
    return tuple(_added(found[at]) for at in sorted(found))


def merge(periods: Sequence[Period]) -> Period:
    """One period of several messages or devices."""
    first, *rest = periods
    for one in rest:
        first = Period(
            at=first.at,
            rows=first.rows + one.rows,
            requests=first.requests + one.requests,
            failed=first.failed + one.failed,
            latencies=_sum(first.latencies, one.latencies),
            scores=_sum(first.scores, one.scores),
        )
    return first


def newest(uses: Uses) -> Uses:
    """The newest versions of a device; older ones are forgotten."""
    kept = sorted(uses, key=int)[-MOST_VERSIONS:]
    return {version: uses[version] for version in kept}


def to_bytes(uses: Uses) -> bytes:
    """For a value of a table row."""
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


def _added(outcomes: Sequence[Judged]) -> Judged:
    """One period's outcomes in one; sums are exact before they are rounded, so that their order changes nothing."""
    return Judged(
        at=outcomes[0].at,
        rows=sum(one.rows for one in outcomes),
        positives=sum(one.positives for one in outcomes),
        log_loss=fsum(one.log_loss for one in outcomes),
        log_loss_squares=fsum(one.log_loss_squares for one in outcomes),
        brier=fsum(one.brier for one in outcomes),
        brier_squares=fsum(one.brier_squares for one in outcomes),
    )


def _fresh(profile: str) -> dict[str, Any]:
    return {"profile": profile, "rows": 0, "requests": 0, "periods": (), "drift": "", "alarmed_at": None}


def _sum(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    if not left or not right:
        return tuple(left or right)
    return tuple(one + other for one, other in zip(left, right, strict=True))
