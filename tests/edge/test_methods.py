"""What an operator or the site can ask a module for: status, reload, rollback, and whether it may switch."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.edge.device import Bench, desired, rows, until
from tests.edge.models import model_folder

ONE = {"temp": 41.0, "carrier": "AA"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.serving.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("edge.hold.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("edge.module.FIRST_RETRY_SECONDS", 0.01)


def on_a_device(tmp_path: Path, story: Callable[[Bench, httpx.AsyncClient], Awaitable[None]]) -> None:
    """Tell a story on a device where version 2 serves, and version 1 did before; something must serve throughout."""

    async def tell() -> None:
        bench = Bench(tmp_path)
        async with bench.client() as client:
            await until(lambda: bench.hub.line)
            for version in ("1", "2"):
                bench.deploy(model_folder(version))
                await bench.serves(version)
            await story(bench, client)
            assert (await client.post("/score", content=rows(ONE))).status_code == 200

    asyncio.run(tell())


def waiting(version: str) -> dict[str, str]:
    return {"version": version, "state": "waiting", "reason": ""}


async def rolled_back(bench: Bench) -> None:
    await until(lambda: bench.hub.reported.get("candidate", {}).get("state") == "rolled back")
    await until(lambda: bench.hub.reported["model"]["version"] == "1")
    assert bench.hub.reported["candidate"]["version"] == "2"


def test_status_says_what_the_twin_says_and_more(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        answer = await bench.hub.call("status")
        assert answer.status == 200
        assert answer.payload["model"]["version"] == "2"
        assert answer.payload["switchable"] is True
        assert answer.payload["swaps"] == 2
        assert answer.payload["telemetry"] == {"waiting": 0, "dropped": 0}

    on_a_device(tmp_path, story)


def test_rollback_goes_to_the_model_before_and_says_so_until_another_one_is_asked_for(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.store.away = True
        answer = await bench.hub.call("rollback")
        assert (answer.status, answer.payload) == (202, {"model": "flight-delays", "version": "1"})
        await rolled_back(bench)
        bench.hub.repeat()
        bench.hub.hang_up()
        await until(lambda: bench.hub.connections == 2)
        await rolled_back(bench)
        assert (await client.post("/score", content=rows(ONE))).json()["version"] == "1"
        bench.store.away = False
        bench.deploy(model_folder("3"))
        await bench.serves("3")

    on_a_device(tmp_path, story)


def test_a_rollback_outlives_a_restart(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        await bench.hub.call("rollback")
        await rolled_back(bench)

    async def next_day() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("2"))
        async with bench.client():
            await rolled_back(bench)
            bench.deploy(model_folder("1"))
            await bench.serves("1")
            bench.deploy(model_folder("2"))
            await bench.serves("2")

    on_a_device(tmp_path, story)
    asyncio.run(next_day())


def test_there_is_one_step_back_and_no_other(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        await bench.hub.call("rollback")
        await rolled_back(bench)
        assert (await bench.hub.call("rollback")).status == 409

    on_a_device(tmp_path, story)


def test_a_device_with_one_model_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    async def tell() -> None:
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
            answer = await bench.hub.call("rollback")
            assert (answer.status, answer.payload["error"]["fix"][:6]) == (409, "deploy")

    asyncio.run(tell())


def test_reload_reads_the_twin_again_and_tries_again_what_failed(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        wanted = desired(model_folder("3"))
        bench.hub.deploy(wanted)
        await bench.refuses("3")
        bench.store.put(model_folder("3").wanted.url, model_folder("3").files)
        assert (await bench.hub.call("reload")).status == 202
        await bench.serves("3")
        bench.store.put(model_folder("4").wanted.url, model_folder("4").files)
        bench.hub.deploy(desired(model_folder("4")), heard=False)
        await bench.hub.call("reload")
        await bench.serves("4")

    on_a_device(tmp_path, story)


def test_while_the_site_holds_a_model_is_made_ready_and_waits(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        answer = await bench.hub.call("switchable", {"switchable": False})
        assert (answer.status, answer.payload) == (200, {"switchable": False})
        await until(lambda: bench.hub.reported["switchable"] is False)
        bench.deploy(model_folder("3"))
        await until(lambda: bench.hub.reported.get("candidate", {}).get("state") == "waiting")
        assert (await client.post("/score", content=rows(ONE))).json()["version"] == "2"
        bench.deploy(model_folder("4"))
        await until(lambda: bench.hub.reported["candidate"] | {"reason": ""} == waiting("4"))
        bench.store.away = True  # nothing is left to fetch
        await bench.hub.call("switchable", {"switchable": True})
        await bench.serves("4")
        assert bench.hub.reported["switchable"] is True

    on_a_device(tmp_path, story)


def test_the_site_can_say_so_by_a_file_too(tmp_path: Path) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        (tmp_path / "hold").touch()
        await until(lambda: bench.hub.reported["switchable"] is False)
        bench.deploy(model_folder("3"))
        await until(lambda: bench.hub.reported.get("candidate", {}).get("state") == "waiting")
        (tmp_path / "hold").unlink()
        await bench.serves("3")

    on_a_device(tmp_path, story)


def test_a_device_that_serves_nothing_waits_for_nobody(tmp_path: Path) -> None:
    async def tell() -> None:
        (tmp_path / "hold").touch()
        bench = Bench(tmp_path)
        bench.deploy(model_folder("1"))
        async with bench.client():
            await bench.serves("1")
            assert bench.hub.reported["switchable"] is False

    asyncio.run(tell())


@pytest.mark.parametrize(
    ("method", "payload", "status"),
    [("selfdestruct", None, 404), ("switchable", {"switchable": "no"}, 400), ("switchable", None, 400)],
)
def test_what_makes_no_sense_is_answered_so(tmp_path: Path, method: str, payload: object, status: int) -> None:
    async def story(bench: Bench, _: httpx.AsyncClient) -> None:
        answer = await bench.hub.call(method, payload)
        assert (answer.status, set(answer.payload["error"])) == (status, {"message", "fix"})

    on_a_device(tmp_path, story)


def test_a_disk_that_does_not_take_the_site_s_say_is_an_answer(tmp_path: Path) -> None:
    async def tell() -> None:
        (tmp_path / "share").write_text("no folder")
        bench = Bench(tmp_path, hold_file=tmp_path / "share" / "hold")
        async with bench.client():
            await until(lambda: bench.hub.line)
            assert (await bench.hub.call("switchable", {"switchable": False})).status == 500

    asyncio.run(tell())
