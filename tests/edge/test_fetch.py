"""A line that breaks costs what was not yet here, and nothing that was."""

import asyncio
from pathlib import Path

import pytest

from tests.edge.device import Bench, until
from tests.edge.models import Folder, model_folder

PADDING = b"\x32" + b"\xa0\x1f" + b"#" * 4_000  # a doc_string of 4,000 characters, as ONNX has it


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.following.FIRST_RETRY_SECONDS", 0.01)


def large() -> Folder:
    """Model 2, in several chunks."""
    return model_folder("2").with_file("model.onnx", model_folder("2").files["model.onnx"] + PADDING)


def arriving(folder: Path) -> Path:
    return folder / f".{large().wanted.sha256}"


async def broken_off(bench: Bench) -> None:
    bench.store.cut_after = 2_000
    bench.deploy(large())
    await until(lambda: "no route" in str(bench.hub.reported.get("candidate", {}).get("reason")))
    assert bench.hub.reported["candidate"]["state"] == "fetching"


def starts(bench: Bench) -> list[int]:
    """Where reading the graph began, try for try."""
    return [start for name, start in bench.store.reads if name == "model.onnx"]


def test_a_fetch_goes_on_where_the_line_broke(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        async with bench.client():
            await broken_off(bench)
            bench.store.cut_after = None
            await bench.serves("2")
        assert starts(bench)[:2] == [0, 2_000]
        assert all(start % 2_000 == 0 for start in starts(bench))

    asyncio.run(tell())


def test_a_fetch_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        async with bench.client():
            await broken_off(bench)
            bench.hub.away = True
            bench.store.away = True
        store, tried = bench.store, len(starts(bench))
        store.away, store.cut_after = False, None
        again = Bench(tmp_path, store=store)
        again.deploy(large())
        async with again.client():
            await again.serves("2")
        assert starts(again)[tried:][0] >= 2_000

    asyncio.run(tell())


def test_a_file_that_changed_meanwhile_is_read_from_its_start(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        async with bench.client():
            await broken_off(bench)
            bench.store.away = True
            (arriving(tmp_path) / ".model.onnx.etag").write_text("another")
            bench.store.away, bench.store.cut_after = False, None
            await bench.serves("2")
        assert starts(bench)[-1] == 0

    asyncio.run(tell())


def test_a_part_that_was_damaged_on_the_disk_is_read_again(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        async with bench.client():
            await broken_off(bench)
            bench.store.away = True
            (arriving(tmp_path) / "model.onnx").write_bytes(b"x" * 2_000)
            bench.store.away, bench.store.cut_after = False, None
            await bench.serves("2")
        assert starts(bench)[-1] == 0

    asyncio.run(tell())


def test_nothing_is_left_of_a_model_that_was_refused(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(large().with_file("samples.json", b"{}"))
        async with bench.client():
            await bench.refuses("2")
            await until(lambda: {path.name for path in tmp_path.iterdir()} == {"telemetry"})

    asyncio.run(tell())


def test_a_disk_that_is_full_is_tried_again(tmp_path: Path) -> None:
    async def tell() -> None:
        blocked = tmp_path / "models"
        bench = Bench(blocked)
        async with bench.client():
            arriving(blocked).write_text("in the way")
            bench.deploy(large())
            await until(lambda: "cannot be kept on disk" in str(bench.hub.reported.get("candidate", {}).get("reason")))
            arriving(blocked).unlink()
            await bench.serves("2")

    asyncio.run(tell())
