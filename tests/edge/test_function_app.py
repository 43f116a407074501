"""The Functions container's door to the same program."""

import asyncio
import importlib
import json
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest

from edge.keys import Keyring
from edge.shelf import Shelf
from tests.edge.models import KEY, model_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """edge/function_app.py as the host loads it, on a device whose disk holds model 1."""
    monkeypatch.setenv("MODEL_STORE_URL", "https://models.example/store/")
    monkeypatch.setenv("MODEL_FOLDER", str(tmp_path))
    monkeypatch.setenv("MODEL_KEYS", b64encode(KEY.raw).decode())
    monkeypatch.delenv("EdgeHubConnectionString", raising=False)
    shelf, folder = Shelf(tmp_path, Keyring((KEY,))), model_folder("1")
    for name, content in folder.files.items():
        (shelf.arriving(folder.wanted) / name).write_bytes(content)
    shelf.settle(folder.wanted)
    shelf.remember(folder.wanted)
    yield importlib.import_module("edge.function_app")
    del sys.modules["edge.function_app"]


def request(method: str, path: str, body: bytes = b"") -> func.HttpRequest:
    return func.HttpRequest(method=method, url=f"http://device{path}", headers={}, route_params={}, body=body)


def test_one_http_function_answers_every_path_like_the_slim_image(host: ModuleType) -> None:
    (function,) = host.app.get_functions()
    answer: Any = function.get_user_function()
    body = json.dumps({"rows": [{"temp": 41.0, "carrier": "AA"}]}).encode()

    async def ask() -> list[func.HttpResponse]:
        context = _Context()
        first = await asyncio.gather(*(answer(request("GET", "/health"), context) for _ in range(3)))
        rest = [await answer(request("POST", "/score", body), context), await answer(request("GET", "/x"), context)]
        assert await host.app.middleware.notify_shutdown() is None
        host.app.startup_task_done = False  # else it shuts down once more when it is collected
        return [*first, *rest]

    *healthy, scored, absent = asyncio.run(ask())
    assert [reply.status_code for reply in healthy] == [200] * 3
    assert (scored.status_code, json.loads(scored.get_body())["version"]) == (200, "1")
    assert (absent.status_code, json.loads(absent.get_body())["error"]["code"]) == (404, "NOT_FOUND")


def test_the_host_adds_no_prefix_to_the_paths() -> None:
    settings = json.loads((ROOT / "edge" / "host.json").read_text())
    assert settings["version"] == "2.0"
    assert settings["extensions"]["http"]["routePrefix"] == ""


class _Context:
    """As much of the invocation context as the adapter reads."""

    function_directory = function_name = invocation_id = ""
    thread_local_storage = trace_context = retry_context = None
