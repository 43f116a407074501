"""What an operator is told of drift: open episodes with what was done, and the story of one, from window to end."""

from datetime import timedelta

import pytest

from functions.journal import Entry, record
from functions.operator.status import status, why
from functions.retraining.trigger import request_retraining_on_drift, retrain_on_timer
from functions.wiring import using
from tests.drift.test_episodes import LOOP, SITES, Town, calm_town
from tests.messages import message


@pytest.fixture
def town() -> Town:
    return calm_town()


def publish(town: Town) -> None:
    """Event Grid delivers what was announced, and the retraining timer looks."""
    with using(town):
        for told in town.announcer.messages:
            if told["type"] == "Refluent.DriftDetected":
                assert isinstance(told["data"], dict)
                request_retraining_on_drift(message("Refluent.DriftDetected", told["data"], subject="lga"))
        retrain_on_timer(None)


def test_an_open_episode_is_shown_with_how_far_it_reaches_and_what_was_done(town: Town) -> None:
    town.drift("lga-1", "lga-2")
    town.turn()
    (found,) = status(town.rows, town.settings.loops)
    assert found.drift == {
        f"{LOOP}~1": "site: temp, share above 39.04: 49 % → 100 % on 2 of 6 devices (site lga), "
        "since 01 March 12:00:00 UTC; waits for further devices before it is told"
    }
    town.later(minutes=6)
    town.turn()
    (found,) = status(town.rows, town.settings.loops)
    assert found.drift[f"{LOOP}~1"].endswith("told 01 March 12:06:00 UTC; harm unknown; no wish for a job yet")
    publish(town)
    (found,) = status(town.rows, town.settings.loops)
    assert found.drift[f"{LOOP}~1"].endswith("; harm unknown; asks for a job")
    (episode,) = town.rows.find("episodes", LOOP)
    town.rows.change("episodes", LOOP, keys=[episode.key], values={"harm": "harmful"})
    (found,) = status(town.rows, town.settings.loops)
    assert found.drift[f"{LOOP}~1"].endswith("UTC; harmful; asks for a job")
    town.calm("lga-1", "lga-2")
    town.turn()
    (found,) = status(town.rows, town.settings.loops)
    assert found.drift == {}


def test_the_job_of_an_episode_is_named_with_its_state(town: Town) -> None:
    town.drift(*SITES)
    town.turn()
    publish(town)
    for wish in list(town.rows.find("requests", LOOP)):
        town.rows.change("requests", LOOP, keys=[wish.key], values={"state": 1})
    record(
        town.rows, Entry(town.now(), LOOP, "retraining", f"{LOOP}#2", "Launch", "drift on temp", ("rt-2", f"{LOOP}~1"))
    )
    town.rows.insert("jobs", LOOP, "rt-2", row={"state": "registered"})
    record(town.rows, Entry(town.now(), LOOP, "promotion", "rt-2", "Register", "better", (f"{LOOP}:2",)))
    (found,) = status(town.rows, town.settings.loops)
    assert found.drift[f"{LOOP}~1"].endswith("harm unknown; answered with rt-2: registered")
    told = why(town.rows, town.settings.loops, f"{LOOP}~1")
    assert [entry.decision for entry in told][:4] == ["Open", "Tell", "Launch", "Register"]


def test_why_tells_an_episode_from_its_devices_windows_to_the_wish(town: Town) -> None:
    record(town.rows, Entry(town.now(), LOOP, "drift", "lga-1", "Drifted", "temp: 49 % → 100 %", (f"{LOOP}:1",)))
    record(town.rows, Entry(town.now(), LOOP, "drift", "lga-1", "Drifted", "under another model", (f"{LOOP}:7",)))
    town.drift("lga-1", "lga-2")
    town.turn()
    town.later(minutes=6)
    town.turn()
    publish(town)
    told = why(town.rows, town.settings.loops, f"{LOOP}~1")
    decided = [entry.decision for entry in told if entry.decision != "Now"]
    assert decided == ["Drifted", "Open", "Tell"]
    assert {entry.subject for entry in told[3:]} == {f"{LOOP}~1", "lga-1", "lga-2"}
    (asked,) = [entry for entry in told if entry.decision == "Now" and entry.subject == f"{LOOP}~1"]
    assert asked.reason == "a job is asked for; Wait: no new files; drift asks for a job"
    (device,) = [entry for entry in told if entry.decision == "Now" and entry.subject == "lga-1"]
    assert device.reason.startswith("drifts since window 7: temp, share above 39.04: 49 % → 100 %, since window 6; ")
    assert "evidence 10^18.0" in device.reason
    assert why(town.rows, town.settings.loops, f"{LOOP}~9") == []


def test_why_of_a_device_ends_with_what_its_newest_window_says(town: Town) -> None:
    *_, last = why(town.rows, town.settings.loops, "jfk-2")
    assert (last.decision, last.subject) == ("Now", "jfk-2")
    assert last.reason.startswith("no drift; evidence 10^0.1; newest message: ")
    town.drift("jfk-2")
    town.turn()
    town.time += timedelta(minutes=6)
    town.turn()
    told = why(town.rows, town.settings.loops, "jfk-2")
    assert [entry.decision for entry in told] == ["Open", "Tell", "Now"]
