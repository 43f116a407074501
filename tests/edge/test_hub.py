"""Microsoft's module client against the laptop's IoT Hub: the same promises as the fake hub's."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest

from edge.errors import Away, Misconfigured
from edge.hub import Answer, EdgeHub, NoHub, check_edge_environment, hub_of
from edge.twin import Document
from laptop.stack import Stack
from laptop.tls import write_certificates
from laptop.workload import Workload
from tests.edge.cloud import DEVICE, KEY, Cloud, running_cloud
from tests.edge.device import until
from tests.laptop.serving import running

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning"),  # azure-iot-device
    pytest.mark.filterwarnings(  # likewise: it leaves a socket that finds no workload API to the collector
        "ignore:Exception ignored in. <socket.socket fd=.* family=1:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture
def place(address: str, tmp_path: Path) -> Stack:
    """A stack of certificates and nothing else."""
    stack = Stack(address, tmp_path)
    write_certificates(stack)
    return stack


class Ears:
    """What a connection has told so far."""

    def __init__(self) -> None:
        self.patches: list[Document] = []
        self.called: list[tuple[str, object]] = []
        self.lost = False

    def desired(self, patch: Document) -> None:
        self.patches.append(patch)

    async def asked(self, method: str, payload: object) -> Answer:
        self.called.append((method, payload))
        return Answer(202, {"done": method})

    def hung_up(self) -> None:
        self.lost = True


def told(
    stack: Stack, story: Callable[[Cloud, EdgeHub, Ears], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tell a story about one open connection."""

    async def tell() -> None:
        async with running_cloud(stack) as cloud:
            await cloud.register()
            parts = f"HostName={stack.address};DeviceId={DEVICE};ModuleId=inference;GatewayHostName={stack.address}"
            key = f"SharedAccessKey={KEY}"
            monkeypatch.setenv("EdgeHubConnectionString", f"{parts};{key}")
            monkeypatch.setenv("EdgeModuleCACertificateFile", str(stack.authority))
            hub, ears = EdgeHub(), Ears()
            try:
                await hub.open(on_desired=ears.desired, on_method=ears.asked, on_lost=ears.hung_up)
                await story(cloud, hub, ears)
            finally:
                await hub.close()

    asyncio.run(tell())


def test_a_module_reads_its_twin_hears_patches_and_reports(place: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(cloud: Cloud, hub: EdgeHub, ears: Ears) -> None:
        before = await hub.twin()
        assert "model" not in before
        await cloud.desire({"version": "2"})
        await until(lambda: ears.patches)
        assert ears.patches == [{"model": {"version": "2"}, "$version": before["$version"] + 1}]
        assert (await hub.twin())["model"] == {"version": "2"}
        await hub.report({"model": {"version": "2"}, "candidate": {"version": "3", "reason": "no"}})
        await hub.report({"candidate": None})
        reported = await cloud.reported()
        assert reported["model"] == {"version": "2"}
        assert "candidate" not in reported

    told(place, story, monkeypatch)


def test_telemetry_arrives_as_json_from_the_module(place: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(cloud: Cloud, hub: EdgeHub, _: Ears) -> None:
        await hub.send('{"v":1,"loop":"flüge"}'.encode(), id="5f0c-17")
        await until(cloud.telemetry)
        assert cloud.telemetry() == [{"v": 1, "loop": "flüge"}]
        (event,) = (event for event in cloud.events if event.type == "Microsoft.Devices.DeviceTelemetry")
        assert cast("dict[str, Any]", event.data)["systemProperties"]["message-id"] == "5f0c-17"

    told(place, story, monkeypatch)


def test_a_direct_method_is_answered_by_the_module(place: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(cloud: Cloud, _: EdgeHub, ears: Ears) -> None:
        answer = await cloud.call("rollback", {"why": "x"})
        assert (answer["status"], answer["payload"]) == (202, {"done": "rollback"})
        assert ears.called == [("rollback", {"why": "x"})]

    told(place, story, monkeypatch)


def test_a_module_proves_itself_through_the_workload_api_of_its_runtime(
    place: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tell() -> None:
        with TemporaryDirectory() as folder:  # a unix socket's path must be short
            workload = Workload(DEVICE, "inference", KEY, place.address, place.authority, Path(folder) / "w.sock")
            monkeypatch.delenv("EdgeHubConnectionString", raising=False)
            for name, value in workload.environment().items():
                monkeypatch.setenv(name, value)
            async with running_cloud(place) as cloud, running(workload.server()):
                await cloud.register()
                ears, hub = Ears(), await asyncio.to_thread(EdgeHub)
                await hub.open(on_desired=ears.desired, on_method=ears.asked, on_lost=ears.hung_up)
                await hub.report({"switchable": True})
                assert (await cloud.reported())["switchable"] is True
                await hub.close()

    asyncio.run(tell())


def test_a_workload_api_that_is_not_there_yet_is_away(place: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = Workload(DEVICE, "inference", KEY, place.address, place.authority, place.home / "w.sock")
    monkeypatch.delenv("EdgeHubConnectionString", raising=False)
    for name, value in workload.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Away, match="environment"):
        EdgeHub()
    gc.collect()  # now, while the warning about the SDK's socket is expected


def test_a_connection_that_is_gone_says_so_and_stays_gone(place: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell() -> None:
        parts = f"HostName={place.address};DeviceId={DEVICE};ModuleId=inference;GatewayHostName={place.address}"
        ears = Ears()
        async with running_cloud(place) as cloud:
            await cloud.register()
            monkeypatch.setenv("EdgeHubConnectionString", f"{parts};SharedAccessKey={KEY}")
            monkeypatch.setenv("EdgeModuleCACertificateFile", str(place.authority))
            hub = EdgeHub()
            await hub.open(on_desired=ears.desired, on_method=ears.asked, on_lost=ears.hung_up)
        await until(lambda: ears.lost)
        with pytest.raises(Away):
            await hub.send(b"{}", id="5f0c-18")
        await hub.close()
        with pytest.raises(Away):
            await EdgeHub().open(on_desired=ears.desired, on_method=ears.asked, on_lost=ears.hung_up)

    asyncio.run(tell())


def test_a_module_without_the_runtimes_environment_is_told_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match="IOTEDGE_WORKLOADURI nor EdgeHubConnectionString"):
        check_edge_environment({})
    for name in ("EdgeHubConnectionString", "IOTEDGE_WORKLOADURI"):
        monkeypatch.delenv(name, raising=False)
        check_edge_environment({name: "x"})
    with pytest.raises(Away, match="environment"):
        EdgeHub()


def test_only_a_word_of_its_own_lets_the_program_do_without_a_hub() -> None:
    assert hub_of({"HUB": "none"}) is NoHub
    assert hub_of({"EdgeHubConnectionString": "x"}) is EdgeHub
    with pytest.raises(Misconfigured):
        hub_of({"HUB": "no"})


def test_no_hub_is_waited_for_and_never_asked() -> None:
    async def tell() -> None:
        hub, ears = NoHub(), Ears()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await hub.open(on_desired=ears.desired, on_method=ears.asked, on_lost=ears.hung_up)
        await hub.close()

    asyncio.run(tell())
