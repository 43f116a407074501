"""What a device's row says in plain columns beside its state: all that the fleet's view of drift reads."""

from typing import Final

from functions.drift.decide import Decision, Drifted, Steady
from functions.drift.state import DeviceState
from functions.ports import Row

NOTHING: Final[Row] = {
    "episode": 0,  # window of the drift's first alarm; 0 for no drift
    "feature": "",
    "words": "",
    "rising": False,
    "before": 0.0,
    "after": 0.0,
    "since": 0,
    "log_evidence": 0.0,  # of the newest window
    "log_peak": 0.0,  # the largest since the drift's first alarm
    "explanation": "",
}


def columns(known: Row, verdict: Decision, state: DeviceState) -> Row:
    """The columns, and the version that they are about, after a message.

    Args:
        known: The columns before it; empty for a new device.
        verdict: What the message came to.
        state: The device's state after it.
    """
    same = known.get("version") == state.version and known.get("episode") == (state.episode or 0)
    kept: Row = {"version": state.version} | {
        name: known.get(name, nothing) if same else nothing for name, nothing in NOTHING.items()
    }
    match verdict:
        case Drifted():
            told = {name: getattr(verdict, name) for name in NOTHING if name != "log_peak"}
            peak = max(float(str(kept["log_peak"])), verdict.log_evidence)
            return {**kept, **told, "log_peak": peak}
        case Steady(log_evidence=strength):
            return {**kept, "log_evidence": strength, "log_peak": _peak(kept, strength)}
    return kept


def _peak(kept: Row, strength: float) -> float:
    return max(float(str(kept["log_peak"])), strength) if kept["episode"] else 0.0
