"""Drift is found soon, named right and told once; the same world for ever is left in peace."""

from collections.abc import Callable
from copy import replace

import numpy as np
import pytest

from functions.drift.decide import Decision, Drifted, Duplicate, Steady, Superseded, TooFew, decide
from functions.drift.policy import DriftSettings
from sketch.profile import Profile
from sketch.sketch import Sketch
from tests.drift.devices import KINDS, REFERENCE, Device, draw, key, profile_of, sketch_of

SMALL = DriftSettings(window_rows=100)


def alarms(decisions: list[Decision]) -> list[Drifted]:
    return [decision for decision in decisions if isinstance(decision, Drifted)]


def rows(count: int, seed: int = 1) -> Sketch:
    rng = np.random.default_rng(seed)
    return sketch_of(draw(rng, count), rng.beta(2, 5, count))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_world_of_training_raises_no_alarm_in_300_windows(seed: int) -> None:
    assert not alarms(Device(seed).windows(300))


def test_alarms_come_no_more_often_than_promised() -> None:
    """With an alarm promised every 50 windows at most, 600 windows may hold 12."""
    impatient = Device(5, DriftSettings(window_rows=100, false_alarm_every=50))
    assert len(alarms(impatient.windows(600))) <= 12


def test_a_reference_that_is_an_estimate_raises_no_alarm_either() -> None:
    """500 rows: the reference itself is off by several per cent."""
    few = Device(4, profile=profile_of(500, seed=9))
    assert not alarms(few.windows(200))


def minus(amount: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values - amount


@pytest.mark.parametrize("seed", range(6))
def test_half_a_standard_deviation_is_found_within_four_windows_and_named(seed: int) -> None:
    device = Device(seed)
    assert not alarms(device.windows(12))
    (first, *_) = alarms(device.windows(4, temp=minus(-5)))
    assert (first.feature, first.rising, first.is_news) == ("temp", True, True)
    assert first.after > first.before
    assert 10 <= first.since <= 16
    assert first.explanation.startswith("temp, share above ")
    assert f"since window {first.since}" in first.reason


def test_the_other_direction_is_told_as_a_falling_share() -> None:
    (first, *_) = alarms(Device(3).windows(5, temp=minus(5)))
    assert (first.feature, first.rising) == ("temp", False)
    assert first.after < first.before


@pytest.mark.parametrize(
    ("changes", "feature", "words"),
    [
        (
            {"temp": lambda v: np.where(np.arange(len(v)) % 10 == 0, np.nan, v)},
            "temp",
            "temp, share missing: 0 % → 10 %",
        ),
        ({"wind": lambda v: np.where(np.arange(len(v)) % 20 == 0, 900.0, v)}, "wind", "0.1 % → 5.0 %"),
        ({"wind": lambda v: np.where(np.arange(len(v)) % 20 == 0, -900.0, v)}, "wind", "wind, share below "),
        ({"rain": lambda v: np.where(np.arange(len(v)) % 4 == 0, 0.5, v)}, "rain", "rain, share above "),
        ({"carrier": lambda v: ["AA" if n == "UA" else n for n in v]}, "carrier", "carrier, share of 'UA': 10 % → 0 %"),
        ({"carrier": lambda v: ["DL" if n == "UA" else n for n in v]}, "carrier", "unseen categories: 0 % → "),
        ({"score": lambda v: v / 2}, "score", "score, share above "),
        ({"temp": lambda v: v * 0 + 50}, "temp", "temp, share above "),
    ],
)
def test_whatever_moves_is_named(changes: dict[str, Callable[..., object]], feature: str, words: str) -> None:
    (first, *_) = alarms(Device(8).windows(5, **changes))
    assert first.feature == feature
    assert words in first.explanation


def test_a_change_within_the_loops_tolerance_is_nobodys_concern() -> None:
    assert alarms(Device(2).windows(20, temp=minus(3)))
    assert not alarms(Device(2, DriftSettings(tolerance=0.2)).windows(20, temp=minus(3)))


def test_only_what_the_loop_watches_can_raise_an_alarm() -> None:
    watching = DriftSettings(features=("wind", "carrier"), scores=False)
    assert not alarms(Device(2, watching).windows(20, temp=minus(30), score=lambda v: v / 2))
    assert alarms(Device(2, watching).windows(20, wind=minus(4)))


def test_a_drift_that_goes_on_is_one_episode_and_its_end_is_told() -> None:
    device = Device(6)
    device.windows(3)
    drift = device.windows(12, temp=minus(-8))
    first, *later = alarms(drift)
    assert len(later) > 2
    assert not any(alarm.is_news for alarm in later)
    assert {alarm.episode for alarm in later} == {first.window}
    assert "goes on" in later[0].reason
    after = device.windows(SMALL.calm_windows + 4)
    assert not [alarm for alarm in alarms(after) if alarm.is_news]
    assert any("is over" in decision.reason for decision in after)
    (again, *_) = alarms(device.windows(6, temp=minus(-8)))
    assert again.is_news
    assert again.episode > first.episode


def test_a_window_opens_and_fills_message_by_message() -> None:
    state, first = decide(None, rows(60), key(0), profile=REFERENCE, settings=SMALL)
    assert first == TooFew("60 of 100 rows of window 1")
    state, second = decide(state, rows(60, seed=2), key(1), profile=REFERENCE, settings=SMALL)
    assert isinstance(second, Steady)
    assert second.reason.startswith("window 1: within tolerance; most notable ")
    _, third = decide(state, rows(1), key(2), profile=REFERENCE, settings=SMALL)
    assert third == TooFew("1 of 100 rows of window 2")


def test_a_message_delivered_again_changes_nothing() -> None:
    state, _ = decide(None, rows(60), key(0), profile=REFERENCE, settings=SMALL)
    again, decision = decide(state, rows(60), key(0), profile=REFERENCE, settings=SMALL)
    assert again is state
    assert isinstance(decision, Duplicate)


def test_a_late_message_of_the_same_model_still_counts() -> None:
    state, _ = decide(None, rows(10), key(5), profile=REFERENCE, settings=SMALL)
    state, _ = decide(state, rows(20), key(3), profile=REFERENCE, settings=SMALL)
    assert state.pending_rows == 30


def test_a_restarted_device_goes_on_where_its_window_was() -> None:
    state, _ = decide(None, rows(10), key(0), profile=REFERENCE, settings=SMALL)
    state, decision = decide(state, rows(20), key(0, epoch="e2"), profile=REFERENCE, settings=SMALL)
    assert decision == TooFew("30 of 100 rows of window 1")
    _, late = decide(state, rows(10), key(0), profile=REFERENCE, settings=SMALL)
    assert isinstance(late, Duplicate)


def test_a_new_model_version_starts_afresh_and_the_old_ones_stragglers_do_not_count() -> None:
    state, _ = decide(None, rows(30), key(7), profile=REFERENCE, settings=SMALL)
    state, decision = decide(state, rows(20), key(8, version="2"), profile=REFERENCE, settings=SMALL)
    assert decision == TooFew("20 of 100 rows of window 1")
    after, late = decide(state, rows(30), key(6), profile=REFERENCE, settings=SMALL)
    assert late == Superseded("delays:1 was replaced by delays:2")
    assert replace(after, ledger=state.ledger) == state
    assert isinstance(decide(after, rows(30), key(6), profile=REFERENCE, settings=SMALL)[1], Duplicate)
    assert isinstance(decide(state, rows(30), key(7), profile=REFERENCE, settings=SMALL)[1], Duplicate)
    back, decision = decide(state, rows(40), key(9), profile=REFERENCE, settings=SMALL)
    assert (back.version, decision) == ("1", TooFew("40 of 100 rows of window 1"))


def test_the_numbers_of_windows_go_on_so_that_no_two_episodes_of_a_device_share_one() -> None:
    device = Device(6)
    (first, *_) = alarms(device.windows(4, temp=minus(-8)))
    device.settings = DriftSettings(tolerance=0.01)
    (second, *_) = alarms(device.windows(4, temp=minus(-8)))
    assert second.is_news
    assert second.episode > 4 >= first.episode


def test_a_watched_feature_that_an_older_model_does_not_have_is_left_out() -> None:
    assert alarms(Device(2, DriftSettings(features=("wind", "gust"))).windows(20, wind=minus(4)))
    assert all(isinstance(d, TooFew) for d in Device(2, DriftSettings(features=("gust",), scores=False)).windows(3))


def test_what_a_loop_watches_and_a_profile_does_not_know_is_told_with_every_window() -> None:
    calm, warm = (Device(2, DriftSettings(features=features)) for features in (("temp", "gust"), ("temp",)))
    assert calm.windows(1)[0].reason.endswith("; not in this model's profile: gust")
    assert calm.windows(3, temp=minus(-20))[-1].reason.endswith("; not in this model's profile: gust")
    assert "profile: " not in warm.windows(1)[0].reason
    nothing = Device(2, DriftSettings(features=("gust",), scores=False))
    assert nothing.windows(1)[0].reason.endswith("can be compared; not in this model's profile: gust")


def test_rows_of_contexts_that_training_did_not_know_are_told() -> None:
    rng = np.random.default_rng(1)
    hours, answers = np.repeat(np.arange(4), 1_000), rng.random(4_000)
    profile = Profile.build({**draw(rng, 4_000), "hour": hours}, kinds=KINDS, scores=answers, contexts=["hour"])
    for hour, told in ((3, False), (9, True)):
        window = Sketch(profile)
        window.add({**draw(rng, 200), "hour": np.full(200, hour)}, rng.random(200))
        _, decision = decide(None, window, key(0, profile=profile), profile=profile, settings=DriftSettings())
        assert decision.reason.endswith("; 100 % of the rows are of no context that training knew") == told


def test_a_new_profile_starts_afresh() -> None:
    other = profile_of(300, seed=2)
    rng = np.random.default_rng(1)
    state, _ = decide(None, rows(30), key(0), profile=REFERENCE, settings=SMALL)
    sketch = sketch_of(draw(rng, 5), rng.random(5), other)
    state, decision = decide(state, sketch, key(1, profile=other), profile=other, settings=SMALL)
    assert (state.profile, decision) == (other.hash, TooFew("5 of 100 rows of window 1"))


def test_other_watched_features_start_the_evidence_afresh_and_leave_the_open_window() -> None:
    state, _ = decide(None, rows(30), key(0), profile=REFERENCE, settings=SMALL)
    fewer = DriftSettings(window_rows=100, features=("temp",))
    state, decision = decide(state, rows(20), key(1), profile=REFERENCE, settings=fewer)
    assert decision == TooFew("50 of 100 rows of window 1")
    assert isinstance(decide(state, rows(30), key(0), profile=REFERENCE, settings=fewer)[1], Duplicate)


def test_a_reference_of_one_row_says_so_instead_of_guessing() -> None:
    device = Device(1, SMALL, profile=profile_of(1, seed=3))
    assert all(isinstance(decision, TooFew) for decision in device.windows(30))


def test_what_does_not_belong_together_is_refused() -> None:
    other = profile_of(300, seed=2)
    with pytest.raises(ValueError, match="profile"):
        decide(None, rows(3), key(0), profile=other, settings=SMALL)
    with pytest.raises(ValueError, match="profile"):
        decide(None, rows(3), key(0, profile=other), profile=REFERENCE, settings=SMALL)


@pytest.mark.parametrize(
    "wrong", [{"window_rows": 0}, {"false_alarm_every": 1}, {"tolerance": 1.0}, {"tolerance": -0.1}]
)
def test_settings_without_a_detector_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="settings"):
        DriftSettings(**wrong)  # type: ignore[arg-type] # wrong on purpose
