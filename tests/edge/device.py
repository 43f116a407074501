"""A device on fakes, and the waiting that tests about it share."""

import asyncio
import atexit
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx

from edge.app import ScoringApp
from edge.device import Device
from edge.errors import Unfit
from edge.sandbox import Sandbox
from edge.settings import Settings
from tests.edge.models import KEY, STORE, Folder
from tests.fakes.edge import FakeHub, FakeStore
from tests.patience import HANGS_S

SANDBOX = Sandbox(mebibytes=2_048, seconds=20)  # one for all tests of a worker: its start takes half a second
atexit.register(SANDBOX.__exit__)


class Bench:
    """A device, its store and its hub.

    Args:
        folder: Where the device keeps models.
        store: Its model store; a new one unless given.
        settings: What differs from the defaults.
    """

    def __init__(self, folder: Path, *, store: FakeStore | None = None, **settings: object) -> None:
        self.store = store or FakeStore(STORE)
        self.hub = FakeHub()
        plain = Settings(STORE, folder, model_keys=(KEY,), model_signatures="required", hold_file=folder / "hold")
        chosen = replace(plain, **settings)  # type: ignore[arg-type] # by name
        self.device = Device(chosen, store=self.store, checker=SANDBOX, connect=self.hub.connect)
        self.app = ScoringApp(self.device)

    def deploy(self, folder: Folder, *, slot: str = "model") -> None:
        """Put a model into the store and ask the device for it."""
        with suppress(Unfit):  # the URL may be foreign on purpose
            self.store.put(folder.wanted.url, folder.files)
        self.hub.deploy(desired(folder), slot=slot)

    async def serves(self, version: str) -> None:
        """Wait until the device has told the hub that this version serves, and nothing else is asked for."""
        await until(lambda: self.hub.reported.get("model", {}).get("version") == version)
        await until(lambda: "candidate" not in self.hub.reported)

    async def refuses(self, version: str) -> str:
        """Wait until the device has told the hub that this version failed; returns the reason."""
        await until(lambda: self.hub.reported.get("candidate", {}).get("state") == "failed")
        assert self.hub.reported["candidate"]["version"] == version
        return str(self.hub.reported["candidate"]["reason"])

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Run the device; the client calls the program itself, without a socket."""
        async with (
            self.device.running(),
            httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://device") as client,
        ):
            yield client


def desired(folder: Folder) -> dict[str, str]:
    """The twin's desired property that asks for a model."""
    wanted = folder.wanted
    return {name: getattr(wanted, name) for name in wanted.__struct_fields__}


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(HANGS_S):
        while not true():  # noqa: ASYNC110 - the condition is about state that raises no event
            await asyncio.sleep(0.005)


def rows(*values: dict[str, object]) -> bytes:
    """A scoring request."""
    return json.dumps({"rows": list(values)}).encode()
