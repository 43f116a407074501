"""A stack comes up, keeps its state, and leaves nothing behind however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from laptop.up import CannotStart, claimed_stack
from tests.fakes.cloud import OWN_LOOPS
from tests.files import flights
from tests.patience import HANGS_S, STORY_HANGS_S

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(STORY_HANGS_S)]
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # tests in the background too
REFLUENT = [sys.executable, "-W", "ignore", "-c", f"{HEARS_CTRL_C}; from laptop.cli import run; run()"]


@contextmanager
def running(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**inherited, **OWN_LOOPS}
    command = [*REFLUENT, "--home", str(home), "up", *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        eventually_gone(home)


def say(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(said)


def of(home: Path) -> list[str]:
    """Command lines of the processes that mention a home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in line:
            found.append(line)
    return found


def address_of(home: Path) -> str:
    return str(json.loads((home / "settings.json").read_text())["REFLUENT_ADDRESS"])


def eventually_gone(home: Path) -> None:
    deadline = time.monotonic() + HANGS_S
    while of(home):
        assert time.monotonic() < deadline, of(home)
        time.sleep(0.1)


def ask(home: Path, *words: str) -> str:
    done = subprocess.run([*REFLUENT, "--home", str(home), *words], capture_output=True, text=True, check=True)
    return done.stdout


def test_state_survives_a_stop_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "2013-01-01.parquet"
    file.write_bytes(flights())
    with running(home) as first:
        say(first, "up.")
        ask(home, "send", str(file), "--to", "flight-delays/lga")
        deadline = time.monotonic() + HANGS_S
        while json.loads(ask(home, "status", "--json"))[0]["pending"] != 1:
            assert time.monotonic() < deadline
        first.send_signal(signal.SIGINT)
        assert first.wait(HANGS_S) == 0
        eventually_gone(home)
    with running(home) as second:
        say(second, "up.")
        assert json.loads(ask(home, "status", "--json"))[0]["pending"] == 1


def test_ctrl_c_in_the_middle_of_the_start_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path / "home") as process:
        deadline = time.monotonic() + HANGS_S
        while not any("azurite" in line for line in of(tmp_path / "home")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(HANGS_S)
        eventually_gone(tmp_path / "home")


def test_two_stacks_run_side_by_side_and_a_killed_owner_takes_its_processes_along(tmp_path: Path) -> None:
    with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        say(one, "up.")
        say(two, "up.")
        taken = address_of(tmp_path / "two")
        assert address_of(tmp_path / "one") != taken
        named = pytest.raises(CannotStart, match=f"(?s)cannot listen on {taken}.*10099.*fix: ")
        with named, claimed_stack(tmp_path / "three", taken):
            pass
        one.kill()
        one.wait()
        eventually_gone(tmp_path / "one")
        assert json.loads(ask(tmp_path / "two", "status", "--json"))[0]["loop"] == "flight-delays"


def test_a_broken_loop_file_stops_the_start_with_its_line(tmp_path: Path) -> None:
    sample = Path("loops/flight-delays.toml").read_text(encoding="utf-8")
    broken = sample.replace("jobs_per_day = 3", "jobs_per_day = 0")
    folder = tmp_path / "loops"
    folder.mkdir()
    (folder / "flight-delays.toml").write_text(broken, encoding="utf-8")
    environment = {**os.environ, "LOOPS_FOLDER": str(folder)}
    command = [*REFLUENT, "--home", str(tmp_path / "home"), "up"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=HANGS_S)
    assert done.returncode != 0
    assert "flight-delays.toml, line" in done.stderr
    assert "retrain.jobs_per_day" in done.stderr
    assert "Traceback" not in done.stderr
