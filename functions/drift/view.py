"""What a device's row says in plain columns beside its state: all that the fleet's view of drift reads."""

from math import log
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
    "log_peak": 0.0,  # all that was gathered since the drift's first alarm
    "explanation": "",
}


def columns(known: Row, verdict: Decision, state: DeviceState, *, calm_windows: int) -> Row:
    """The columns, and the version that they are about, after a message.

    Args:
        known: The columns before it; empty for a new device.
        verdict: What the message came to.
        state: The device's state after it.
        calm_windows: Windows without an alarm that end a drift.
    """
    same = known.get("version") == state.version and known.get("episode") == (state.episode or 0)
    kept: Row = {"version": state.version} | {
        name: known.get(name, nothing) if same else nothing for name, nothing in NOTHING.items()
    }
    match verdict:
        case Drifted():
            told = {name: getattr(verdict, name) for name in NOTHING if name != "log_peak"}
            return {
                **kept,
                **told,
                "log_peak": gathered(float(str(kept["log_peak"])), verdict.log_evidence, calm_windows),
            }
        case Steady(log_evidence=strength):
            return {**kept, "log_evidence": strength}
    return kept


def gathered(before: float, alarm: float, calm_windows: int) -> float:
    """Logarithm of a drift's evidence with one more alarm, whose evidence began anew at the one before.

    With M the evidence of the alarm and g <= C the windows since the one before, M / (g (g + 1)) is no more than an
    e-process that weighs its starts by 1 / (s (s + 1)); half of what is known is put on it, half is kept: what was
    known times M / 2C(C + 1) is an e-detector like the first alarm's, at any stopping time.

    Args:
        before: Of the alarms before; 0 at a drift's first.
        alarm: Of this alarm.
        calm_windows: C, the windows without an alarm that end a drift.
    """
    return max(before, before + alarm - log(2 * calm_windows * (calm_windows + 1))) if before else alarm
