"""A stack that stops, or is killed, while jobs run."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laptop import guard
from laptop.identity import Identity
from laptop.ml.jobs import ATTEMPTS
from laptop.ml.workspace import STUDIO
from laptop.stack import WORKSPACE_ID, Stack
from tests.laptop.ml import BLOCK, blocking, process_is_gone, workspace, written
from tests.laptop.serving import eventually

pytestmark = pytest.mark.enable_socket


def test_a_job_cut_off_by_a_stop_leaves_nothing_behind_and_is_taken_up_again(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "mark").mkdir()
    waiting_once = f"[ -e ${{{{inputs.mark}}}}/waiting ] && exit 0; {BLOCK}"
    with workspace(stack) as speaker:
        process = blocking(speaker, "patient", tmp_path / "mark", waiting_once)
    assert process_is_gone(process)
    with workspace(stack) as speaker:
        assert speaker.ended("patient") == "Completed"
        eventually(lambda: speaker.told("patient")[-1:] == ["RunCompleted"], "no event said so")


def test_a_job_that_runs_whenever_the_stack_stops_fails_in_the_end(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.mkdir()
    with workspace(stack) as speaker:
        blocking(speaker, "unlucky", mark)
    for _ in range(ATTEMPTS - 1):
        (mark / "waiting").unlink()
        with workspace(stack):
            written(mark / "waiting")
    with workspace(stack) as speaker:
        assert speaker.ended("unlucky") == "Failed"
        asked = {"runId": "unlucky", "selectRunMetadata": True}
        studio = {"Authorization": f"Bearer {Identity(stack).token(STUDIO)}"}
        history = speaker.http.post(f"/history/v1.0{WORKSPACE_ID}/rundata", json=asked, headers=studio)
        assert history.json()["runMetadata"]["error"]["error"]["code"] == "ServiceError"
        assert speaker.details("unlucky")["error"] == f"The stack stopped {ATTEMPTS} times while this job ran."
        eventually(lambda: speaker.told("unlucky") == ["failed"], "no event said so")


def test_a_step_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    command = BLOCK.replace("${{inputs.mark}}", str(tmp_path))
    own = "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True).wait()"
    with subprocess.Popen([sys.executable, "-c", own, sys.executable, guard.__file__, command]) as owner:
        process = int(written(tmp_path / "waiting"))
        owner.send_signal(signal.SIGKILL)
    eventually(lambda: process_is_gone(process), "the step outlived its owner")
