"""The command line over a cloud in memory: what it prints, what it sends, and how it ends."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from functions.journal import Entry, record
from functions.operator.cli import app, new_decisions
from functions.ports import Row
from functions.wiring import using
from tests.fakes.cloud import FakeBlobs, FakeCloud

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOP = "flight-delays"
ODD = "flight-delays/ewr/[bold]a[/b] :smile: \\[.parquet"


class Recorder(FakeBlobs):
    """Remembers what was written in which order."""

    def put(self, container: str, name: str, data: bytes) -> None:
        super().put(container, name, data)
        self.written = [*getattr(self, "written", []), f"{container}/{name}"]


@pytest.fixture
def blobs() -> Recorder:
    return Recorder()


@pytest.fixture
def here(blobs: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    monkeypatch.setenv("COLUMNS", "300")
    with using(FakeCloud(blobs=blobs)) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def refluent(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def decided(here: FakeCloud, minute: int, subject: str, decision: str, *links: str, reason: str = "because") -> None:
    at = AT + timedelta(minutes=minute)
    record(here.rows, Entry(at, LOOP, "retraining", subject, decision, reason, links))


def folder(root: Path) -> Path:
    """A site's folder with two days in it, one of them in a folder of its own."""
    (root / "days" / "february").mkdir(parents=True)
    (root / "days" / "1.parquet").write_bytes(b"one")
    (root / "days" / "february" / "2.parquet").write_bytes(b"two")
    return root / "days"


def test_status_shows_every_loop_and_its_newest_decision(here: FakeCloud) -> None:
    decided(here, 0, f"{LOOP}#1", "Launch", "rt-1", reason="84 files")
    here.rows.insert("jobs", LOOP, "rt-1", row={"state": "started"})
    here.rows.insert("devices", LOOP, "lga/inference", row={"reason": "loop.sites is [ewr, jfk]"})
    held: Row = {"state": "rolling", "ring": 0, "since": AT, "reason": "dwelling 2 s"}
    here.rows.insert("rollouts", LOOP, "000000002", row=held)
    shown = refluent("status")
    assert shown.exit_code == 0
    for fact in (
        "loop flight-delays",
        "none; generation 1 open",
        "rt-1: started",
        "loop.sites is [ewr, jfk]",
        "Launch: 84 files",
        f"flight-delays:2: rolling in canary since {AT:%d %B %H:%M:%S} UTC:",
        "dwelling 2 s",
    ):
        assert fact in shown.stdout
    (found,) = json.loads(refluent("status", "--json").stdout)
    assert found["jobs"] == {"rt-1": "started"}


def test_why_prints_the_chain_a_line_a_decision(here: FakeCloud) -> None:
    decided(here, 0, f"{LOOP}#1", "Launch", "rt-1", reason="84 files")
    decided(here, 1, "rt-1", "Register", f"{LOOP}#1", reason="better")
    shown = refluent("why", "rt-1")
    assert shown.exit_code == 0
    first, second = shown.stdout.splitlines()
    assert first.split() == ["12:00:00", "retraining", "Launch", f"{LOOP}#1", "84", "files"]
    assert second.split() == ["12:01:00", "retraining", "Register", "rt-1", "better"]
    entries = json.loads(refluent("why", "rt-1", "--json").stdout)
    assert [entry["decision"] for entry in entries] == ["Launch", "Register"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_why_of_what_nobody_decided_about_fails_and_says_where_to_look(here: FakeCloud, flags: tuple[str, ...]) -> None:
    shown = refluent("why", "nobody", *flags)
    assert shown.exit_code == 1
    assert "nothing was decided about 'nobody'; the loops are flight-delays: see refluent status" in shown.stderr
    assert not here.rows.tables.get(("journal", LOOP))


def test_names_and_reasons_are_shown_as_they_are_whatever_they_hold(here: FakeCloud) -> None:
    decided(here, 0, ODD, "Quarantine", reason="loop.sites is [ewr, jfk] [/red]")
    for command in (("why", ODD), ("status",)):
        shown = refluent(*command)
        assert shown.exit_code == 0, shown.exception
        assert ODD in shown.stdout
        assert "[ewr, jfk] [/red]" in shown.stdout


def test_a_file_is_sent_under_its_own_name(here: FakeCloud, tmp_path: Path) -> None:
    sent = refluent("send", str(folder(tmp_path) / "1.parquet"), "--to", f"/{LOOP}/ewr/")
    assert (sent.exit_code, here.blobs.blobs) == (0, {("landing", f"{LOOP}/ewr/1.parquet"): b"one"})
    assert sent.stdout == f"sent 1 file(s) to /{LOOP}/ewr/; see refluent watch\n"


def test_a_folder_is_sent_with_its_layout(here: FakeCloud, tmp_path: Path) -> None:
    sent = refluent("send", str(folder(tmp_path)), "--to", f"{LOOP}/ewr", "--json")
    names = [f"landing/{LOOP}/ewr/1.parquet", f"landing/{LOOP}/ewr/february/2.parquet"]
    assert json.loads(sent.stdout) == names
    assert [f"{container}/{name}" for container, name in here.blobs.blobs] == names


@pytest.mark.usefixtures("here")
def test_duplicates_are_sent_twice_in_any_order(blobs: Recorder, tmp_path: Path) -> None:
    sent = refluent("send", str(folder(tmp_path)), "--to", f"{LOOP}/ewr", "--duplicate", "--shuffle")
    names = [f"landing/{LOOP}/ewr/1.parquet", f"landing/{LOOP}/ewr/february/2.parquet"]
    assert sorted(blobs.written) == sorted(names * 2)
    assert "sent 4 file(s)" in sent.stdout


def test_a_path_that_is_not_there_is_an_error_of_usage(here: FakeCloud) -> None:
    sent = refluent("send", "no-such-folder", "--to", f"{LOOP}/ewr")
    assert sent.exit_code == 2
    assert "no-such-folder" in sent.stderr
    assert not here.blobs.blobs


def test_watching_tells_what_was_decided_and_then_what_is_new(here: FakeCloud) -> None:
    for minute in range(2):
        decided(here, minute, f"{LOOP}#1", "Wait", reason=f"{minute} of 84 files")
    watched = new_decisions(every_s=0)
    assert [entry.reason for entry in islice(watched, 2)] == ["0 of 84 files", "1 of 84 files"]
    decided(here, 2, f"{LOOP}#1", "Launch", reason="84 files")
    assert next(watched).decision == "Launch"


def test_without_a_command_the_commands_are_listed() -> None:
    shown = refluent()
    for command in ("status", "why", "watch", "send"):
        assert command in shown.output
