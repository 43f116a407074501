"""What harm an episode does: what its devices' rows say of answers since its drift began, against what was promised."""

from collections.abc import Sequence
from dataclasses import replace

from functions import field
from functions.drift import harm
from functions.drift.records import OPEN, TELLING, Episode
from functions.loops import Loop
from functions.model_folder import CONTAINER
from functions.ports import Row
from functions.wiring import Cloud
from sketch.calibration import Calibration
from sketch.profile import Profile

_SURER = ("unknown", "harmless", "harmful")  # a verdict changes in this direction only
MOST_ASKED = 100  # devices of an episode whose answers are looked at


def judged(here: Cloud, loop: Loop, before: Episode, now: Episode) -> Episode:
    """An episode's next step with the harm it is about to be told with."""
    return _with(now, _look(here, loop, now)) if before.state != now.state == TELLING else now


def judged_again(here: Cloud, loop: Loop, one: Episode) -> Episode | None:
    """An episode that was told, by what outcomes say since; None if they say no more than was said already.

    Bounds hold at every look, so harm that was shown once was there: rows that come later thin it out, and take nothing
    back. What was ruled out may still be shown.
    """
    if one.state != OPEN or not one.noted or one.harm == _SURER[-1]:
        return None
    word = _look(here, loop, one)
    if _SURER.index(word.kind) <= _SURER.index(one.harm):
        return None
    return replace(_with(one, word), change="Judge", reason=f"{word.kind}: {word.reason}", noted=False)


def _with(one: Episode, word: harm.Harm) -> Episode:
    return replace(one, harm=word.kind, harm_reason=word.reason)


def _look(here: Cloud, loop: Loop, one: Episode) -> harm.Harm:
    scores: tuple[int, ...] = ()
    outcomes: list[field.Judged] = []
    for key in list(one.members)[:MOST_ASKED]:
        stored = here.rows.get(field.DEVICES, loop.name, key)
        use = field.from_bytes(stored.row.get(field.COLUMN)).get(one.version) if stored else None
        if stored is None or use is None:
            continue
        since = _began(use.periods, _drifted(stored.row, loop), field.period_of(one.opened, loop.rollout.compare_every))
        answers = [period for period in use.periods if period.at >= since]
        scores = _added(scores, answers)
        outcomes += [told for told in use.judged if told.at >= since]
    together = field.together(outcomes)
    return harm.judge(
        together, scores, _calibration(here, loop, one.version), metric=loop.gate.metric, harm=loop.drift.harm
    )


def _drifted(row: Row, loop: Loop) -> int:
    """Rows that a device scored from where its evidence began to its first alarm."""
    windows = int(str(row.get("episode", 0))) - int(str(row.get("since", 0))) + 1
    return max(windows, 1) * loop.drift.window_rows


def _began(periods: Sequence[field.Period], rows: int, opened: int) -> int:
    """The period in which a drift began that was found in another: so many rows before."""
    began = opened
    for period in reversed([period for period in periods if period.at <= opened]):
        if rows <= 0:
            break
        rows, began = rows - period.rows, period.at
    return began


def _added(scores: tuple[int, ...], answers: Sequence[field.Period]) -> tuple[int, ...]:
    if not answers:
        return scores
    more = field.merge(answers).scores
    return tuple(one + other for one, other in zip(scores, more, strict=True)) if scores else more


def _calibration(here: Cloud, loop: Loop, version: str) -> Calibration | None:
    """What the version's answers were promised to cost; None if its training did not say, or nobody can read it."""
    data = here.blobs.read(CONTAINER, f"{loop.name}/{version}/profile.json")
    try:
        return Profile.from_json(data.decode()).calibration if data else None
    except ValueError:  # such a profile counts no telemetry either, and is set aside with its reason there
        return None
