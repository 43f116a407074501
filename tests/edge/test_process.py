"""The device as it is run: a process of its own against the laptop's real IoT Hub and Azurite."""

import asyncio
import os
import shlex
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from azure.storage.blob import ContainerClient

from laptop import guard
from laptop.stack import Stack
from tests.addresses import free_port
from tests.edge.cloud import DEVICE, Cloud, LaptopCredential, running_cloud
from tests.edge.device import desired, rows
from tests.edge.models import KEY, ROWS, Folder, model_folder, moved
from tests.patience import HANGS_S

pytestmark = pytest.mark.enable_socket

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running_device(stack: Stack) -> AsyncIterator[str]:
    """A device process; it must end by itself, and cleanly, when asked to."""
    port = free_port(stack.address)
    where = ["--address", stack.address, "--home", str(stack.home), "--id", DEVICE, "--port", str(port)]
    log = stack.home / "device.log"
    device = shlex.join([sys.executable, "-m", "laptop.device", *where])
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", guard.__file__, f"exec {device}"),
            cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    assert process.stdin is not None
    try:
        yield f"http://{stack.address}:{port}"
    finally:
        process.stdin.close()  # the guard asks the device to end
        status = await process.wait()
    assert status == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def promoted(stack: Stack, folder: Folder) -> Folder:
    """Put a model into the real model store."""
    store = f"{stack.blob_url}/models"
    with ContainerClient.from_container_url(
        store, LaptopCredential(stack), connection_verify=str(stack.authority)
    ) as container:
        if not container.exists():
            container.create_container()
        for name, content in folder.files.items():
            container.upload_blob(f"flight-delays/{folder.wanted.version}/{name}", content, overwrite=True)
    return moved(folder, f"{store}/flight-delays/{folder.wanted.version}/")


async def ask(client: httpx.AsyncClient, url: str) -> str:
    reply = await client.post(f"{url}/score", content=rows(*ROWS))
    assert reply.status_code == 200, reply.text
    version: str = reply.json()["version"]
    return version


async def first_day(stack: Stack, cloud: Cloud, client: httpx.AsyncClient) -> None:
    """A device that has never run gets a deployment, then one model, then the next."""
    await cloud.register(module=False)
    keys = b64encode(KEY.raw).decode()
    await cloud.deploy({"MODEL_STORE_URL": f"{stack.blob_url}/models/", "MODEL_KEYS": keys})
    async with running_device(stack) as url:
        await is_alive(client, url)
        for version in ("1", "2"):
            await cloud.desire(desired(await asyncio.to_thread(promoted, stack, model_folder(version))))
            await cloud.serves(version)
            assert await ask(client, url) == version
    assert [(m["version"], m["rows"], m["sequence"]) for m in cloud.telemetry()] == [("1", 16, 0), ("2", 16, 1)]


async def second_day(stack: Stack, client: httpx.AsyncClient) -> None:
    """It starts without a cloud, serves what it has, and follows the cloud once that is back."""
    async with running_device(stack) as url:
        await is_ready(client, url)
        assert await ask(client, url) == "2"
        async with running_cloud(stack) as cloud:
            await is_connected(client, url)
            await cloud.desire(desired(moved(model_folder("1"), f"{stack.blob_url}/models/flight-delays/1/")))
            await cloud.serves("1")
        assert await ask(client, url) == "1"


def test_a_device_lives_through_deployments_a_restart_and_a_time_without_a_cloud(stack: Stack) -> None:
    async def tell() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            async with running_cloud(stack) as cloud:
                await first_day(stack, cloud, client)
            await second_day(stack, client)

    asyncio.run(tell())


async def answers(client: httpx.AsyncClient, url: str, path: str, *, holds: Callable[[httpx.Response], bool]) -> None:
    """Wait until a GET is answered as it should be."""
    async with asyncio.timeout(HANGS_S):
        while True:
            with suppress(httpx.TransportError):
                if holds(await client.get(f"{url}{path}")):
                    return
            await asyncio.sleep(0.05)


async def is_alive(client: httpx.AsyncClient, url: str) -> None:
    await answers(client, url, "/health", holds=lambda reply: reply.status_code == 200)


async def is_ready(client: httpx.AsyncClient, url: str) -> None:
    await answers(client, url, "/ready", holds=lambda reply: reply.status_code == 200)


async def is_connected(client: httpx.AsyncClient, url: str) -> None:
    await answers(client, url, "/metrics", holds=lambda reply: "refluent_edge_hub_connected 1.0" in reply.text)


def test_a_wrong_setting_stops_the_start_with_its_name_and_what_to_do() -> None:
    bare = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")}
    found = subprocess.run(
        [sys.executable, "-m", "edge"],
        cwd=ROOT,
        env=bare | {"EdgeHubConnectionString": "x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "MODEL_STORE_URL" in found.stderr
    assert "fix:" in found.stderr
    assert "Traceback" not in found.stderr
