"""25 devices with the real device SDK over real MQTT: canary, then all; and a healthy but wrong version taken back."""

import base64
import gc
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.functions as func
import numpy as np
import pytest
from azure.identity import DefaultAzureCredential
from azure.iot.device import IoTHubModuleClient, Message

from functions.cloud.iothub import HubFleet
from functions.drift.trigger import score_drift_on_telemetry
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.wiring import using
from laptop.iot_hub.telemetry_log import PARTITIONS
from sketch.profile import Profile
from sketch.sketch import Sketch
from tests.fakes.cloud import FakeCloud
from tests.laptop.hub_running import RunningHub, base, running_hub
from tests.laptop.serving import eventually
from tests.messages import registered
from tests.rollout.fleet import LOOP, decisions, journal, made, state

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated"),  # azure-iot-device 2.14
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # paho's wake-up sockets
]

CANARIES, DEVICES, ROWS, PERIODS = 3, 25, 200, 8
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def scores_of(version: str, rng: np.random.Generator, rows: int) -> Any:  # noqa: ANN401 # numpy's
    """Versions 1 and 3 answer with what they were trained for; version 2 answers the same to everything."""
    return np.full(rows, 0.97) if version == "2" else rng.beta(2, 6, rows)


def profile_of(version: str) -> Profile:
    rng = np.random.default_rng(int(version))
    return Profile.build({"temp": rng.normal(50, 9, 4_000)}, kinds={"temp": "number"}, scores=rng.beta(2, 6, 4_000))


class Device:
    """A module that serves what its twin asks for, at once, and says so."""

    def __init__(self, name: str, client: Any) -> None:  # noqa: ANN401 - the SDK has no types
        self.name, self.client = name, client
        self.served: list[str] = []
        self.sent = 0
        self.rng = np.random.default_rng(len(name) + int(name[1:]))
        client.on_twin_desired_properties_patch_received = self.serve

    def serve(self, patch: dict[str, Any]) -> None:
        if model := patch.get("model"):
            version = model["version"]
            if self.served[-1:] != [version]:
                self.served.append(version)
            self.client.patch_twin_reported_properties({"model": {"model": LOOP, "version": version}})

    def tell(self, at: datetime) -> None:
        """One window's telemetry, as edge/telemetry.py writes it."""
        version = self.served[-1]
        profile = profile_of(version)
        sketch = Sketch(profile)
        sketch.add({"temp": self.rng.normal(50, 9, ROWS)}, scores_of(version, self.rng, ROWS))
        names = {"v": 1, "loop": LOOP, "model": LOOP, "version": version, "profile": profile.hash, "epoch": "e"}
        counts = {"sequence": self.sent, "rows": ROWS, "requests": ROWS, "failed": 0}
        times = {"from": at.isoformat(), "to": at.isoformat(), "latency_counts": [0, ROWS, *[0] * 14]}
        body = {**names, **counts, **times, "sketch": base64.b64encode(sketch.to_bytes()).decode()}
        self.client.send_message(Message(json.dumps(body), content_encoding="utf-8", content_type="application/json"))
        self.sent += 1


class Fleet:
    """The hub, its devices, and the app's functions between them.

    Args:
        hub: The running hub.
        here: The app's cloud: rows and models in memory, the fleet real.
        devices: All 25; the first three are the canary.
    """

    def __init__(self, hub: RunningHub, here: FakeCloud, devices: list[Device]) -> None:
        self.hub, self.here, self.devices = hub, here, devices
        self.pool = ThreadPoolExecutor(8)
        self.now, self.read = START, dict.fromkeys(PARTITIONS, 0)
        here.clock = lambda: self.now

    def deploy(self, version: str) -> None:
        made(self.here, version)
        self.here.blobs.put("models", f"{LOOP}/{version}/profile.json", profile_of(version).to_json().encode())
        deploy_on_model_registered(registered(version))

    def turn_until(self, done: Callable[[], bool], what: str) -> None:
        def turned() -> bool:
            self.now += timedelta(seconds=3)
            advance_on_timer(None)
            return done()

        eventually(turned, what)

    def live(self, periods: int) -> None:
        """Every device answers its requests, period by period, and the cloud counts what they tell."""
        for _ in range(periods):
            self.now += timedelta(seconds=1)
            list(self.pool.map(lambda device: device.tell(self.now), self.devices))
        score_drift_on_telemetry(list(self.messages()))

    def messages(self) -> Iterator[func.EventHubEvent]:
        """What has come since the last reading, as the host hands it over."""

        async def found(partition: str) -> list[Any]:
            return list(self.hub.hub.telemetry.read(partition, self.read[partition], 10_000))

        for partition in PARTITIONS:
            for one in self.hub.within(found(partition)):
                self.read[partition] += 1
                sender = {name.removeprefix("iothub-"): value for name, value in one.system_properties.items()}
                yield func.EventHubEvent(body=one.body, iothub_metadata=sender)


@contextmanager
def client_of(hub: RunningHub, name: str) -> Iterator[Device]:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in hub.edge_environment(name, "inference").items():
            patch.setenv(variable, value)
        client = IoTHubModuleClient.create_from_edge_environment(connection_retry_interval=1)
    device = Device(name, client)
    client.connect()
    try:
        yield device
    finally:
        client.shutdown()


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        hub = stack.enter_context(running_hub(tmp_path_factory.mktemp("hub")))
        names = [f"d{number:02}" for number in range(DEVICES)]
        for number, name in enumerate(names):
            hub.add(name, "inference", tags={"fleet": "new-york", "site": "lga" if number < CANARIES else "ewr"})
        hub.configurations.create_configuration(base())
        devices = [stack.enter_context(client_of(hub, name)) for name in names]
        with DefaultAzureCredential() as credential:
            here = FakeCloud()
            here.fleet = HubFleet(hub.stack.hub_hostname, credential)  # type: ignore[assignment] # the real one
            with using(here):
                yield Fleet(hub, here, devices)
    gc.collect()  # so that what paho leaves open is found here, and not by a test of somebody else


def test_a_fleet_takes_good_versions_ring_by_ring_and_a_wrong_one_back_from_the_canary_alone(fleet: Fleet) -> None:
    fleet.deploy("1")
    fleet.turn_until(lambda: state(fleet.here, "1") == ("done", 1), "version 1 is not everywhere")
    fleet.live(PERIODS)
    fleet.deploy("2")
    canaries, others = fleet.devices[:CANARIES], fleet.devices[CANARIES:]
    eventually(lambda: all(one.served[-1] == "2" for one in canaries), "the canaries do not serve version 2")
    fleet.live(PERIODS)
    fleet.turn_until(lambda: state(fleet.here, "2") == ("rolled back", 0), "version 2 is not rolled back")
    eventually(lambda: all(one.served == ["1", "2", "1"] for one in canaries), "the canaries are not back")
    assert all(one.served == ["1"] for one in others)
    (reason,) = [entry.reason for entry in journal(fleet.here) if entry.decision == "RollBack"]
    assert "on 3 devices with it" in reason
    assert "on 22 devices without; " in reason
    fleet.deploy("3")
    fleet.turn_until(lambda: state(fleet.here, "3") == ("done", 1), "version 3 is not everywhere")
    assert all(one.served[-1] == "3" for one in fleet.devices)
    assert [one for one in decisions(fleet.here, ":3") if one != "Hold"] == ["Deploy", "Advance", "Finish"]
