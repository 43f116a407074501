"""Two files in, a verdict out: the reference's profile, the current file's windows, and the loop's own detector."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import exp, log
from operator import add
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.drift.channels import Channels, channels_of
from functions.drift.decide import explain
from functions.drift.detector import Evidence, score
from functions.drift.policy import DriftSettings
from functions.operator.drift.columns import Batch, Columns, Wish, choose
from functions.operator.drift.kinds import LeftOut
from functions.operator.drift.ranking import Distances, ranked
from functions.operator.drift.reach import Reach
from functions.operator.drift.samples import Progress, empty, first_rows, sampled
from functions.operator.drift.source import Source
from functions.operator.drift.windows import Window, cut, length
from sketch.features import CategoryFeature, Column, PairFeature
from sketch.profile import Kind, Pair, Profile

MOST_PAIRS = 5
_RELATED = 0.3  # A weaker correlation is not watched by itself.
_RELATED_ROWS = 20_000
_FEWEST_WINDOWS = 2  # The first one is what a bet is learned from.
_LARGEST = 1e300
_ELSEWHERE = 0.01  # Of the rows: fewer of no known context are no news.
_INDEPENDENT, _INDEPENDENT_ROWS = 0.1, 500  # Share of the reference's rows, and rows: more are no news.
_NAMED = 5
_SILENT = "the reference is too small to tell anything"

type Verdict = Literal["drift", "steady", "too few"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One window, judged.

    Attributes:
        label: What it is called.
        rows: Its rows.
        log_evidence: Logarithm of the evidence after it.
        alarm: Whether that reaches the threshold; the evidence then begins anew.
        explanation: What speaks loudest, such as "temp, share above 50: 12 % → 61 %, since window 3".
        feature: What that is about.
        since: The window that this speaks of since; empty where nothing does.
    """

    label: str
    rows: int
    log_evidence: float
    alarm: bool
    explanation: str
    feature: str
    since: str

    @property
    def evidence(self) -> float:
        """The evidence after it, at most 1e300."""
        return min(exp(min(self.log_evidence, log(_LARGEST))), _LARGEST)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two files have to do with each other.

    Attributes:
        profile: Of the reference.
        counts: Rows of the current file per cell of the profile, shape (cells,).
        rows: Rows of the current file that lie in some window.
        windows: Its windows.
        features: How far each feature lies from the reference.
        left_out: Columns that were not compared.
        notes: What a reader should know.
        threshold: Evidence from which on it is drift.
        could_tell: Whether there are so many rows that some change could have been found.
    """

    profile: Profile
    counts: NDArray[np.int64]
    rows: int
    windows: Sequence[Judged]
    features: Sequence[Distances]
    left_out: Sequence[LeftOut]
    notes: Sequence[str]
    threshold: float
    could_tell: bool

    @property
    def verdict(self) -> Verdict:
        """Whether the current file has drifted from the reference, as far as the windows tell."""
        if any(window.alarm for window in self.windows):
            return "drift"
        told = [window for window in self.windows if window.feature]
        return "too few" if len(told) < _FEWEST_WINDOWS or not self.could_tell else "steady"

    @property
    def first(self) -> Judged | None:
        """The window of the first alarm."""
        return next((window for window in self.windows if window.alarm), None)


def compare(
    reference: Source, current: Source, wish: Wish, *, settings: DriftSettings, progress: Progress
) -> Comparison:
    """Judge the current file by the reference.

    Args:
        reference: What is usual.
        current: What is asked about.
        wish: What a person asked for.
        settings: Of the detector; its features and contexts are the wish's.
        progress: Gets told what is read, and gives what is told the share done.

    Raises:
        Refused: A file is no table, or nothing in it can be compared.
    """
    wanted = length(wish.window)
    sample, is_whole = sampled(reference, progress)
    columns = choose(reference, current, sample=sample, head=first_rows(current), wish=wish)
    profile = _profile(reference, sample, columns, progress=None if is_whole else progress)
    channels, needed = channels_of(profile, settings), log(settings.false_alarm_every)
    counts, rows, windows, reach = np.zeros(len(profile.counts), np.int64), 0, list[Judged](), Reach(channels)
    parts = cut(_read(current, columns.of_current(), progress), profile, wanted)
    for part, judged in _judged(parts, profile, channels, needed=needed):
        counts, rows, windows = counts + part.counts, rows + part.rows, [*windows, judged]
        if reach.log_evidence < needed:
            reach.add(profile.by_stretch(part.counts))
    if not rows:
        raise empty(current, why=f"its column {columns.time!r} holds no times" if columns.time else "")
    return Comparison(
        profile=profile,
        counts=counts,
        rows=rows,
        windows=windows,
        features=ranked(profile, counts, scores=settings.scores),
        left_out=columns.left_out,
        notes=[
            *dict.fromkeys([*reference.notes, *current.notes]),
            *columns.notes,
            *_unlike(profile, counts, current=current, reference=reference, scores=settings.scores),
            *_alike(profile, channels, reference, found={window.feature for window in windows if window.alarm}),
        ],
        threshold=settings.false_alarm_every,
        could_tell=reach.log_evidence >= needed,
    )


def _unlike(
    profile: Profile, counts: NDArray[np.int64], *, current: Source, reference: Source, scores: bool
) -> Iterator[str]:
    """What of the current file could not be read as the reference is, for a person."""
    rows = counts[profile.score_block].sum()
    for feature, cells in profile.watched:
        is_asked = scores or feature is not profile.scores
        if is_asked and not isinstance(feature, PairFeature) and counts[cells][-1] == rows > feature.counts[-1]:
            kind = "name" if isinstance(feature, CategoryFeature) else "number"
            yield f"no value of {feature.name} in {current.path.name} is a {kind}: all count as missing"
    other = counts[profile.context_block][-1:].sum() / rows
    if profile.contexts and other >= _ELSEWHERE:
        yield (
            f"{100 * other:.3g} % of {current.path.name}'s rows are of no {profile.contexts.name} that "
            f"{reference.path.name} has kept: they are compared with all of its rows"
        )


def _alike(profile: Profile, channels: Channels, reference: Source, *, found: set[str]) -> Iterator[str]:
    """That the reference's rows say little of some columns in which nothing was found."""
    pairs = {pair.name for pair in profile.pairs}
    worth = dict(zip((share.feature for share in channels.shares), channels.worth.tolist(), strict=True))
    independent = {name: profile.rows * one for name, one in worth.items() if name not in pairs | found}
    few = [
        (round(rows), name)
        for name, rows in independent.items()
        if rows < min(_INDEPENDENT_ROWS, _INDEPENDENT * profile.rows)
    ]
    if few:
        told = ", ".join(f"{rows} of {name}" for rows, name in sorted(few)[:_NAMED])
        further = f" and few of {len(few) - _NAMED} further columns" if len(few) > _NAMED else ""
        yield (
            f"the {profile.rows:,} rows of {reference.path.name} are so alike, in the order they come, that they count "
            f"as few independent ones, {told}{further}: only large changes could show there; shuffle them if their "
            "order means nothing"
        )


def _profile(reference: Source, sample: pa.Table, columns: Columns, *, progress: Progress | None) -> Profile:
    """Of the sample where that is the whole file; else the sample chooses the grids, and every row is counted."""
    first = columns.read(sample.combine_chunks().to_batches()[0])
    kinds: dict[str, Kind] = {one.name: "category" if one.kind == "category" else "number" for one in columns.features}
    pairs = _pairs(first.columns, kinds)
    draft = Profile.draft(first.columns, kinds=kinds, scores=first.scores, pairs=pairs, contexts=columns.contexts)
    if progress is None:
        return Profile.finished(draft, draft.tally(first.columns, first.scores))
    tallies = (draft.tally(batch.columns, batch.scores) for batch in _read(reference, columns, progress))
    return Profile.finished(draft, reduce(add, tallies))


def _pairs(columns: Mapping[str, Column], kinds: Mapping[str, Kind]) -> list[Pair]:
    """The few pairs of numbers that are most closely related: what is watched together."""
    names = [name for name, kind in kinds.items() if kind == "number"]
    known = {name: np.asarray(columns[name], np.float64)[:_RELATED_ROWS] for name in names}
    ranks = {
        name: _ranks(values)
        for name, values in known.items()
        if np.nanmin(values, initial=np.inf) < np.nanmax(values, initial=-np.inf)
    }
    if len(ranks) < 2:  # noqa: PLR2004 - a pair has two
        return []
    names, matrix = list(ranks), np.abs(np.corrcoef(np.stack(list(ranks.values()))))
    found = [(matrix[one, other], names[one], names[other]) for one, other in combinations(range(len(names)), 2)]
    return [
        (left, right) for closeness, left, right in sorted(found, reverse=True)[:MOST_PAIRS] if closeness >= _RELATED
    ]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-ranks, the middle where a value is missing."""
    known = np.sort(values[~np.isnan(values)])
    ranks = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
    return np.where(np.isnan(values), len(known) / 2, ranks)


def _read(source: Source, columns: Columns, progress: Progress) -> Iterator[Batch]:
    with progress(source) as told:
        for batch, done in source.batches():
            yield columns.read(batch)
            told(done)


def _judged(
    windows: Iterator[Window], profile: Profile, channels: Channels, *, needed: float
) -> Iterator[tuple[Window, Judged]]:
    evidence = Evidence.none(len(channels.shares))
    labels = list[str]()
    for window in windows:
        labels.append(window.label)
        evidence, finding = score(evidence, profile.by_stretch(window.counts), channels)
        log_evidence = finding.log_evidence if finding else -np.inf
        since = labels[finding.since - 1] if finding else ""
        alarm = log_evidence >= needed
        if alarm:
            evidence = evidence.forgiven()
        yield (
            window,
            Judged(
                label=window.label,
                rows=window.rows,
                log_evidence=log_evidence,
                alarm=alarm,
                explanation=explain(finding, since=since) if finding else _SILENT,
                feature=finding.feature if finding else "",
                since=since,
            ),
        )
