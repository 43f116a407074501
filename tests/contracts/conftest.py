"""Every port twice: kept by dictionaries, and by Microsoft's SDKs against a laptop's Azure. One laptop for them all."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import httpx
import pytest
from azure.storage.blob import BlobServiceClient

from functions.cloud.identity import credential
from functions.settings import Settings
from functions.wiring import Azure, Cloud
from laptop.identity import Identity
from laptop.ml.workspace import STUDIO
from laptop.processes import Processes
from laptop.provision import make_containers
from laptop.settings import app_settings, secret_settings
from laptop.stack import ACCOUNT, ACCOUNT_KEY, Stack
from laptop.storage.front import running_azurite
from laptop.tls import client_context, write_certificates
from tests.addresses import claimed_address
from tests.fakes.cloud import FakeCloud
from tests.laptop.ml import Speaker
from tests.laptop.serving import eventually

REAL = pytest.param("azure", marks=pytest.mark.enable_socket)


@pytest.fixture(params=["memory", REAL])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Every port, in memory or by the real adapters."""
    if request.param == "memory":
        return FakeCloud()
    found: Azure = request.getfixturevalue("azure")
    return found


@pytest.fixture
def unique() -> str:
    """A name no other test uses: the laptop's cloud forgets nothing."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def azure(stack: Stack, clients: Azure, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """The real adapters; the SDKs look at the environment at every call."""
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)
    return clients


@pytest.fixture(scope="session")
def clients(stack: Stack) -> Iterator[Azure]:
    """The real adapters, each made by the first test that needs it and kept for the others."""
    credential.cache_clear()
    yield Azure(Settings.model_validate({**app_settings(stack), **secret_settings(stack)}))
    credential.cache_clear()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Azurite and the cloud process, with the containers of a deployment; no host and no devices."""
    home = tmp_path_factory.mktemp("contracts")
    with claimed_address(home) as address, ExitStack() as running:
        stack = Stack(address, home)
        write_certificates(stack)
        running.enter_context(running_azurite(stack))
        processes = Processes(stack)
        running.callback(processes.stop)
        place = ("--address", address, "--home", str(home))
        processes.start("cloud", [sys.executable, "-m", "laptop.cloud", *place])
        _wait(stack, processes)
        with pytest.MonkeyPatch.context() as environment:
            for name, value in stack.sdk_environment().items():
                environment.setenv(name, value)
            make_containers(stack)
        yield stack


@pytest.fixture(scope="session")
def speaker(stack: Stack) -> Iterator[Speaker]:
    """Somebody who prepares the workspace and looks behind it, without the SDK."""
    identity = Identity(stack)
    headers = {"Authorization": f"Bearer {identity.token('https://management.azure.com')}"}
    headers["x-azureml-token"] = identity.token(STUDIO)
    blobs = BlobServiceClient(
        stack.blob_url,
        credential={"account_name": ACCOUNT, "account_key": ACCOUNT_KEY},
        connection_verify=str(stack.authority),
    )
    http = httpx.Client(base_url=stack.ml_url, headers=headers, verify=client_context(stack), trust_env=False)
    with http, blobs:
        yield Speaker(stack, http, blobs)


def _wait(stack: Stack, processes: Processes) -> None:
    urls = [f"{stack.blob_url}?comp=list", stack.ml_url, f"https://{stack.hub_hostname}/", stack.event_grid_url]
    with httpx.Client(verify=client_context(stack), trust_env=False) as client:

        def answers(url: str) -> bool:
            assert not processes.ended(), processes.tail("cloud")
            try:
                return not client.get(url).is_server_error
            except httpx.TransportError:
                return False

        for url in urls:
            eventually(partial(answers, url), f"{url} does not answer")
