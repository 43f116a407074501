"""What a version did, beside what its inputs looked like: told in the same messages, counted once with them."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from functions import field
from functions.drift.decide import Counted, Drifted
from functions.drift.runs import Stint
from functions.outcomes import learnt
from functions.telemetry import Telemetry, Told


def used(uses: field.Uses, stint: Stint, counted: Counted) -> field.Uses:
    """The uses of a device's versions, with the messages of a run that were counted.

    Args:
        uses: What is known.
        stint: The messages.
        counted: What became of them.
    """
    if not counted.counted.any():
        return uses
    run, told = stint.run, stint.told
    seconds = stint.loop.rollout.compare_every.total_seconds()
    periods = (run.at_us / 1e6 // seconds).astype(np.int64)
    found = list[field.Period]()
    for number in np.unique(periods[counted.counted]).tolist():
        chosen = np.flatnonzero(counted.counted & (periods == number))
        some = [(told.get(place), int(run.rows[place])) for place in chosen.tolist()]
        scores = run.content.scores(chosen).tolist()
        found.append(_period(number, some, scores))
    use = field.counted(uses.get(run.version), run.profile, found)
    alarms = [verdict.explanation for verdict in counted.verdicts if isinstance(verdict, Drifted)]
    newest = int(periods[counted.counted].max())
    use = field.drifted(use, alarms, goes_on=counted.state.episode is not None, at=newest)
    messages = [one for place, one in told.items() if counted.counted[place]]
    uses = _shadows({**uses, run.version: use}, messages, version=run.version)
    return learnt(uses, chain.from_iterable(one.outcomes for one in messages), stint.loop.rollout.compare_every)


def _period(number: int, told: Sequence[tuple[Told | None, int]], scores: Sequence[int]) -> field.Period:
    """One period of messages, each with its rows; raw rows that tell of no requests came one by one."""
    latencies = [one.latency_counts for one, _ in told if one and one.latency_counts]
    return field.Period(
        at=number,
        rows=sum(rows for _, rows in told),
        requests=sum(rows if one is None or one.requests is None else one.requests for one, rows in told),
        failed=sum(one.failed for one, _ in told if one),
        latencies=tuple(map(sum, zip(*latencies, strict=True))),
        scores=field.grouped(scores),
    )


def _shadows(uses: field.Uses, told: Sequence[Told], *, version: str) -> field.Uses:
    for one in told:
        shadow = one.shadow if isinstance(one, Telemetry) else None
        if shadow and shadow.version != version:
            silent = uses.get(shadow.version)
            silent = field.shadowed(silent, rows=shadow.rows, moved=shadow.moved, flipped=shadow.flipped)
            uses = {**uses, shadow.version: silent}
    return uses
