"""Does drift do harm? What rows cost by their outcomes, or, until these are known, by their scores. No clock, no SDK.

By outcomes: the average loss of the rows whose outcomes came, against what was promised: the loss on rows held out when
the model was made. Both come with bounds; harm is shown when even the smallest change they allow is too much, and ruled
out when even the largest is not. Without outcomes the loss is estimated: rows of a score are taken to cost what they
cost on held-out rows. That sees answers that move to where they cost more. It cannot see that the same answer means
something else by now, so it counts by how far days were from what their scores said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

from functions import events
from functions.drift.interval import Between, Losses, bounds, mean_of
from functions.field import Judged
from functions.loops import METRICS, Metric
from sketch.calibration import Calibration, Group
from sketch.losses import MOST_BRIER, MOST_LOG_LOSS

RISK = 0.1  # of either bound's being wrong; that harm is claimed, or ruled out, falsely has half of it
FEWEST = 100  # held-out rows, or rows with outcomes, that say anything
BEYOND = 0.05  # more of the rows may not score what no held-out row did
MOST: dict[Metric, float] = {"log_loss": MOST_LOG_LOSS, "brier": MOST_BRIER}


@dataclass(frozen=True, slots=True)
class Harm:
    """What is known of the harm that a drift does.

    Args:
        kind: Whether it is shown, ruled out, or neither.
        reason: For a person, with its numbers.
        by: What tells: outcomes that were sent, the scores alone, or nothing.
        before: What a row was promised to cost, in the loop's metric; 0 if nobody knows.
        after: What a row costs now, or is expected to; 0 likewise.
    """

    kind: events.Harm
    reason: str
    by: Literal["labels", "estimate", "nothing"] = "nothing"
    before: float = 0.0
    after: float = 0.0


class _Found(NamedTuple):
    before: float
    after: float
    change: Between
    told: str


def judge(
    outcomes: Sequence[Judged], scores: Sequence[int], calibration: Calibration | None, *, metric: Metric, harm: float
) -> Harm:
    """Judge what happened since a drift began.

    Args:
        outcomes: What answers given since then, by the drifted devices with one version, turned out to cost; in order
            of time, one entry a period; empty while none are known.
        scores: All those answers by score, in the 66 groups of `functions.field`.
        calibration: What that version's answers cost on held-out rows; None if its training did not say.
        metric: The loss that counts, the loop's own.
        harm: From so much more loss on it is harm, as a share of what was promised, > 0.
    """
    if calibration is None or calibration.rows < FEWEST:
        return Harm("unknown", "the model came without what its answers cost on held-out rows")
    labelled = sum(one.rows for one in outcomes)
    if labelled >= FEWEST:
        return _told(_by_outcomes(outcomes, calibration, metric), "labels", harm)
    estimate = _by_scores(scores, calibration, metric)
    if isinstance(estimate, str):
        few = f"{labelled} of the rows have outcomes" if labelled else "no outcomes have come"
        return Harm("unknown", f"{few} so far, and {estimate}")
    return _told(estimate, "estimate", harm)


def _told(found: _Found, by: Literal["labels", "estimate"], harm: float) -> Harm:
    limit = harm * found.before
    sure, possible = found.change.low, found.change.high
    kind: events.Harm = "harmful" if sure > limit else "harmless" if possible < limit else "unknown"
    low, high = (share / max(found.before, 1e-9) for share in (sure, possible))
    return Harm(kind, f"{found.told}; that is {low:+.0%} to {high:+.0%}, harm begins at {harm:+.0%}", by, *found[:2])


def _by_outcomes(outcomes: Sequence[Judged], calibration: Calibration, metric: Metric) -> _Found:
    windows = [_losses(one, metric) for one in outcomes]
    promised = [_losses(group, metric) for group in calibration.groups]
    before, after, rows = mean_of(promised), mean_of(windows), sum(window.rows for window in windows)
    now = bounds(windows, expected=before, most=MOST[metric], risk=RISK / 2)
    spread = sum(group.squares for group in promised) / calibration.rows - before**2
    error = NormalDist().inv_cdf(1 - RISK / 4) * sqrt(max(spread, 0.0) / calibration.rows)
    told = (
        f"{METRICS[metric]} {before:.3f} on {calibration.rows} held-out rows → {after:.3f} "
        f"({now.low:.3f} to {now.high:.3f}) on {rows} rows with outcomes"
    )
    return _Found(before, after, Between(now.low - before - error, now.high - before + error), told)


def _by_scores(scores: Sequence[int], calibration: Calibration, metric: Metric) -> _Found | str:
    """What the rows cost if scores mean what they meant; or why that cannot be said."""
    rows = sum(scores)
    if rows < FEWEST:
        return "too few rows were scored to say what they should cost"
    beyond = 1 - sum(scores[calibration.lowest : calibration.highest + 1]) / rows
    if beyond > BEYOND:
        return f"{beyond:.0%} of its scores lie where no held-out row's did"
    held = [_losses(group, metric) for group in calibration.groups]
    before, after, noise, start = mean_of(held), 0.0, 0.0, 0
    for group, known in zip(calibration.groups, held, strict=True):
        now, then = sum(scores[start : group.upto + 1]) / rows, known.rows / calibration.rows
        start = group.upto + 1
        if known.rows:
            mean = known.total / known.rows
            after += now * mean
            noise += (now - then) ** 2 * max(known.squares / known.rows - mean**2, 0.0) / known.rows
    reach = _student(1 - RISK / 2, calibration.days) * sqrt(noise + _of_days(calibration, metric, rows))
    told = (
        f"{METRICS[metric]} {before:.3f} on held-out rows → {after:.3f}, if scores mean what they meant, on {rows} rows"
    )
    return _Found(before, after, Between(after - before - reach, after - before + reach), told)


def _of_days(calibration: Calibration, metric: Metric, rows: int) -> float:
    """Variance of a mean loss around what the scores say because days differ."""
    if calibration.days < 2:  # noqa: PLR2004 - one day differs from nothing
        return 0.0
    apart = calibration.log_loss_by_day if metric == "log_loss" else calibration.brier_by_day
    now = max(rows * calibration.days / calibration.rows, 1.0)  # days, at as many rows a day as were held out
    return apart**2 * (1 / now + 1 / calibration.days)


def _student(level: float, days: int) -> float:
    """Quantile of Student's distribution for a spread that was measured on so many days.

    Source: Cornish and Fisher; Abramowitz and Stegun 26.7.5, within 1 % from 3 days on at levels up to 0.975.
    """
    z, freedom = NormalDist().inv_cdf(level), days - 1 if days > 1 else inf
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _losses(told: Judged | Group, metric: Metric) -> Losses:
    if metric == "log_loss":
        return Losses(told.rows, told.log_loss, told.log_loss_squares)
    return Losses(told.rows, told.brier, told.brier_squares)
