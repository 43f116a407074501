from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from functions.loops import Ring
from functions.ports import ModelVersion, Progress
from functions.rollout.decide import (
    Advance,
    AwaitApproval,
    Deploy,
    Finish,
    Hold,
    Pause,
    Step,
    Supersede,
    admit,
    step,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RINGS = (
    Ring.model_validate({"name": "canary", "devices": "tags.site='lga'", "dwell": "30 min"}),
    Ring.model_validate({"name": "everywhere", "devices": "tags.fleet='ny'", "dwell": "0 s"}),
)
OURS = ModelVersion("flight-delays", "3", "flight-delays/3", {"job": "rt-flight-delays-3-ff", "sha256": "ab"})
BY_HAND = ModelVersion("flight-delays", "3", "", {})


def go(
    progress: Progress | None, *, ring: int = 0, waited: timedelta = timedelta(hours=1), newest: bool = True
) -> Step:
    return step(RINGS, ring, since=NOW - waited, progress=progress, newest=newest, now=NOW)


def devices(targeted: int, ready: int, failed: int = 0) -> Progress:
    return Progress(targeted, {"ready": ready, "failed": failed})


def test_a_model_our_job_made_reaches_the_first_ring() -> None:
    assert isinstance(admit(OURS, job_registered="3", newest=2), Deploy)


def test_a_model_registered_by_hand_waits_for_approval() -> None:
    assert isinstance(admit(BY_HAND, job_registered=None, newest=0), AwaitApproval)


def test_a_borrowed_lineage_does_not_help() -> None:
    assert isinstance(admit(OURS, job_registered="2", newest=0), AwaitApproval)


def test_v7_after_v8_changes_nothing() -> None:
    assert isinstance(admit(OURS, job_registered="3", newest=4), Supersede)
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
