import asyncio
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.telemetry import FOLD_ROWS
from sketch.profile import Profile
from sketch.sketch import Sketch
from tests.edge.device import Bench, rows, until
from tests.edge.models import ROWS, Folder, model_folder

ONE = {"temp": 41.0, "carrier": "AA"}


def on_a_device(
    tmp_path: Path, story: Callable[[Bench, httpx.AsyncClient], Awaitable[None]], **settings: int | str
) -> list[dict[str, Any]]:
    """Tell a story on a device where version 1 serves, stop the device, and return what it told the hub."""

    async def tell() -> list[dict[str, Any]]:
        bench = Bench(tmp_path, store=None, **settings)
        bench.deploy(model_folder("1"))
        async with bench.client() as client:
            await bench.serves("1")
            await story(bench, client)
        return bench.hub.messages

    return asyncio.run(tell())


def sketch_of(message: dict[str, Any], folder: Folder) -> Sketch:
    return Sketch.from_bytes(b64decode(message["sketch"]), Profile.from_json(folder.files["profile.json"].decode()))


def test_a_window_says_what_was_scored_and_how_it_went(tmp_path: Path) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        await client.post("/score", content=rows(*ROWS))
        await client.post("/score", content=rows(ONE))
        await client.post("/score", content=b"{")

    (message,) = on_a_device(tmp_path, story)
    assert list(message) == [
        "v", "loop", "model", "version", "profile", "epoch", "sequence", "from", "to",
        "rows", "requests", "failed", "latency_ms_p50", "latency_ms_max", "latency_counts", "sketch",
    ]  # fmt: skip
    assert {name: message[name] for name in ("v", "loop", "model", "version", "sequence")} == {
        "v": 1, "loop": "flight-delays", "model": "flight-delays", "version": "1", "sequence": 0,
    }  # fmt: skip
    assert (message["rows"], message["requests"], message["failed"]) == (len(ROWS) + 1, 3, 1)
    assert 0 < message["latency_ms_p50"] <= message["latency_ms_max"]
    assert datetime.fromisoformat(message["from"]) <= datetime.fromisoformat(message["to"])
    assert datetime.fromisoformat(message["to"]).utcoffset() is not None
    assert message["profile"] == model_folder("1").wanted.profile


def test_the_sketch_counts_exactly_the_rows_and_scores_of_the_window(tmp_path: Path) -> None:
    replies: list[dict[str, Any]] = []

    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        replies.append((await client.post("/score", content=rows(*ROWS))).json())
        replies.append((await client.post("/score", content=rows(ONE))).json())

    (message,) = on_a_device(tmp_path, story)
    found = sketch_of(message, model_folder("1"))
    recomputed = Sketch(found.profile)
    columns = {name: [row[name] for row in [*ROWS, ONE]] for name in ("temp", "carrier")}
    recomputed.add(columns, np.array(replies[0]["scores"] + replies[1]["scores"]))
    assert found == recomputed


def test_a_swap_closes_the_window(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        await client.post("/score", content=rows(ONE, ONE))
        bench.deploy(model_folder("2"))
        await bench.serves("2")
        await client.post("/score", content=rows(ONE))

    first, second = on_a_device(tmp_path, story)
    assert [(m["version"], m["rows"], m["sequence"]) for m in (first, second)] == [("1", 2, 0), ("2", 1, 1)]
    assert first["epoch"] == second["epoch"]
    assert sketch_of(first, model_folder("1")).rows == 2
    assert sketch_of(second, model_folder("2")).rows == 1


def test_a_window_closes_when_it_has_enough_rows(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        for _ in range(4):
            await client.post("/score", content=rows(ONE, ONE))
        await until(lambda: len(bench.hub.messages) == 2)

    messages = on_a_device(tmp_path, story, telemetry_every_rows=4)
    assert [(m["rows"], m["sequence"]) for m in messages] == [(4, 0), (4, 1)]


def test_a_window_closes_after_its_time(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        await client.post("/score", content=rows(ONE))
        await until(lambda: bench.hub.messages)

    assert [m["rows"] for m in on_a_device(tmp_path, story, telemetry_every_seconds=1)] == [1]


def test_a_device_nobody_asks_says_nothing(tmp_path: Path) -> None:
    async def story(_: Bench, __: httpx.AsyncClient) -> None:
        await asyncio.sleep(0)

    assert on_a_device(tmp_path, story) == []


def test_rows_are_counted_in_batches_and_none_is_lost(tmp_path: Path) -> None:
    async def story(__: Bench, client: httpx.AsyncClient) -> None:
        for _ in range(5):
            await client.post("/score", content=rows(*[ONE] * (FOLD_ROWS // 2 + 1)))

    (message,) = on_a_device(tmp_path, story)
    assert message["rows"] == sketch_of(message, model_folder("1")).rows == 5 * (FOLD_ROWS // 2 + 1)


def test_a_hub_that_is_away_costs_only_the_oldest_messages(tmp_path: Path) -> None:
    async def story(bench: Bench, client: httpx.AsyncClient) -> None:
        bench.hub.away = True
        bench.hub.hang_up()
        for _ in range(5):
            await client.post("/score", content=rows(ONE, ONE))
        await until(lambda: bench.device.outbox.dropped == 2)
        bench.hub.away = False
        await until(lambda: len(bench.hub.messages) == 3)

    messages = on_a_device(tmp_path, story, telemetry_every_rows=2, telemetry_messages=3)
    assert [m["sequence"] for m in messages] == [2, 3, 4]


@pytest.mark.parametrize("loop", ["", "delays-of-2013"])
def test_the_loop_has_its_model_s_name_unless_it_is_told_otherwise(tmp_path: Path, loop: str) -> None:
    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        await client.post("/score", content=rows(ONE))

    (message,) = on_a_device(tmp_path, story, loop=loop)
    assert message["loop"] == (loop or "flight-delays")


number = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(10**9), 10**9)
Rows = list[dict[str, float | str | None]]
row = st.fixed_dictionaries({"temp": number, "carrier": st.none() | st.text(max_size=3)})


@settings(max_examples=25)  # each starts and stops a device
@given(st.lists(st.lists(row, min_size=1, max_size=5), min_size=1, max_size=4))
def test_any_rows_a_device_answers_are_counted_as_sent(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Rows]
) -> None:
    replies: list[float] = []

    async def story(_: Bench, client: httpx.AsyncClient) -> None:
        for batch in batches:
            reply = await client.post("/score", content=json.dumps({"rows": batch}).encode())
            assert reply.status_code == 200, reply.text
            replies.extend(reply.json()["scores"])

    (message,) = on_a_device(tmp_path_factory.mktemp("device"), story)
    found = sketch_of(message, model_folder("1"))
    recomputed = Sketch(found.profile)
    sent = [row for batch in batches for row in batch]
    recomputed.add({name: [row[name] for row in sent] for name in ("temp", "carrier")}, np.array(replies))
    assert found == recomputed
