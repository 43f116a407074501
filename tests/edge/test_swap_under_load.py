"""Real HTTP, many clients, five swaps: nobody gets anything but an answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvicorn

from tests.edge.cloud import ADDRESS, free_port
from tests.edge.device import Bench, rows, until
from tests.edge.models import ROWS, expected, model_folder

pytestmark = pytest.mark.enable_socket

CLIENTS = 8
VERSIONS = ("2", "3", "4", "5", "6")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # the test's process keeps its own


@asynccontextmanager
async def served(bench: Bench) -> AsyncIterator[str]:
    """The device behind a real socket."""
    port = free_port()
    server = _Server(uvicorn.Config(bench.app, host=ADDRESS, port=port, log_config=None, lifespan="on"))
    serving = asyncio.create_task(server.serve())
    try:
        await bench.serves("1")
        yield f"http://{ADDRESS}:{port}"
    finally:
        server.should_exit = True
        await serving


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


async def swap_under_load(bench: Bench, answers: Counter[str]) -> None:
    stop = asyncio.Event()
    async with served(bench) as url, asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(keep_asking(url, stop, answers))
        for version in VERSIONS:
            bench.deploy(model_folder(version))
            await bench.serves(version)
            await until(partial(_seen, answers, version))
        stop.set()


def _seen(answers: Counter[str], version: str) -> bool:
    return answers[version] > CLIENTS


def test_five_swaps_under_load_fail_no_request_and_mix_no_answer(tmp_path: Path) -> None:
    bench, answers = Bench(tmp_path), Counter[str]()
    bench.deploy(model_folder("1"))
    asyncio.run(swap_under_load(bench, answers))
    assert bench.device.serving.swaps == 6
    assert set(answers) >= set(VERSIONS)
    told = Counter({message["version"]: message["rows"] // len(ROWS) for message in bench.hub.messages})
    assert told == answers
    assert sum(message["failed"] for message in bench.hub.messages) == 0
