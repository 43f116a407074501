import asyncio
from pathlib import Path

import pytest

from edge.twin import Desired
from tests.edge.device import Bench, desired, rows, until
from tests.edge.models import model_folder

ONE = {"temp": 41.0, "carrier": "AA"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.module.FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr("edge.module.FAREWELL_SECONDS", 1.0)


def test_reported_properties_say_what_serves_and_nothing_else_once_it_serves(tmp_path: Path) -> None:
    async def tell() -> Bench:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
        return bench

    wanted = model_folder("1").wanted
    serving = {"model": wanted.model, "version": "1", "sha256": wanted.sha256, "state": "serving"}
    assert asyncio.run(tell()).hub.reported == {"model": serving, "switchable": True}


def test_every_stage_of_a_candidate_is_one_of_the_known_states(tmp_path: Path) -> None:
    async def tell() -> Bench:
        bench = Bench(tmp_path)
        async with bench.client():
            await until(lambda: bench.hub.line)
            bench.store.open.clear()
            bench.deploy(model_folder("1"))
            await until(lambda: bench.hub.reported.get("candidate"))
            assert bench.hub.reported["candidate"] == {"version": "1", "state": "fetching", "reason": None}
            bench.store.open.set()
            await bench.serves("1")
        return bench

    states = {report["candidate"]["state"] for report in asyncio.run(tell()).hub.reports if report["candidate"]}
    assert states <= {"fetching", "checking", "loading"}


def test_a_device_scores_while_the_hub_is_away_and_reports_when_it_is_back(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client() as client:
            await bench.serves("1")
            bench.hub.away = True
            bench.hub.hang_up()
            await until(lambda: not bench.device.module.connected)
            assert (await client.post("/score", content=rows(ONE))).status_code == 200
            bench.deploy(model_folder("2"))
            bench.hub.reported.clear()
            bench.hub.away = False
            await bench.serves("2")

    asyncio.run(tell())


def test_a_patch_that_was_lost_is_noticed_at_the_next_one(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
            bench.store.put(model_folder("2").wanted.url, model_folder("2").files)
            bench.hub.deploy(desired(model_folder("2")), heard=False)
            bench.hub.version += 1
            assert bench.hub.line
            bench.hub.line.on_desired({"other": 1, "$version": bench.hub.version})
            await bench.serves("2")

    asyncio.run(tell())


def test_silence_is_not_believed_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.module.WATCH_SECONDS", 0.05)

    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
            bench.store.put(model_folder("2").wanted.url, model_folder("2").files)
            bench.hub.deploy(desired(model_folder("2")), heard=False)
            await bench.serves("2")

    asyncio.run(tell())


def test_the_last_window_is_sent_before_the_device_stops(tmp_path: Path) -> None:
    async def tell() -> Bench:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client() as client:
            await bench.serves("1")
            await client.post("/score", content=rows(ONE))
        return bench

    assert [message["rows"] for message in asyncio.run(tell()).hub.messages] == [1]


def test_a_device_stops_although_the_hub_never_answers(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.hub.away = True
        async with bench.client():
            pass

    asyncio.run(tell())


def test_a_bug_beside_the_endpoint_costs_a_restart_of_that_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.device.RESTART_SECONDS", 0.01)

    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.hub.breaks = KeyError("surprise")
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")

    asyncio.run(tell())


def test_the_program_runs_once_even_if_its_host_starts_it_twice(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.device.running(), bench.device.running():
            await bench.serves("1")
            assert bench.hub.connections == 1

    asyncio.run(tell())


def test_desired_properties_are_the_last_reading_and_the_patches_after_it() -> None:
    known = Desired()
    known.replace({"model": {"version": "1", "url": "a"}, "$version": 4})
    assert known.merge({"model": {"version": "2"}, "$version": 5})
    assert known.model == {"version": "2", "url": "a"}
    assert known.merge({"model": None, "$version": 6})
    assert known.model is None


def test_an_old_patch_or_reading_changes_nothing_and_a_gap_is_noticed() -> None:
    known = Desired()
    known.replace({"model": {"version": "2"}, "$version": 5})
    assert known.merge({"model": {"version": "1"}, "$version": 5})
    known.replace({"model": {"version": "1"}, "$version": 4})
    assert known.model == {"version": "2"}
    assert not known.merge({"model": {"version": "3"}, "$version": 7})
