"""What a device's row says in plain columns, window after window."""

from math import log

import numpy as np
from numpy.typing import NDArray

from functions.drift.view import NOTHING, columns
from functions.ports import Row
from tests.drift.devices import Device

EVERY = log(100_000)


def warmer(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values + 20


def shown(device: Device, count: int, known: Row, **changes: object) -> Row:
    """The columns after some more windows."""
    for decision in device.windows(count, **changes):
        assert device.state
        known = columns(known, decision, device.state, calm_windows=24)
    return known


def test_a_device_within_tolerance_shows_its_evidence_and_no_drift() -> None:
    calm = shown(Device(1), 5, {})
    assert {**calm, "log_evidence": 0.0, "version": ""} == {**NOTHING, "version": ""}
    assert 0 != float(str(calm["log_evidence"])) < EVERY


def test_a_drift_is_shown_with_its_share_and_its_peak_until_it_ends() -> None:
    device = Device(2)
    before = shown(device, 3, {})
    seen = shown(device, 4, before, temp=warmer)
    assert (seen["episode"], seen["feature"], seen["rising"]) == (4, "temp", True)
    assert str(seen["explanation"]).startswith("temp, " + str(seen["words"]) + ": ")
    assert 0 <= float(str(seen["before"])) < float(str(seen["after"])) <= 1
    assert float(str(seen["log_peak"])) >= max(EVERY, float(str(seen["log_evidence"])))
    later = shown(device, 3, seen)
    assert (later["episode"], later["feature"], later["log_peak"]) == (4, "temp", seen["log_peak"])
    over = shown(device, 30, later)
    assert {name: over[name] for name in NOTHING if name != "log_evidence"} == {
        name: NOTHING[name] for name in NOTHING if name != "log_evidence"
    }


def test_another_version_starts_without_the_drift_of_the_one_before() -> None:
    device = Device(3)
    seen = shown(device, 6, {}, temp=warmer)
    assert seen["episode"]
    (decision,) = device.windows(1)
    assert device.state
    assert columns({**seen, "version": "0"}, decision, device.state, calm_windows=24)["feature"] == ""
