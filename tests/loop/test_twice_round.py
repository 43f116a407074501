"""The demo's story, on real days: every process, every protocol, no stand-in for anything."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.patience import HANGS_S, STORY_HANGS_S

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(STORY_HANGS_S + HANGS_S)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("loop")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.loop.story",
        str(folder / "home"),
        str(folder / "told.json"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=STORY_HANGS_S)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dict(json.loads((folder / "told.json").read_text()))


def test_a_burst_starts_one_job_and_drift_the_second(told: dict[str, Any]) -> None:
    first, second = told["rounds"]
    assert (first["trigger"], first["jobs"], first["uploads"]) == ("data", 1, 84)
    assert (second["trigger"], second["jobs"]) == ("drift", 1)
    assert first["deliveries"] > first["uploads"], "nothing was delivered twice, so the burst proved nothing"


def test_the_second_model_beats_the_first_and_each_reaches_canary_then_everywhere(told: dict[str, Any]) -> None:
    first, second = told["rounds"]
    assert (first["model_version"], second["model_version"]) == ("1", "2")
    assert "lower than the champion's" in second["gate"]
    for one in told["rounds"]:
        canary, everywhere = one["deployment_ids"]
        assert f"-{one['model_version']}-canary-" in canary
        assert f"-{one['model_version']}-everywhere-" in everywhere


def test_every_request_was_answered_through_every_swap(told: dict[str, Any]) -> None:
    scoring = told["scoring"]
    assert scoring["requests"] > 500
    assert scoring["failed"] == 0
    assert scoring["versions"] == ["1", "2", "3"]


def test_devices_learn_the_day_after_what_came_of_their_answers(told: dict[str, Any]) -> None:
    outcomes = told["scoring"]["outcomes"]
    assert outcomes["joined"] > 10_000
    assert {name: number for name, number in outcomes.items() if name != "joined" and number} == {}


def test_a_file_that_is_none_is_set_aside_and_its_neighbours_train(told: dict[str, Any]) -> None:
    (reason,) = told["set_aside"]
    assert "cannot be trained on" in reason
    assert "DATA_FORMAT" in reason


def test_a_challenger_that_is_no_better_is_turned_down(told: dict[str, Any]) -> None:
    assert "the gate asks for 0.002" in told["rejected"]


def test_a_model_of_wrong_labels_passes_the_gate_and_is_taken_back_from_the_canary(told: dict[str, Any]) -> None:
    back = told["rolled_back"]
    assert back["version"] == "3"
    assert "3 of 3 jobs were started" in back["held"]
    assert "lower than the champion's" in back["gate"]
    assert "is the version's own" in back["because"]
    assert back["rings"] == ["canary"]


def test_a_thermometer_that_tells_celsius_is_one_device_s_drift_and_trains_nothing(told: dict[str, Any]) -> None:
    first = told["drift"][0]
    assert (first["scope"], first["let_be"]) == ("device", True)
    assert "temp, share below" in first["told"]
    assert "on 1 of 3 devices (lga)" in first["told"]
    assert "harmless: log loss" in first["told"]


def test_spring_at_all_sites_is_told_as_one_episode_whose_harm_asks_for_a_job(told: dict[str, Any]) -> None:
    spring = next(one for one in told["drift"] if one["scope"] == "fleet")
    assert spring["episode"] == "flight-delays~2"
    assert "temp, share above" in spring["told"]
    assert "on 3 of 3 devices (all sites)" in spring["reached"]
    assert not spring["let_be"]
    (launch,) = [entry for entry in told["why_spring"] if entry["decision"] == "Launch"]
    assert launch["reason"].startswith("drift on temp, share above")


def test_what_drifted_is_drawn(told: dict[str, Any]) -> None:
    assert told["picture_bytes"].startswith("89504e47")


def test_a_model_registered_by_hand_is_held(told: dict[str, Any]) -> None:
    assert told["held_models"] == 1
    (loop,) = told["status"]
    assert loop["rollouts"] == {"1": "done", "2": "done", "3": "rolled back", "4": "awaiting approval"}


def test_nothing_left_this_computer(told: dict[str, Any]) -> None:
    assert told["requests_outside_loopback"] == 0


def test_why_tells_an_upload_s_whole_story(told: dict[str, Any]) -> None:
    decisions = [entry["decision"] for entry in told["why"]]
    story = ["Launch", "Register", "Deploy", "Advance", "Finish"]
    assert [decision for decision in decisions if decision in story][: len(story)] == story
    assert "RollBack" in decisions  # of the model that its second version, sent again, was part of
    assert told["unknown"] == 404


def test_poison_in_a_batch_is_set_aside_and_its_neighbour_counted(told: dict[str, Any]) -> None:
    assert told["posted"] == 202
    codes = sorted(name.split("/")[1] for name in told["quarantined"])
    assert codes == ["DATA_FORMAT", "EG_SCHEMA", "EG_TOPIC_NOT_ALLOWED"]
    uploads = told["status"][0]["uploads"]
    counted = [uploads.get(state, 0) for state in ("landed", "superseded")]  # there is no such blob
    assert sum(counted) == 1


def test_no_function_failed_on_the_way_but_to_let_another_decide(told: dict[str, Any]) -> None:
    failed = {name for name, books in told["invocations"].items() if books["failed"]}
    assert failed <= {"judge_on_run_ended", "judge_on_timer"}  # of several looks at one run at once one decides
