"""What a challenger may not be worse at, however good it is on the whole."""

from collections.abc import Mapping

from functions.loops import METRICS, Gate, Limit
from functions.promotion.report import Score, Scored


def broken(gate: Gate, challenger: Score, champion: Score) -> list[str]:
    """Every limit of the gate that the challenger breaks, or that the report does not let one check."""
    worse = [text for limit in gate.never_worse for text in _worse(limit, challenger, champion)]
    return [*worse, *_slower(gate.at_most_slower, challenger, champion)]


def _worse(limit: Limit, challenger: Score, champion: Score) -> list[str]:
    name = METRICS[limit.metric]
    mine, theirs = _groups(limit, challenger), _groups(limit, champion)
    if not mine or mine.keys() != theirs.keys():
        return [f"the report has no {name} of both models by {limit.by}"]
    found = []
    for group in sorted(mine):
        of = name if limit.by == "all" else f"{name} of {limit.by} {group}"
        new, old = mine[group].value(limit.metric), theirs[group].value(limit.metric)
        if new is None or old is None:
            found.append(f"the report has no {of} of both models")
        elif (change := old - new if limit.metric == "auc" else new - old) > limit.than:
            found.append(f"{of} {change:.4f} worse, {new:.4f} against {old:.4f}; at most {limit.than} is allowed")
    return found


def _groups(limit: Limit, score: Score) -> Mapping[str, Scored]:
    return {"site": score.by_segment, "slice": score.by_slice, "all": {"all": score}}[limit.by]


def _slower(most: float | None, challenger: Score, champion: Score) -> list[str]:
    if most is None:
        return []
    if challenger.latency_ms is None or champion.latency_ms is None:
        return ["the report has no latency of both models"]
    ratio = challenger.latency_ms / champion.latency_ms
    if ratio <= most:
        return []
    times = f"{challenger.latency_ms:.3g} ms against {champion.latency_ms:.3g} ms"
    return [f"{ratio:.2f} times as slow, {times}; at most {most} is allowed"]
