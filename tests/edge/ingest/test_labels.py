"""Files of labels: told to the scoring module, each outcome once, whoever is away or crashes."""

import asyncio
import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import Misconfigured
from edge.ingest.clean import Unclean
from edge.ingest.disk import Disk
from edge.ingest.labels import Labels, are_labels, read_labels
from edge.ingest.rounds import Counts
from edge.ingest.settings import settings_from
from edge.server import server
from tests.addresses import free_port
from tests.edge.device import Bench
from tests.edge.ingest.test_rounds import files, made, put, settled
from tests.files import flights, parquet

FILES = {
    "2013-02-18.labels.csv": b"id,label,remark\na-1,1,x\na-2,0,\n007,,not known yet\nnobody,1,\n",
    "more/2013-02-19.labels.parquet": parquet(id=["a-3", "a-1"], label=[True, False]),
    "2013-01-01.parquet": flights(2),
}


def test_names_say_what_is_labels() -> None:
    names = ["a.labels.csv", "b/c.labels.parquet", "a.csv", "labels.csv", "a.labels.txt", "a.labels", ".labels.csv"]
    assert [name for name in names if are_labels(name)] == ["a.labels.csv", "b/c.labels.parquet"]


def test_ids_and_labels_are_read_as_they_are_and_what_nobody_knows_is_left_out() -> None:
    found = read_labels("x.labels.csv", FILES["2013-02-18.labels.csv"])
    assert found == Labels(["a-1", "a-2", "nobody"], [True, False, True])
    assert read_labels("x.labels.csv", b"id,label\n007,1\n8,0\n") == Labels(["007", "8"], [True, False])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"id,late\na,1\n", "it has no column label"),
        (b"id,label,label\na,1,1\n", "it has 2 columns label"),
        (b"id,label\na,2\n", "label holds int64"),
        (b"id,label\na,yes\n", "label holds string"),
        (b"id,label\n" + b"x" * 65 + b",1\n", "not of 1 to 64 characters"),
        (b'id,label\n"",1\n', "id is missing in some row"),
        (b"id,label\n", "id is missing in some row"),
        (b"<html>\n<p>\n", "it has no column id"),
        (b"", "it is not readable"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Unclean, match=reason):
        read_labels("x.labels.csv", content)


SCORES = np.array([0.2, 0.7, 0.9], np.float32)


@contextmanager
def scoring(folder: Path, address: str, port: int) -> Iterator[Bench]:
    """A scoring module on a socket, which gave the answers a-1, a-2 and a-3."""
    bench = Bench(folder)
    bench.device.answers.note("1", ["a-1", "a-2", "a-3"], SCORES)
    running = server(bench.app, host=address, port=port)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    while not running.started:
        threading.Event().wait(0.005)
    try:
        yield bench
    finally:
        running.should_exit = True
        thread.join(20)


class Cut(Disk):
    """A disk that fails once, where it is to write down that labels were told."""

    def append(self, path: Path, line: bytes) -> None:
        if line.startswith(b'{"told"'):
            raise OSError(errno.EIO, "cut off")
        super().append(path, line)


@pytest.mark.enable_socket
def test_labels_wait_for_the_module_and_are_counted_once_whatever_is_cut_off(tmp_path: Path, address: str) -> None:
    port = free_port(address)
    settings = replace(made(tmp_path), outcomes_url=f"http://{address}:{port}/outcomes")
    put(settings, FILES)
    assert settled(settings) == Counts(seen=3, taken=1, rejected=0, waiting=2, rows=2, manifests=1)
    with scoring(tmp_path / "device", address, port) as bench:
        with pytest.raises(OSError, match="cut off"):
            settled(settings, Cut(settings.state / "workshop"))
        assert settled(settings) == Counts(3, 3, 0, 0, rows=2, manifests=1, outcomes=1)
        assert settled(settings) == Counts(3, 3, 0, 0, rows=2, manifests=1, outcomes=1)
        told = bench.device.answers.counts
    assert (told.joined, told.duplicate, told.conflicting, told.unknown) == (3, 2, 1, 2)
    assert files(settings.share) == {}
    assert all("labels" not in name for name in files(settings.cloud_share))


@pytest.mark.enable_socket
def test_what_the_module_refuses_is_rejected_with_its_words(tmp_path: Path, address: str) -> None:
    port = free_port(address)
    settings = replace(made(tmp_path), outcomes_url=f"http://{address}:{port}/outcomes")
    put(settings, {"a.labels.csv": b"id,label\na,\n", "b.labels.csv": b"id,late\na,1\n"})
    with scoring(tmp_path / "device", address, port):
        found = settled(settings)
    assert (found.taken, found.rejected, found.outcomes) == (1, 1, 0)  # a file that knows nothing yet tells nothing
    (reason,) = [text for name, text in files(settings.rejects).items() if name.endswith(".reason.txt")]
    assert b"it has no column label; it has id, late" in reason


def test_without_a_module_to_tell_such_a_file_is_like_any_other(tmp_path: Path) -> None:
    settings = made(tmp_path)
    put(settings, {"a.labels.csv": FILES["2013-02-18.labels.csv"]})
    assert settled(settings).rejected == 1


@pytest.mark.parametrize(
    "url", ["https://inference/outcomes", "http:///outcomes", "http://inference/score", "x", "http://a:b/outcomes"]
)
def test_only_outcomes_on_the_device_s_own_network_are_told(tmp_path: Path, url: str) -> None:
    needed = ("SHARE", "CLOUD_SHARE", "REJECTS", "STATE")
    environment = {f"INGEST_{name}": str(tmp_path / name) for name in needed} | {
        "INGEST_SITE": "ewr",
        "INGEST_SCHEMA": "x",
    }
    assert settings_from({**environment, "INGEST_OUTCOMES_URL": "http://inference:8080/outcomes"}).outcomes_url
    with pytest.raises(Misconfigured, match="INGEST_OUTCOMES_URL"):
        settings_from({**environment, "INGEST_OUTCOMES_URL": url})
