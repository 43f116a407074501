"""An episode is told with the harm it does, and the wish for a job hears it when outcomes say more."""

import numpy as np
import pytest

from functions import field
from functions.events import DriftDetected
from functions.retraining.trigger import request_retraining_on_drift
from functions.wiring import using
from tests.drift.test_episodes import LOOP, NOON, SITES, Town, calm_town
from tests.drift.test_harm import PROMISE, counted, drawn, outcome
from tests.drift.test_trigger import PROFILE
from tests.messages import message


@pytest.fixture
def town() -> Town:
    """A fleet whose model came with what its answers cost on held-out rows."""
    made = calm_town()
    made.blobs.put("models", f"{LOOP}/1/profile.json", PROFILE.calibrated(PROMISE).to_json().encode())
    return made


def answers(town: Town, device: str, *, tilt: float, labelled: bool = True, version: str = "1", ago: int = 0) -> None:
    """A device scored 4,000 rows in one period; outcomes differ from what scores say by a tilt of the log-odds."""
    scores, labels = drawn(np.random.default_rng([len(device), abs(ago)]), 4_000, tilt=tilt)
    at = field.period_of(NOON, town.settings.loops[LOOP].rollout.compare_every) - ago
    period = field.Period(at, 4_000, 40, 0, (), tuple(counted(scores)))
    stored = town.rows.get("devices", LOOP, f"{device}/inference")
    uses = dict(field.from_bytes(stored.row.get(field.COLUMN))) if stored else {}
    use = field.counted(uses.get(version), "p", [period])
    uses[version] = field.judged(use, [outcome(scores, labels, at)] if labelled else [])
    town.put(device, **{field.COLUMN: field.to_bytes(uses)})


def told(town: Town) -> DriftDetected:
    (event,) = [event for event in town.announcer.announced.values() if isinstance(event, DriftDetected)]
    return event


@pytest.mark.parametrize(("tilt", "harm"), [(1.0, "harmful"), (0.0, "harmless")])
def test_outcomes_since_the_drift_began_say_what_harm_it_does(town: Town, tilt: float, harm: str) -> None:
    town.drift(*SITES)
    for device in SITES:
        answers(town, device, tilt=tilt)
    town.turn()
    assert told(town).harm == harm
    assert "rows with outcomes; that is" in told(town).harm_reason
    assert f"; {harm}: log loss 0." in town.journal[-1]


def test_what_happened_before_the_drift_does_not_count(town: Town) -> None:
    town.drift(*SITES)
    for device in SITES:
        answers(town, device, tilt=2.0, ago=5)
        answers(town, device, tilt=0.0)
    town.turn()
    assert told(town).harm == "harmless"


def test_the_windows_in_which_the_evidence_gathered_count(town: Town) -> None:
    """A window has 2,000 rows here: evidence since two windows before the alarm reaches one period back."""
    for device in SITES:
        town.drift(device)
        town.put(device, since=5)
        answers(town, device, tilt=2.0, ago=1)
        answers(town, device, tilt=2.0, version="2")
    town.turn()
    assert told(town).harm == "harmful"


def test_nothing_is_known_of_a_model_without_a_promise_or_with_a_damaged_one(town: Town) -> None:
    town.blobs.put("models", f"{LOOP}/1/profile.json", b"{}")
    town.drift(*SITES)
    town.turn()
    assert (told(town).harm, "held-out" in told(town).harm_reason) == ("unknown", True)


def test_outcomes_that_come_later_reach_the_wish_and_no_second_event(town: Town) -> None:
    town.drift(*SITES)
    town.turn()
    assert told(town).harm == "unknown"
    with using(town):
        request_retraining_on_drift(
            message("Refluent.DriftDetected", told(town).model_dump(mode="json"), subject="ewr-1")
        )
    for device in SITES:
        answers(town, device, tilt=1.0)
    for _ in range(2):
        town.turn()
    (wish,) = town.rows.find("requests", LOOP)
    assert wish.row["harm"] == "harmful"
    assert len(town.announcer.messages) == 1
    assert town.journal[-1].startswith("Judge flight-delays~1: harmful: log loss 0.")
    assert town.episode().harm == "harmful"


def test_harm_that_was_shown_is_not_taken_back_by_what_comes_later(town: Town) -> None:
    town.drift(*SITES)
    for device in SITES:
        answers(town, device, tilt=2.0)
    town.turn()
    assert told(town).harm == "harmful"
    for device in SITES:
        for hours in range(-8, 0):
            answers(town, device, tilt=0.0, ago=hours)
    town.turn()
    assert town.episode().harm == "harmful"


def test_harm_that_was_ruled_out_may_still_be_shown(town: Town) -> None:
    town.drift(*SITES)
    for device in SITES:
        answers(town, device, tilt=0.0)
    town.turn()
    assert told(town).harm == "harmless"
    for device in SITES:
        for hours in range(-8, 0):
            answers(town, device, tilt=2.0, ago=hours)
    for _ in range(2):
        town.turn()
    assert town.episode().harm == "harmful"
    assert [line.split(" ")[0] for line in town.journal][-1] == "Judge"
