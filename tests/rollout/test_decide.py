from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.loops import Ring
from functions.ports import ModelVersion, Progress
from functions.rollout.decide import (
    Advance,
    AwaitApproval,
    Candidate,
    Deploy,
    Field,
    Finish,
    Hold,
    Known,
    Pause,
    RollBack,
    Situation,
    Step,
    Supersede,
    Trial,
    TryOut,
    admit,
    step,
    try_out,
)
from functions.rollout.records import Pin

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RINGS = (
    Ring.model_validate({"name": "canary", "devices": "tags.site='lga'", "dwell": "30 min"}),
    Ring.model_validate({"name": "everywhere", "devices": "tags.fleet='ny'", "dwell": "0 s"}),
)
OURS = ModelVersion("flight-delays", "3", "flight-delays/3", {"job": "rt-flight-delays-3-ff", "sha256": "ab"})
BY_HAND = ModelVersion("flight-delays", "3", "", {})
PIN = Pin("2", "", "the auditors are here")


def go(progress: Progress | None, *, ring: int = 0, waited: timedelta = timedelta(minutes=45), **more: Any) -> Step:  # noqa: ANN401 # any part of the situation
    rings = more.pop("rings", RINGS)
    return step(rings, Situation(ring=ring, since=NOW - waited, progress=progress, **more), now=NOW)


def let_in(
    model: ModelVersion, registered: str | None = "3", *, newest: int = 2, hours: str = "", **more: bool | Pin | str
) -> object:
    candidate = replace(Candidate(model, registered, newest), **more)  # type: ignore[arg-type] # any of its parts
    return admit(candidate, hours=hours, now=NOW)


def canary(**changes: object) -> tuple[Ring, ...]:
    fields = {"name": "canary", "devices": "tags.site='lga'", "dwell": "30 min", "grace": "1 hour"}
    return (Ring.model_validate({**fields, **changes}), RINGS[1])


def devices(targeted: int, ready: int, failed: int = 0, waiting: int = 0) -> Progress:
    return Progress(targeted, {"ready": ready, "failed": failed, "waiting": waiting})


def test_a_model_our_job_made_reaches_the_first_ring() -> None:
    assert isinstance(let_in(OURS), Deploy)


def test_a_model_registered_by_hand_waits_for_approval() -> None:
    assert isinstance(let_in(BY_HAND, None, newest=0), AwaitApproval)


def test_a_borrowed_lineage_does_not_help() -> None:
    assert isinstance(let_in(OURS, "2", newest=0), AwaitApproval)


def test_v7_after_v8_changes_nothing() -> None:
    assert isinstance(let_in(OURS, newest=4), Supersede)
    assert isinstance(go(devices(1, 1), newest=False), Supersede)


def test_a_ring_advances_when_every_device_serves_the_model_and_has_dwelt() -> None:
    assert go(devices(3, 2)) == Hold("2 of 3 devices of canary serve it")
    assert isinstance(go(devices(3, 3), waited=timedelta(minutes=29)), Hold)
    assert go(devices(3, 3)) == Advance("all 3 devices of canary serve it")
    assert isinstance(go(devices(5, 5), ring=1), Finish)


def test_no_device_in_a_ring_is_said_and_never_passes_for_success() -> None:
    assert go(devices(0, 0)) == Hold("no device matches \"tags.site='lga'\"")
    assert isinstance(go(None), Hold)


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50))
def test_one_refusal_pauses_whatever_the_others_say(targeted: int, ready: int, failed: int) -> None:
    assert isinstance(go(devices(targeted, min(ready, targeted), failed)), Pause)


@pytest.mark.parametrize("state", ["rolling", "done", "paused", "superseded", "rolling back", "rolled back"])
def test_a_redelivery_changes_nothing_whatever_became_of_the_version(state: str) -> None:
    assert let_in(OURS, newest=3, state=state) == Known(f"it is {state} already")


def test_approval_lets_in_a_model_whose_files_are_known_and_no_other() -> None:
    stranger = ModelVersion("flight-delays", "3", "flight-delays/3", {"sha256": "ab"})
    assert let_in(stranger, None, state="awaiting approval", approved=True) == Deploy("approved by an operator")
    assert isinstance(let_in(BY_HAND, None, state="awaiting approval", approved=True), AwaitApproval)


def test_a_pin_beats_everything_but_a_newer_version() -> None:
    pinned = Hold("an operator pinned every ring to version 2: the auditors are here")
    assert let_in(OURS, pin=PIN) == pinned
    assert go(devices(3, 3), pin=PIN, field=Field(harm="worse"), previous="2") == pinned
    assert isinstance(go(devices(3, 3), pin=PIN, newest=False), Supersede)


@pytest.mark.parametrize(
    ("hours", "is_open"), [("", True), ("11-13", True), ("12-13", True), ("22-4", False), ("10-12", False)]
)
def test_new_devices_get_a_model_only_in_the_maintenance_window(hours: str, *, is_open: bool) -> None:
    assert isinstance(let_in(OURS, hours=hours), Deploy) is is_open
    assert isinstance(go(devices(3, 3), hours=hours), Advance) is is_open
    assert isinstance(go(devices(3, 3), ring=1, hours=hours), Finish)


def test_a_window_over_midnight_holds_both_its_evenings_and_its_mornings() -> None:
    for hour, kind in ((21, Hold), (22, Deploy), (3, Deploy), (4, Hold)):
        assert isinstance(admit(Candidate(OURS, "3", 2), hours="22-4", now=NOW.replace(hour=hour)), kind)


def test_a_version_that_does_harm_is_rolled_back_at_once_however_few_have_it() -> None:
    harm = Field(devices=1, rows=50, harm="scores moved")
    assert go(devices(5, 1), waited=timedelta(), field=harm, previous="2") == RollBack(
        "scores moved; back to version 2"
    )


def test_a_ring_is_not_left_while_what_it_shows_looks_like_harm_and_may_be_chance() -> None:
    looks_bad = Field(devices=3, rows=900, requests=90, suspect="scores above 0.4 may still be chance")
    assert go(devices(3, 3), field=looks_bad, previous="2") == Hold(
        "all 3 devices of canary serve it; scores above 0.4 may still be chance; "
        "goes on once that is gone, or with refluent approve"
    )
    assert isinstance(go(devices(3, 3), ring=1, field=looks_bad, previous="2"), Finish)


def test_a_person_who_saw_what_a_ring_shows_may_let_it_go_on_unless_it_is_proven() -> None:
    looks_bad = Field(devices=3, rows=900, requests=90, suspect="drift on 1 of 1 device with it")
    assert isinstance(go(devices(3, 3), field=looks_bad, previous="2", vouched=True), Advance)
    assert isinstance(go(devices(3, 3), field=looks_bad, previous="2", approved=True), Hold)
    proven = replace(looks_bad, harm="scores moved")
    assert isinstance(go(devices(3, 3), field=proven, previous="2", vouched=True), RollBack)


def test_devices_that_may_not_switch_yet_are_waited_for_and_never_count_as_failed() -> None:
    assert go(devices(3, 1, waiting=2)) == Hold("1 of 3 devices of canary serve it; 2 do not want to switch now")


def test_silent_devices_are_counted_and_after_a_grace_no_longer_waited_for() -> None:
    rings = canary(grace="2 hours")
    assert isinstance(go(devices(5, 3), rings=rings), Hold)
    late = go(devices(5, 3), rings=rings, waited=timedelta(hours=2))
    assert late == Advance("3 of 5 devices of canary serve it")
    assert isinstance(go(devices(5, 0), rings=rings, waited=timedelta(days=9)), Hold)
    asked = canary(grace="2 hours", at_least_devices=4)
    assert isinstance(go(devices(5, 3), rings=asked, waited=timedelta(hours=2)), Hold)


def test_a_share_of_devices_may_refuse_and_a_share_must_be_ready() -> None:
    rings = canary(refused_share=0.1, ready_share=0.8)
    assert isinstance(go(devices(10, 8, 1), rings=rings), Advance)
    assert isinstance(go(devices(10, 8, 2), rings=rings), Pause)
    assert isinstance(go(devices(10, 7, 0), rings=rings, waited=timedelta(minutes=59)), Hold)


@pytest.mark.parametrize("what", ["devices", "rows", "requests"])
def test_a_ring_shows_enough_before_the_next_unless_it_is_the_first_version(what: str) -> None:
    rings = canary(**{f"at_least_{what}": 500})
    short, enough = (replace(Field(), **{what: number}) for number in (499, 500))  # type: ignore[arg-type] # one of its numbers
    held = go(devices(3, 3), rings=rings, field=short, previous="2")
    assert isinstance(held, Hold)
    assert "fewer than 500" in held.reason
    assert isinstance(go(devices(3, 3), rings=rings, field=enough, previous="2"), Advance)
    assert isinstance(go(devices(3, 3), rings=rings, field=short), Advance)


def test_a_ring_that_asks_for_approval_waits_for_it() -> None:
    rings = canary(approval=True)
    assert go(devices(3, 3), rings=rings) == Hold(
        "all 3 devices of canary serve it; everywhere waits for refluent approve"
    )
    assert isinstance(go(devices(3, 3), rings=rings, approved=True), Advance)


def test_an_advance_tells_what_the_field_showed() -> None:
    told = go(devices(3, 3), field=Field(3, 900, 90, found="requests refused: 0.1% on 3 devices with it"), previous="2")
    assert told == Advance("all 3 devices of canary serve it; requests refused: 0.1% on 3 devices with it")


def tried(**more: object) -> object:
    so_far = Trial(waited=timedelta(days=1), newest=True, failed=0, rows=1_000, moved=50.0, flipped=20)
    changed = replace(so_far, **more)  # type: ignore[arg-type] # any of its parts
    return try_out(canary(at_least_rows=500)[0], changed, at_least=timedelta(hours=6), limit=0.2)


def test_a_version_is_tried_out_silently_where_the_loop_asks_for_it() -> None:
    assert let_in(OURS, tried=False) == TryOut("made by rt-flight-delays-3-ff, which passed the gate")


def test_a_trial_ends_with_its_numbers_once_it_is_long_enough_and_has_seen_enough() -> None:
    told = "as a shadow its scores lay 0.050 from the answered ones, 2.0% on the other side of a half, over 1000 rows"
    assert tried() == Deploy(told)
    assert tried(moved=300.0) == Pause(
        "as a shadow its scores lay 0.300 from the answered ones, 2.0% on the other side of a half, over 1000 rows; "
        "0.2 is allowed"
    )
    held = Hold("scoring silently on canary, for 21600 s and 500 rows at least")
    assert tried(waited=timedelta(hours=5)) == tried(rows=499) == held


def test_a_trial_gives_way_to_a_newer_version_and_a_pin_and_ends_where_a_device_cannot_score() -> None:
    assert tried(newest=False) == Supersede("a newer version is on its way")
    assert tried(pin=PIN) == Hold("an operator pinned every ring to version 2: the auditors are here")
    assert tried(failed=2) == Pause("2 devices of canary cannot score with it")
