"""What stops a start: every message says what, why and what to do."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from laptop.host.serve import Place, assemble, open_door
from laptop.host.settings import CannotStart, Settings, apply_local_settings, read_host_json
from laptop.host.worker import Binding, Function
from laptop.stack import Stack
from tests.addresses import free_port
from tests.laptop.hosting import start_host
from tests.patience import HANGS_S

pytestmark = pytest.mark.enable_socket


def function(name: str, kind: str, *outputs: Binding, **options: str) -> Function:
    return Function(name, "id", "function_app.py", Binding(kind, "thing", options), {one.name: one for one in outputs})


def refusal(app: Path, *functions: Function) -> str:
    async def start() -> None:
        assemble(functions, Place(app, app / "home", "127.0.0.1", 7071))

    with pytest.raises(CannotStart) as caught:
        asyncio.run(start())
    return str(caught.value)


def test_an_app_that_refuses_its_settings_ends_the_host_with_its_own_words(address: str, tmp_path: Path) -> None:
    process = start_host("broken", Stack(address, tmp_path), free_port(address), {})
    out, problem = process.communicate(timeout=HANGS_S)
    assert process.returncode == 1
    assert out == ""
    assert "LoopError: loops/x.toml line 3: the landing path has no {site}\n  because: …" in problem
    assert "write {site} into it" in problem
    assert "function_app.py" in problem


def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}"):
            open_door("127.0.0.1", port)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (function("f", "timerTrigger", schedule="%WHEN%"), ("function f", "trigger thing", "schedule", "WHEN")),
        (function("f", "queueTrigger", queueName="q", connection="Jobs"), ("function f", "Jobs__queueServiceUri")),
        (
            function("f", "eventHubTrigger", eventHubName="h", connection="Tele"),
            ("function f", "Tele__fullyQualifiedNamespace"),
        ),
        (function("f", "blobTrigger", path="c/{n}"), ("function f", "AzureWebJobsStorage__blobServiceUri")),
        (
            function(
                "f", "eventGridTrigger", Binding("eventGrid", "out", {"topicEndpointUri": "U", "topicKeySetting": "K"})
            ),
            ("function f", "output out", "the setting U does not exist"),
        ),
        (
            function("f", "eventGridTrigger", Binding("eventGrid", "out", {"connection": "Topic"})),
            ("output out", "Topic__topicEndpointUri"),
        ),
        (function("f", "timerTrigger", schedule="every now and then"), ("function f", "4 fields")),
        (function("f", "serviceBusTrigger"), ("function f", "serviceBusTrigger", "AzureWebJobs.f.Disabled")),
        (function("f", "httpTrigger", route="a/{when:datetime}"), ("function f", "{when:datetime}")),
    ],
)
def test_a_binding_that_cannot_be_is_refused_by_name(tmp_path: Path, broken: Function, told: Sequence[str]) -> None:
    message = refusal(tmp_path, broken)
    assert all(word in message for word in (*told, "because:", "fix:")), message


def test_two_functions_must_not_share_a_consumer_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T__fullyQualifiedNamespace", "127.0.0.1:1")
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:2/msi/token")
    twins = [function(name, "eventHubTrigger", eventHubName="h", connection="T") for name in "fg"]
    assert "functions f and g" in refusal(tmp_path, *twins)


def test_an_event_hub_by_connection_string_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T", "Endpoint=sb://somewhere;SharedAccessKey=x")
    assert "AMQP" in refusal(tmp_path, function("f", "eventHubTrigger", eventHubName="h", connection="T"))


def test_a_disabled_function_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobs.f.Disabled", "true")

    async def start() -> Sequence[str]:
        off = function("f", "eventHubTrigger", eventHubName="%NOT_SET%", connection="T")
        return assemble([off], Place(tmp_path, tmp_path, "127.0.0.1", 7071)).table

    assert asyncio.run(start()) == ["f: eventHubTrigger → disabled"]


@pytest.mark.parametrize(
    "text", ["{", '{"functionTimeout": "soon"}', '{"extensions": {"eventHubs": {"maxEventBatchSize": "many"}}}']
)
def test_a_host_json_that_is_not_usable_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "host.json").write_text(text)
    with pytest.raises(CannotStart, match=r"host\.json is not usable"):
        read_host_json(tmp_path)


def test_the_environment_beats_local_settings(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "file", "B": "file", "N": 3}}')
    environment = {"A": "environment"}
    apply_local_settings(tmp_path, environment)
    assert environment == {"A": "environment", "B": "file", "N": "3"}


@pytest.mark.parametrize("text", ["{", '{"IsEncrypted": true}', '{"Values": {"A": {}}}'])
def test_local_settings_that_are_not_usable_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "local.settings.json").write_text(text)
    with pytest.raises(CannotStart, match=r"local\.settings\.json is not usable"):
        apply_local_settings(tmp_path, {})


def test_settings_are_found_as_the_real_host_finds_them() -> None:
    settings = Settings({"A": "1", "AzureWebJobsB__serviceUri": "2", "C__serviceUri": "3"})
    assert settings.expand("x-%A%-%A%", "a test") == "x-1-1"
    assert settings.connection("B", "serviceUri") == "2"
    assert settings.connection("C", "serviceUri") == "3"
    assert settings.connection("C") is None


def test_a_missing_app_is_named(address: str, tmp_path: Path) -> None:
    process = start_host("nothing-here", Stack(address, tmp_path), free_port(address), {})
    problem = process.communicate(timeout=HANGS_S)[1]
    assert process.returncode == 1
    assert "nothing-here" in problem
    assert "Traceback" not in problem
