"""Does a version do in the field what the hold-out promised? No clock, no network, no SDK.

Devices that have the new version are compared with those that still have the one before, over the same time; and,
because two sites differ for reasons that are not the model's, each with itself before. Every bound holds however often
one looks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log2

from functions.field import PARTS, Use, above, cuts, slowness, total
from functions.loops import Rollout
from functions.rollout.compare import Seen, bounds, difference_in_differences
from functions.rollout.decide import Field

FAMILIES = 4  # that share the risk: scores, scores against the hold-out, failures, latency
SLOWER = 0.25  # more of the requests may not be as slow as the loop file says
SCORES, FAILURES, SLOWNESS = range(PARTS - 1), (PARTS - 1,), (PARTS,)  # of Use.clusters
_CLEAR = 0.5  # variance that a device's counts must have to tell how alike its rows are


@dataclass(frozen=True, slots=True)
class Reference:
    """The scores that training expected of a version.

    Args:
        low: Lower end of the grid, in the score's own unit.
        width: Of one cell, likewise.
        counts: Reference rows per cell: below, 256 cells, above, missing.
    """

    low: float
    width: float
    counts: tuple[int, ...]

    def middle(self, cell: int) -> float:
        """The score that stands for a cell."""
        return self.low + (cell - 0.5) * self.width

    def edge(self, cell: int) -> float:
        """The score between a cell and the next."""
        return self.low + cell * self.width

    def over(self, scores: Sequence[int], score: float) -> int:
        """Rows above a score, whatever grid the score comes from."""
        return sum(count for cell, count in enumerate(scores[:-1]) if self.middle(cell) > score)


@dataclass(frozen=True, slots=True)
class Groups:
    """Devices with the new version and devices without, before and since the rollout began; by device.

    Args:
        treated: The new version's use, where there is any.
        treated_before: The last version's use on the same devices, before.
        control: The last version's use on all others, since.
        control_before: The same, before.
    """

    treated: Mapping[str, Use]
    treated_before: Mapping[str, Use]
    control: Mapping[str, Use]
    control_before: Mapping[str, Use]


@dataclass(frozen=True, slots=True)
class _Test:
    """One share of rows or requests: how much of its change is surely the version's, and how much is allowed."""

    name: str
    now: Seen
    control: Seen
    sure: float
    limit: float

    @property
    def is_harm(self) -> bool:
        return self.sure > self.limit


def judge(groups: Groups, new: Reference | None, old: Reference | None, *, limits: Rollout) -> Field:
    """What the new version does, and what is proven against it.

    Args:
        groups: Who did what with which version.
        new: What the new version's scores should be like; None if nobody knows.
        old: The same of the last version.
        limits: What it may not do, and the risk of saying so falsely.
    """
    now = total(groups.treated.values())
    found = Field(devices=len(groups.treated), rows=now.rows, requests=now.requests)
    if not groups.treated or not groups.control:
        return found
    tests = list(_tests(groups, new, old, limits))
    harm = [_told(one, groups) for one in sorted(tests, key=_loudness, reverse=True) if one.is_harm]
    told = _told(max(tests, key=_loudness), groups)
    return Field(found.devices, found.rows, found.requests, "; ".join([*harm[:1], *_drifted(groups)]), told)


def crowding(uses: Iterable[Use], kinds: Iterable[int]) -> float:
    """How many rows, or requests, tell as much as one independent of all others, >= 1.

    Rows of one message share their weather: messages then differ more than rows drawn one by one would make them. The
    ratio of the two variances is taken over kinds of counts and over devices, each about its own mean.

    Source: the design effect of cluster sampling, Kish 1965.
    """
    seen = expected = 0.0
    kinds = tuple(kinds)
    for use in uses:
        for kind in kinds if use.messages > 1 else ():
            square, cross, squares = use.clusters[kind]
            p, spread = cross / max(squares, 1), _spread(use, kind)
            if spread > _CLEAR:
                seen += (square - 2 * p * cross + p * p * squares) * use.messages / (use.messages - 1)
                expected += spread
    return max(1.0, seen / expected) if expected else 1.0


def _spread(use: Use, kind: int) -> float:
    """Variance of a device's count if its rows, or requests, were independent."""
    if kind in SLOWNESS:
        number = sum(use.latencies)
        squares = sum(bucket * bucket * count for bucket, count in enumerate(use.latencies))
        return squares - slowness(use.latencies) ** 2 / max(number, 1)
    _, cross, squares = use.clusters[kind]
    p = cross / max(squares, 1)
    return (use.requests if kind in FAILURES else use.rows) * p * (1 - p)


def _tests(groups: Groups, new: Reference | None, old: Reference | None, limits: Rollout) -> Iterator[_Test]:
    four, risk = _four(groups), limits.false_alarm / FAMILIES
    apart = [tuple(one.values()) for one in (groups.treated, groups.treated_before, groups.control)]
    alike = {kinds: max(crowding(uses, kinds) for uses in apart) for kinds in (tuple(SCORES), FAILURES, SLOWNESS)}
    if new and old:
        rows = alike[tuple(SCORES)]
        yield from _scores(four, new, old, alike=rows, risk=risk, limit=limits.scores_may_move)
        yield from _against_hold_out(four, new, old, alike=rows, risk=risk, limit=limits.scores_may_move)
    failures = [Seen(use.failed, use.requests).tempered(alike[FAILURES]) for use in four]
    rise = difference_in_differences(*failures, risk=risk)
    yield _Test("requests refused", failures[0], failures[2], rise.low, limits.failures_may_rise)
    yield from _slower(four, alike=alike[SLOWNESS], risk=risk, times=limits.latency_may_grow)


type _Four = tuple[Use, Use, Use, Use]


def _four(groups: Groups) -> _Four:
    treated, before = total(groups.treated.values()), total(groups.treated_before.values())
    return treated, before, total(groups.control.values()), total(groups.control_before.values())


def _scores(four: _Four, new: Reference, old: Reference, *, alike: float, risk: float, limit: float) -> Iterator[_Test]:
    """Shares of rows above seven scores, the eighths of what the last version was expected to answer."""
    for cell in cuts(old.counts):
        score = old.edge(cell)
        seen = [
            Seen(grid.over(use.scores, score), use.rows).tempered(alike)
            for use, grid in zip(four, (new, old, old, old), strict=True)
        ]
        moved = difference_in_differences(*seen, risk=risk / (PARTS - 1))
        yield _Test(f"scores above {score:.3g}", seen[0], seen[2], moved.at_least, limit)


def _against_hold_out(
    four: _Four, new: Reference, old: Reference, *, alike: float, risk: float, limit: float
) -> Iterator[_Test]:
    """How far the scores are from what training expected, beyond how far the last version's have come to be.

    The last version's distance is that of the others now, or of the same devices before, whichever is larger.
    """
    now, before, control, _ = four
    part = risk / (PARTS - 1) / 3
    for mine, theirs in zip(cuts(new.counts), cuts(old.counts), strict=True):
        seen = Seen(above(now.scores, mine), now.rows).tempered(alike)
        others = [Seen(above(use.scores, theirs), use.rows).tempered(alike) for use in (control, before)]
        away = bounds(seen, risk=part).minus(expected := _share(new, mine))
        usual = max(bounds(one, risk=part).minus(_share(old, theirs)).at_most for one in others)
        name = f"scores above {new.edge(mine):.3g}, {expected:.0%} in the hold-out"
        yield _Test(name, seen, others[0], away.at_least - usual, limit)


def _slower(four: _Four, *, alike: float, risk: float, times: float) -> Iterator[_Test]:
    """Requests so many times slower than the last version's middle one."""
    usual = list(accumulate(one + other for one, other in zip(four[2].latencies, four[3].latencies, strict=False)))
    if not usual:
        return
    middle = next(bucket for bucket, below in enumerate(usual) if 2 * below >= usual[-1])
    bucket = middle + round(log2(times))
    seen = [Seen(sum(use.latencies[bucket + 1 :]), sum(use.latencies)).tempered(alike) for use in four]
    more = difference_in_differences(*seen, risk=risk)
    yield _Test(f"requests over {0.25 * 2**bucket:g} ms", seen[0], seen[2], more.low, SLOWER)


def _loudness(test: _Test) -> float:
    return test.sure / test.limit


def _share(reference: Reference, cell: int) -> float:
    return above(reference.counts, cell) / max(sum(reference.counts), 1)


def _drifted(groups: Groups) -> list[str]:
    """Drift where the new version serves and nowhere else: it is not the world that changed."""
    here = sorted((device, use.drift) for device, use in groups.treated.items() if use.drift)
    if not here or any(use.drift for use in groups.control.values()):
        return []
    device, what = here[0]
    return [f"drift on {len(here)} of {_devices(groups.treated)} with it and on none without: {device}: {what}"]


def _told(test: _Test, groups: Groups) -> str:
    with_it, without = _devices(groups.treated), _devices(groups.control)
    who = f"{test.name}: {test.now.mean:.1%} on {with_it} with it, {test.control.mean:.1%} on {without} without"
    if not test.is_harm:
        return who
    return f"{who}; {test.sure:.1%} at least is the version's own, {test.limit:.1%} is allowed"


def _devices(uses: Mapping[str, Use]) -> str:
    return f"{len(uses)} device{'s' * (len(uses) != 1)}"
