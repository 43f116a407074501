"""Real HTTP, many clients, five swaps: nobody gets anything but an answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from laptop.stack import Stack
from tests.addresses import free_port
from tests.edge.device import Bench, rows, until
from tests.edge.models import ROWS, expected, model_folder
from tests.laptop.serving import http_server, running

pytestmark = pytest.mark.enable_socket

CLIENTS = 8
VERSIONS = ("2", "3", "4", "5", "6")


@asynccontextmanager
async def served(bench: Bench, address: str) -> AsyncIterator[str]:
    """The device behind a real socket."""
    port = free_port(address)
    async with running(http_server(bench.app, Stack(address, Path()), port)):
        await bench.serves("1")
        yield f"http://{address}:{port}"


async def keep_asking(url: str, stop: asyncio.Event, answers: Counter[str]) -> None:
    """One client: every answer must be that of the version it names."""
    async with httpx.AsyncClient(trust_env=False) as session:
        while not stop.is_set():
            reply = await session.post(f"{url}/score", content=rows(*ROWS))
            assert reply.status_code == 200, reply.text
            answer = reply.json()
            bias = (int(answer["version"]) - 1) / 2
            assert answer["scores"] == pytest.approx([expected(row, bias) for row in ROWS], abs=1e-5)
            answers[answer["version"]] += 1


async def swap_under_load(bench: Bench, address: str, answers: Counter[str]) -> None:
    stop = asyncio.Event()
    async with served(bench, address) as url, asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(keep_asking(url, stop, answers))
        for version in VERSIONS:
            bench.deploy(model_folder(version))
            await bench.serves(version)
            await until(partial(_seen, answers, version))
        stop.set()


def _seen(answers: Counter[str], version: str) -> bool:
    return answers[version] > CLIENTS


def test_five_swaps_under_load_fail_no_request_and_mix_no_answer(address: str, tmp_path: Path) -> None:
    bench, answers = Bench(tmp_path), Counter[str]()
    bench.deploy(model_folder("1"))
    asyncio.run(swap_under_load(bench, address, answers))
    assert bench.device.serving.swaps == 6
    assert set(answers) >= set(VERSIONS)
    told = Counter({message["version"]: message["rows"] // len(ROWS) for message in bench.hub.messages})
    assert told == answers
    assert sum(message["failed"] for message in bench.hub.messages) == 0
