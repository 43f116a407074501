"""From the local share to the cloud share: finished files only, each once, also when it is cut off anywhere."""

import errno
import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from edge.ingest.disk import Disk
from edge.ingest.rounds import Counts, Ingest
from edge.ingest.schema import schema_from
from edge.ingest.settings import Settings
from tests.files import FLIGHTS, comma_separated, flights

SCHEMA = schema_from("tests/loops/flight-delays.toml")
FILES: Mapping[str, bytes] = {
    "2013-01-01.parquet": flights(1),
    "february/2013-02-01.csv": comma_separated(**FLIGHTS),
    "2013-01-02.parquet": b"<html>",
    "2013-01-03.parquet": flights(3),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return made(tmp_path)


def made(folder: Path) -> Settings:
    share, cloud_share, rejects, state = (folder / name for name in ("share", "cloud_share", "rejects", "state"))
    for one in (share, cloud_share, rejects, state):
        one.mkdir(parents=True)
    return Settings(share, cloud_share, "ewr", rejects, state, schema="", settled_seconds=30)


def put(settings: Settings, files: Mapping[str, bytes] = FILES) -> None:
    for name, content in files.items():
        path = settings.share / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def settled(settings: Settings, disk: Disk | None = None) -> Counts:
    ingest = Ingest(settings, SCHEMA, disk)
    ingest.round(0.0)
    return ingest.round(30.0)


def listed(settings: Settings) -> list[dict[str, object]]:
    """What the manifests list, all of them together."""
    manifests = [content for name, content in files(settings.cloud_share).items() if name.endswith(".transfer.json")]
    return [one for content in manifests for one in json.loads(content)["files"]]


def test_finished_files_are_taken_or_rejected_with_a_reason_and_the_counts_add_up(settings: Settings) -> None:
    put(settings)
    put(settings, {"2013-01-04.parquet.part": b"PA", ".hidden": b"x"})
    assert settled(settings) == Counts(seen=5, taken=3, rejected=1, waiting=1, rows=7, manifests=1)
    assert sorted(files(settings.share)) == [".hidden", "2013-01-04.parquet.part"]
    reason, bad = sorted(files(settings.rejects), key=len, reverse=True)
    assert reason == f"{bad}.reason.txt"
    assert files(settings.rejects)[bad] == b"<html>"
    assert b"because: it is not readable: " in files(settings.rejects)[reason]
    there = files(settings.cloud_share)
    (manifest,) = [json.loads(content) for name, content in there.items() if name.endswith(".transfer.json")]
    assert (manifest["schema"], manifest["site"]) == (1, "ewr")
    assert manifest["files"] == [
        {
            "name": name,
            "sha256": sha256(there[name]).hexdigest(),
            "size_bytes": len(there[name]),
            "rows": 1 if name == "2013-01-01.parquet" else 3,
        }
        for name in ("2013-01-01.parquet", "2013-01-03.parquet", "february/2013-02-01.parquet")
    ]


def test_a_file_that_still_grows_waits(settings: Settings) -> None:
    ingest = Ingest(settings, SCHEMA)
    put(settings, {"2013-01-01.parquet": flights(1)[:50]})
    assert ingest.round(0.0).waiting == 1
    put(settings, {"2013-01-01.parquet": flights(1)})
    assert ingest.round(40.0).waiting == 1
    assert ingest.round(69.0).waiting == 1
    assert ingest.round(70.0) == Counts(1, 1, 0, 0, 1, 1)


def test_where_markers_are_the_convention_a_file_waits_for_its_own(settings: Settings) -> None:
    settings = replace(settings, marker=".done")
    put(settings, {"2013-01-01.parquet": flights(1)})
    ingest = Ingest(settings, SCHEMA)
    assert ingest.round(1_000.0).waiting == 1
    put(settings, {"2013-01-01.parquet.done": b""})
    assert ingest.round(1_000.0).taken == 1
    assert files(settings.share) == {}
    put(settings, {"2013-01-01.parquet.done": b"", "2013-01-02.parquet.done": b""})
    ingest.round(1_001.0)
    assert list(files(settings.share)) == ["2013-01-02.parquet.done"]


def test_a_name_that_comes_again_with_other_content_is_another_file_and_the_same_content_is_not(
    settings: Settings,
) -> None:
    for content in (flights(1), flights(2), flights(2)):
        put(settings, {"2013-01-01.parquet": content})
        counts = settled(settings)
    assert counts == Counts(2, 2, 0, 0, 3, 2)
    assert len(listed(settings)) == 2
    assert files(settings.share) == {}


def test_two_sources_that_would_be_one_file_there_are_not_both_taken(settings: Settings) -> None:
    put(settings, {"2013-01-01.csv": comma_separated(**FLIGHTS), "2013-01-01.parquet": flights(1)})
    assert settled(settings) == Counts(2, 1, 1, 0, 3, 1)
    assert any(b"2013-01-01.csv is 2013-01-01.parquet" in content for content in files(settings.rejects).values())


def test_a_file_above_the_limit_is_rejected(settings: Settings) -> None:
    put(settings, {"2013-01-01.parquet": flights(1)})
    ingest = Ingest(settings, replace(SCHEMA, at_most_bytes=100))
    ingest.round(0.0)
    assert ingest.round(30.0).rejected == 1


class Cut(BaseException):
    """The power fails."""


class FailingDisk(Disk):
    """Fails before or after an effect, or in the middle of it."""

    def __init__(self, workshop: Path, *, at: int, how: str) -> None:
        super().__init__(workshop)
        self.effects, self._at, self._how = 0, at, how

    def write(self, path: Path, content: bytes) -> None:
        with self._maybe(lambda: (self._workshop / f"{path.name}.part").write_bytes(content[: len(content) // 2])):
            super().write(path, content)

    def append(self, path: Path, line: bytes) -> None:
        def half() -> None:
            with path.open("ab") as file:
                file.write(line[: len(line) // 2])

        with self._maybe(half):
            super().append(path, line)

    def remove(self, path: Path) -> None:
        with self._maybe(lambda: None):
            super().remove(path)

    def move(self, source: Path, target: Path) -> None:
        if source.parent == self._workshop:  # the second half of a write
            super().move(source, target)
            return
        with self._maybe(lambda: None):
            super().move(source, target)

    def _maybe(self, half: object) -> "_Effect":
        self.effects += 1
        assert callable(half)
        return _Effect(self.effects == self._at, self._how, half)


class _Effect:
    def __init__(self, strikes: bool, how: str, half: object) -> None:  # noqa: FBT001 # whether it does
        self._strikes, self._how, self._half = strikes, how, half

    def __enter__(self) -> None:
        if self._strikes and self._how == "before":
            raise Cut
        if self._strikes and self._how == "in the middle":
            assert callable(self._half)
            self._half()
            raise Cut

    def __exit__(self, *_: object) -> None:
        if self._strikes and self._how == "after":
            raise Cut


def outcome(settings: Settings) -> tuple[object, ...]:
    """Everything that must not depend on where it was cut off."""
    there = {name: content for name, content in files(settings.cloud_share).items() if not name.endswith(".json")}
    every = sorted(json.dumps(one, sort_keys=True) for one in listed(settings))
    return there, every, files(settings.rejects), files(settings.share)


def test_cut_off_at_any_step_and_started_again_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    def fresh(name: str) -> Settings:
        found = replace(made(tmp_path / name), settled_seconds=0, marker=".done")
        put(found)
        put(found, {f"{name}.done": b"" for name in FILES})
        return found

    whole = fresh("whole")
    disk = FailingDisk(whole.state / "workshop", at=0, how="")
    counts = Ingest(whole, SCHEMA, disk).round(0.0)
    expected = outcome(whole)
    assert (counts.seen, counts.taken, counts.rejected, counts.waiting) == (4, 3, 1, 0)
    assert disk.effects > 15
    for at in range(1, disk.effects + 1):
        for how in ("before", "in the middle", "after"):
            settings = fresh(f"{at}-{how}")
            with pytest.raises(Cut):
                Ingest(settings, SCHEMA, FailingDisk(settings.state / "workshop", at=at, how=how)).round(0.0)
            again = Ingest(settings, SCHEMA)
            again.round(1.0)
            told = again.round(2.0)
            assert outcome(settings) == expected, (at, how)
            assert (told.seen, told.taken, told.rejected, told.waiting) == (4, 3, 1, 0), (at, how)


def test_a_move_to_another_file_system_ends_with_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_here = Path.replace

    def replacing(path: Path, target: Path) -> Path:
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace_here(path, target)

    monkeypatch.setattr(Path, "replace", replacing)
    Disk(tmp_path / "workshop").write(tmp_path / "share" / "day.parquet", b"rows")
    assert files(tmp_path) == {"share/day.parquet": b"rows"}
