"""Does a version do in the field what the hold-out promised? No clock, no network, no SDK.

Period by period, devices that have the new version are compared with those that still have the last one: weather,
season and time of day are the same for both. Because two sites differ for reasons that are not the model's, that
difference is compared with the one they had before, while both had the same version.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import floor, isfinite, log2
from statistics import fmean

from functions.field import GROUP, LATENCIES, PARTS, Period, Use, Uses, cuts, grouped, merge
from functions.loops import METRICS, Metric, Rollout
from functions.rollout.compare import BEFORE, Between, bounds, change
from functions.rollout.decide import Field
from functions.rollout.drifting import unexplained
from functions.rollout.losses import compare
from functions.rollout.promise import Promise, kept

FAMILIES = 5  # that share the risk: scores, scores against the hold-out, failures, latency, loss
SLOWER = 0.25  # more of the requests may not be as slow as the loop file says
FEWEST = 20  # rows or requests of a period that say anything
SETTLED = 10  # periods with outcomes before the version came: with fewer, chance there outweighs what it costs

type Pair = tuple[Period, Period]  # one period on the devices with the new version, and on those without


@dataclass(frozen=True, slots=True)
class Reference:
    """The scores that training expected of a version, on the profile's own grid.

    Args:
        low: Lower end of the grid, in the score's own unit.
        width: Of one of its 256 cells, likewise.
        counts: Reference rows: below, 64 groups of four cells, above.
    """

    low: float
    width: float
    counts: tuple[int, ...]

    @classmethod
    def of(cls, low: float, width: float, cells: Sequence[int]) -> "Reference":
        """From the cells of a profile."""
        return cls(low, width, grouped(cells))

    def edge(self, group: int) -> float:
        """The score between a group and the next."""
        return self.low + group * GROUP * self.width

    def over(self, scores: Sequence[int], score: float) -> int:
        """Rows above a score, whatever grid the score comes from; a group counts by its middle."""
        first = floor((score - self.low) / (GROUP * self.width) + 0.5) + 1
        return sum(scores[max(first, 0) :])

    def share(self, group: int) -> float:
        """The share of rows expected above a group."""
        return sum(self.counts[group + 1 :]) / max(sum(self.counts), 1)


@dataclass(frozen=True, slots=True)
class Groups:
    """Periods in which both kinds of devices told of themselves.

    Args:
        treated: Devices that have the new version.
        control: Devices that have the last good one.
        now: Periods in which they had these.
        before: Periods in which both had the same version, with that version.
    """

    treated: Mapping[str, Use]
    control: Mapping[str, Use]
    now: tuple[Pair, ...]
    before: tuple[tuple[str, Pair], ...]


@dataclass(frozen=True, slots=True)
class _Test:
    """One share of rows or requests, or a loss: how much of its change is surely the version's, how much is allowed.

    Args:
        name: What is compared.
        now: With the new version.
        control: Without it.
        seen: So much of the difference looks like the version's own.
        sure: So much of it surely is.
        limit: So much of it is allowed.
        spelled: Format of these numbers.
        among: What was compared, where that is not the rows of all periods.
        is_of_cost: Whether all that it may show is that answers cost more, so that outcomes can clear it.
    """

    name: str
    now: float
    control: float
    seen: float
    sure: float
    limit: float
    spelled: str = ".1%"
    among: str = ""
    is_of_cost: bool = False

    @property
    def is_harm(self) -> bool:
        return self.sure > self.limit

    @property
    def is_suspect(self) -> bool:
        return self.seen > self.limit

    @property
    def suspicion(self) -> str:
        """Without numbers: they change at every look, and each would be another line of the journal."""
        return f"{self.name} differ by more than is allowed, and it may still be chance"

    @property
    def loudness(self) -> float:
        return self.sure / self.limit if self.sure > 0 else abs(self.now - self.control) / self.limit / 1e6


def judge(
    uses: Mapping[str, Uses],
    new: str,
    old: str,
    *,
    references: Mapping[str, Reference],
    limits: Rollout,
    metric: Metric = "log_loss",
    promise: Promise | None = None,
) -> Field:
    """What the new version does, and what is proven against it.

    Args:
        uses: What every device did, with every version.
        new: The version that is on its way.
        old: The last good version.
        references: Version -> what its scores should be like, as far as known.
        limits: What the new version may not do, and the risk of saying so falsely.
        metric: The loss that counts where outcomes are known.
        promise: What the new version's answers cost on held-out rows, as far as known.
    """
    groups = _groups(uses, new, old)
    treated = groups.treated.values()
    found = Field(
        len(treated),
        rows=sum(use.rows for use in treated),
        requests=sum(use.requests for use in treated),
        outcomes=sum(one.rows for use in treated for one in use.judged),
    )
    if not groups.now:
        return found
    tests = [*_tests(groups, new, old, references, limits), *_of_loss(uses, groups, new, limits, metric)]
    loudest = max(tests, key=lambda one: one.loudness, default=None)
    harm = [_told(one, groups) for one in sorted(tests, key=lambda one: -one.loudness) if one.is_harm]
    suspects = [one for one in sorted(tests, key=lambda one: -one.seen / one.limit) if one.is_suspect]
    cleared = ""
    if promise and any(one.is_of_cost for one in suspects):
        risk, may_grow = limits.false_alarm, limits.loss_may_grow
        cleared = kept(list(treated), promise, metric=metric, risk=risk, may_grow=may_grow)
    left = [one.suspicion for one in suspects if not (cleared and one.is_of_cost)]
    drift = unexplained(uses, new, treated=groups.treated, control=groups.control)
    return replace(
        found,
        harm="".join(harm[:1]),
        suspect="; ".join(filter(None, [*left[:1], drift])),
        found="; ".join(filter(None, [_told(loudest, groups) if loudest else "", cleared, _lacking(groups)])),
    )


def _groups(uses: Mapping[str, Uses], new: str, old: str) -> Groups:
    treated = {device: used[new] for device, used in uses.items() if new in used and used[new].requests}
    control = {device: used[old] for device, used in uses.items() if old in used and device not in treated}
    before = [
        (version, pair)
        for version in sorted({version for used in uses.values() for version in used} - {new})
        for pair in _pairs(
            _with(uses, treated, version),
            _with(uses, control, version),
        )
    ]
    return Groups(treated, control, tuple(_pairs(list(treated.values()), list(control.values()))), tuple(before))


def _pairs(left: Sequence[Use], right: Sequence[Use]) -> Iterator[Pair]:
    """Periods that both sides have."""
    sides = [_by_period(left), _by_period(right)]
    for at in sorted(sides[0].keys() & sides[1].keys()):
        yield merge(sides[0][at]), merge(sides[1][at])


def _by_period(uses: Sequence[Use]) -> dict[int, list[Period]]:
    found: dict[int, list[Period]] = {}
    for use in uses:
        for period in use.periods:
            found.setdefault(period.at, []).append(period)
    return found


@dataclass(frozen=True, slots=True)
class _Share:
    """A share of some kind, of each side of a pair: how many, of how many."""

    now: Callable[[Period], tuple[int, int]]
    control: Callable[[Period], tuple[int, int]]
    before: Callable[[str, Period], tuple[int, int]]


def _tests(groups: Groups, new: str, old: str, references: Mapping[str, Reference], limits: Rollout) -> Iterator[_Test]:
    risk = limits.false_alarm / FAMILIES
    if new in references and old in references:
        for part in range(PARTS - 1):
            for test in _of_scores(groups, new, old, part, references=references, limits=limits):
                yield replace(test, is_of_cost=True)

    def failed(period: Period) -> tuple[int, int]:
        return period.failed, period.requests

    yield from _test(
        groups,
        _Share(failed, failed, lambda _, period: failed(period)),
        "requests refused",
        risk=risk,
        limit=limits.failures_may_rise,
        worse="more",
    )
    bucket = _usual_latency(groups) + round(log2(limits.latency_may_grow))

    def slow(period: Period) -> tuple[int, int]:
        return sum(period.latencies[bucket + 1 :]), sum(period.latencies)

    name = f"requests over {0.25 * 2**bucket:g} ms"
    yield from _test(
        groups, _Share(slow, slow, lambda _, period: slow(period)), name, risk=risk, limit=SLOWER, worse="more"
    )


def _of_scores(
    groups: Groups, new: str, old: str, part: int, *, references: Mapping[str, Reference], limits: Rollout
) -> Iterator[_Test]:
    """Rows above one score: on the last version's scale, and on each version's own.

    On the former more is allowed by as much as the last version itself is from its hold-out by now, if that is much: a
    version made because the last one is out of date answers differently. The latter counts only as far as the new
    version itself is away from its hold-out, so that it is no fault to be nearer to it than the last one.
    """
    mine, theirs = references[new], references[old]
    risk, limit = limits.false_alarm / FAMILIES / (PARTS - 1), limits.scores_may_move
    score = theirs.edge(cuts(theirs.counts)[part])
    own = {version: (ref, cuts(ref.counts)[part]) for version, ref in references.items()}

    def of_own(version: str, period: Period) -> tuple[int, int]:
        ref, group = own[version]
        return ref.over(period.scores, ref.edge(group)), period.rows

    known = Groups(groups.treated, groups.control, groups.now, tuple(one for one in groups.before if one[0] in own))
    absolute = _Share(
        lambda period: (mine.over(period.scores, score), period.rows), lambda period: of_own(old, period), of_own
    )
    stale = [_ratio(counts) - theirs.share(own[old][1]) for _, one in known.now if (counts := of_own(old, one))[1]]
    far = abs(fmean(stale)) if stale else 0.0
    allowed = limit + far if far > limit / 2 else limit
    yield from _test(known, absolute, f"scores above {score:.3g}", risk=risk, limit=allowed)
    relative = _Share(lambda period: of_own(new, period), lambda period: of_own(old, period), of_own)
    expected, usual = mine.share(own[new][1]), theirs.share(own[old][1])
    name = f"scores above {mine.edge(own[new][1]):.3g}, {expected:.0%} in the hold-out"
    away = [_ratio(relative.now(one)) - expected for one, _ in known.now if relative.now(one)[1] >= FEWEST]
    if away:
        sure, seen = bounds(away, risk=risk / 3, noise=0.25 / FEWEST).at_least, abs(fmean(away))
        for test in _test(known, relative, name, risk=risk * 2 / 3, limit=limit, offset=expected - usual):
            yield replace(test, seen=min(test.seen, seen), sure=min(test.sure, sure))


def _of_loss(uses: Mapping[str, Uses], groups: Groups, new: str, limits: Rollout, metric: Metric) -> Iterator[_Test]:
    """What answers turned out to cost; nothing while no outcomes are known of both sides."""
    versions = sorted({version for used in uses.values() for version in used} - {new})
    before = [(_with(uses, groups.treated, version), _with(uses, groups.control, version)) for version in versions]
    costs = compare(
        list(groups.treated.values()),
        list(groups.control.values()),
        before=before,
        metric=metric,
        risk=limits.false_alarm / FAMILIES,
        may_grow=limits.loss_may_grow,
    )
    if costs:
        yield _Test(
            METRICS[metric],
            costs.now,
            costs.control,
            costs.seen,
            costs.sure,
            costs.limit,
            spelled=".3f",
            among=f" of {costs.rows} rows with outcomes",
            is_of_cost=costs.before < SETTLED,
        )


def _with(uses: Mapping[str, Uses], devices: Iterable[str], version: str) -> list[Use]:
    return [uses[device][version] for device in devices if version in uses[device]]


def _test(
    groups: Groups, share: _Share, name: str, *, risk: float, limit: float, worse: str = "either", offset: float = 0.0
) -> Iterator[_Test]:
    """How much the difference between the two sides has surely changed since both had the same version."""
    now = [(share.now(one), share.control(other)) for one, other in groups.now]
    before = [(share.before(version, one), share.before(version, other)) for version, (one, other) in groups.before]
    now, before = _telling(now), _telling(before)
    if not now:
        return
    noise = fmean(_noise(one) + _noise(other) for one, other in [*now, *before])
    changed = change(_differences(before), _differences(now), risk=risk, noise=noise) - Between(offset, offset)
    sure = changed.low if worse == "more" else changed.at_least
    seen = fmean(_differences(now)) - fmean(_differences(before)) - offset if before else 0.0  # sites differ for good
    with_it, without = (sum(pair[side][0] for pair in now) / sum(pair[side][1] for pair in now) for side in (0, 1))
    yield _Test(
        name,
        with_it,
        without,
        seen=seen if worse == "more" else abs(seen),
        sure=sure if isfinite(sure) else 0.0,
        limit=limit,
    )


type _Counts = tuple[tuple[int, int], tuple[int, int]]


def _telling(pairs: Sequence[_Counts]) -> list[_Counts]:
    return [pair for pair in pairs if min(pair[0][1], pair[1][1]) >= FEWEST]


def _differences(pairs: Sequence[_Counts]) -> list[float]:
    return [_ratio(one) - _ratio(other) for one, other in pairs]


def _ratio(counts: tuple[int, int]) -> float:
    return counts[0] / counts[1]


def _noise(counts: tuple[int, int]) -> float:
    """Variance of a share because it is one of so many rows; as if one more of each kind had been seen."""
    p = (counts[0] + 1) / (counts[1] + 2)
    return p * (1 - p) / counts[1]


def _usual_latency(groups: Groups) -> int:
    """The bucket of the last version's middle request."""
    told = [other.latencies for _, other in groups.now] + [one.latencies for _, pair in groups.before for one in pair]
    counts = [sum(column) for column in zip(*(one for one in told if one), strict=True)] or [0] * LATENCIES
    below = list(accumulate(counts))
    return next(bucket for bucket, number in enumerate(below) if 2 * number >= below[-1])


def _told(test: _Test, groups: Groups) -> str:
    with_it, without = _devices(groups.treated), _devices(groups.control)
    now, control, sure, limit = (
        format(number, test.spelled) for number in (test.now, test.control, test.sure, test.limit)
    )
    who = f"{test.name}{test.among}: {now} on {with_it} with it, {control} on {without} without"
    return f"{who}; {sure} at least is the version's own, {limit} is allowed" if test.is_harm else who


def _lacking(groups: Groups) -> str:
    """What keeps anything from being proven, for a person; "" for nothing."""
    shared = len(groups.before)
    return f"they had shared {shared} periods with one version, too few to prove anything" if shared < BEFORE else ""


def _devices(uses: Mapping[str, Use]) -> str:
    return f"{len(uses)} device{'s' * (len(uses) != 1)}"
