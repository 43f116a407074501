"""What waits for long is told of: once each time patience ends, with what it waits for."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from functions.field import drifted
from functions.journal import entries
from functions.operator.status import status
from functions.ports import Row
from functions.rollout.records import Record
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.wiring import using
from tests.fakes.cloud import FakeCloud
from tests.messages import registered
from tests.rollout.fleet import LOOP, layers, made, observe, report, scored, state
from tests.rollout.plant import canary, expected, held_out
from tests.uploads import says

BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DONE = Record(1, "done", 1, BEGUN)


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud(clock=lambda: BEGUN)) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def look(here: FakeCloud, *, days: float) -> list[str]:
    """Some turns so long after the beginning; what was told of by then."""
    here.clock = lambda: BEGUN + timedelta(days=days)
    for _ in range(3):
        advance_on_timer(None)
    return [entry.reason for entry in entries(here.rows, [LOOP]) if entry.decision == "Stall"]


def test_a_version_that_stays_in_its_ring_is_told_of_each_time_patience_ends(here: FakeCloud) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    report(here, layers(here, "1")[0], 3, ready=0)
    assert look(here, days=1.9) == []
    first = "in canary since 01 March 12:00 UTC, 48 hours longer than it has to: 0 of 3 devices of canary serve it"
    assert look(here, days=2.1) == look(here, days=3.9) == [first]
    assert look(here, days=4.1) == [first, first.replace("48", "96")]
    (found,) = status(here.rows, here.settings.loops)
    assert found.underway == {"1": "rolling in canary since 01 March 12:00:00 UTC: 0 of 3 devices of canary serve it"}
    report(here, layers(here, "1")[0], 3, ready=3)
    look(here, days=5)
    report(here, layers(here, "1")[1], 3, ready=3)
    assert len(look(here, days=9)) == 2
    assert status(here.rows, here.settings.loops)[0].underway == {}


def test_a_ring_that_takes_some_devices_and_finds_none_is_told_of(here: FakeCloud) -> None:
    canary, everywhere = here.settings.loops[LOOP].rollout.ring
    says(here, "rollout", ring=[canary, everywhere.model_copy(update={"percent": 10})])
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    report(here, layers(here, "1")[0], 3, ready=3)
    (told,) = look(here, days=3)
    assert told.endswith(f"no device matches {everywhere.devices!r}")


def test_a_silent_trial_that_scores_nothing_is_told_of(here: FakeCloud) -> None:
    says(here, "rollout", shadow_for=timedelta(days=1))
    here.rows.insert("rollouts", LOOP, DONE.key, row=DONE.row)
    made(here, "2")
    assert look(here, days=2) == look(here, days=4.9) == []
    (told,) = look(here, days=5.1)
    assert told.startswith("silently on canary since 03 March 12:00 UTC, 48 hours longer than it has to: scoring ")


def test_a_version_for_which_the_hub_has_no_room_is_told_of(here: FakeCloud) -> None:
    made(here, "1")
    here.rows.change("jobs", LOOP, keys=[f"rt-{LOOP}-1"], values={"ended_at": BEGUN})
    here.fleet.most = 0
    assert look(here, days=1) == []
    (told,) = look(here, days=2)
    assert told.startswith("let through by the gate since 01 March 12:00 UTC, 48 hours longer")
    here.registry.models.clear()  # somebody deletes it
    assert look(here, days=4.1) == [told]


def test_nothing_is_told_of_while_a_pin_holds(here: FakeCloud) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    row: Row = {"kind": "pin", "version": "1", "ring": "", "because": "an audit", "at": BEGUN}
    here.rows.insert("pins", LOOP, "pin", row=row)
    assert look(here, days=9) == []


def test_a_suspected_version_goes_on_when_a_person_has_looked_since_it_came(here: FakeCloud) -> None:
    """The word that let it in was given before anything was seen of it."""
    order: Row = {"version": "2", "ring": "", "because": "it passed our tests", "at": BEGUN - timedelta(days=1)}
    here.rows.insert("pins", LOOP, "approve:2", row=order)
    here.rows.insert("rollouts", LOOP, DONE.key, row=DONE.row)
    suspected(here)
    (told,) = look(here, days=2.5)
    assert told.endswith("goes on once that is gone, or with refluent approve")
    assert state(here, "2") == ("rolling", 0)
    here.rows.change("pins", LOOP, keys=["approve:2"], values={"at": here.now(), "because": "a broken thermometer"})
    look(here, days=2.6)
    assert state(here, "2") == ("rolling", 1)


@pytest.mark.parametrize("promises", [True, False])
def test_a_version_held_by_chance_goes_on_when_outcomes_show_that_it_keeps_its_promise(
    here: FakeCloud, *, promises: bool
) -> None:
    here.rows.insert("rollouts", LOOP, DONE.key, row=DONE.row)
    made(here, "2")
    deploy_on_model_registered(registered("2"))
    report(here, layers(here, "2")[0], 1, ready=1)
    scores = json.loads(json.dumps(asdict(expected())))
    for version in ("1", "2"):
        calibration = held_out().to_dict() if promises else None
        profile = json.dumps({"scores": scores, "calibration": calibration}).encode()
        here.blobs.put("models", f"{LOOP}/{version}/profile.json", profile)
    for device, uses in canary(1, before=1).uses.items():
        observe(here, device, **{f"v{version}": use for version, use in uses.items()})
    look(here, days=1)
    assert state(here, "2") == ("rolling", int(promises))
    told = [entry.reason for entry in entries(here.rows, [LOOP])]
    assert any("as its training promised; " in one for one in told) is promises
    assert any("it may still be chance; goes on once that is gone" in one for one in told) is not promises


def suspected(here: FakeCloud) -> None:
    """Version 2 reaches the canary, which drifts under it alone."""
    made(here, "2")
    deploy_on_model_registered(registered("2"))
    report(here, layers(here, "2")[0], 1, ready=1)
    alarmed = drifted(scored("2", periods=range(20, 40)), ["temp, share above 50"], goes_on=True, at=39)
    observe(here, "lga/inference", v1=scored("1"), v2=alarmed)
    observe(here, "ewr/inference", v1=scored("1", periods=range(40)))
