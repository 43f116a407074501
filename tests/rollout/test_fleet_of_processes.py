"""25 device processes on real MQTT and a real model store: `make soak`; a suite of seconds has no room for them."""

import base64
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import azure.functions as func
import httpx
import numpy as np
import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from functions import field
from functions.cloud.blobs import AccountBlobs
from functions.cloud.iothub import HubFleet
from functions.drift.trigger import score_drift_on_telemetry
from functions.ports import ModelVersion
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.wiring import using
from laptop import guard
from laptop.event_grid.envelope import Event
from laptop.iot_hub.telemetry_log import PARTITIONS
from laptop.stack import BLOB_PORT, Stack
from laptop.storage.front import front
from tests.addresses import free_port
from tests.edge.models import CARRIERS, KEY, STRANGER, Folder, graph, model_folder, signed
from tests.fakes.cloud import FakeCloud
from tests.laptop.hub_running import RunningHub, configuration
from tests.laptop.serving import https_server, serving
from tests.messages import registered
from tests.patience import HANGS_S
from tests.rollout.fleet import LOOP, journal, state

pytestmark = [pytest.mark.enable_socket, pytest.mark.soak, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
CANARIES, DEVICES, ROWS, PATIENCE_S = 3, 25, 40, 240.0
CANARY_ROWS = 12_000
HISTORY_ROWS = 150_000  # of all devices: half a minute in which all of them have the same version
BIGGEST = 1  # mebibyte of a model file that these devices take


class Device:
    """One process, and somebody who asks it for scores without a break."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url
        self.versions: list[str] = []
        self.asked, self.refusals = 0, list[str]()
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=HANGS_S)
        self._bodies = cycle(self._body(np.random.default_rng(seed)) for seed in range(8))

    def ready(self) -> bool:
        with suppress(httpx.TransportError):
            return self._client.get("/health").status_code == 200
        return False

    def ask(self) -> None:
        answer = self._client.post("/score", content=next(self._bodies))
        if answer.status_code == 503 and not self.versions:
            return  # before its first model
        self.asked += 1
        if answer.status_code != 200:
            self.refusals.append(answer.text)
        elif self.versions[-1:] != [version := answer.json()["version"]]:
            self.versions.append(version)

    @staticmethod
    def _body(rng: np.random.Generator) -> bytes:
        rows = [{"temp": float(rng.normal(43, 8)), "carrier": CARRIERS[rng.integers(3)]} for _ in range(ROWS)]
        return json.dumps({"rows": rows}).encode()


class Fleet:
    """The hub, the device processes, and the app's functions between them."""

    def __init__(self, hub: RunningHub, here: FakeCloud, devices: list[Device]) -> None:
        self.hub, self.here, self.devices = hub, here, devices
        self._read = dict.fromkeys(PARTITIONS, 0)

    def deploy(self, given: Folder) -> None:
        """Register a model version as promotion does, with its files in the real store."""
        version, job = given.wanted.version, f"rt-{LOOP}-{given.wanted.version}"
        for name, content in given.files.items():
            self.here.blobs.put("models", f"{LOOP}/{version}/{name}", content)
        self.here.rows.insert("jobs", LOOP, job, row={"state": "registered", "version": version})
        lineage = {"job": job, "sha256": given.wanted.sha256, "profile": given.wanted.profile}
        assert self.here.registry.register(ModelVersion(LOOP, version, f"{LOOP}/{version}", lineage))
        deploy_on_model_registered(registered(version))

    def turn_until(self, done: Callable[[], object], otherwise: str) -> None:
        """Let the cloud do its turns: telemetry is counted, rollouts are looked at."""
        for _ in range(int(PATIENCE_S / 0.5)):
            score_drift_on_telemetry(list(self._messages()))
            advance_on_timer(None)
            if done():
                return
            threading.Event().wait(0.5)
        last = [f"{entry.decision} {entry.subject}: {entry.reason}" for entry in journal(self.here)[-5:]]
        raise AssertionError("\n".join([otherwise, *last]))

    def rows(self, version: str) -> int:
        """Rows that all devices told of with a version."""
        stored = self.here.rows.find("devices", LOOP)
        uses = [field.from_bytes(one.row[field.COLUMN]) for one in stored]
        return sum(used[version].rows for used in uses if version in used)

    def refusal(self, device: Device) -> str:
        """Why a device does not take what it is asked to serve, as it says itself."""
        reported = self.hub.registry.get_module_twin(device.name, "inference").properties.reported
        return str((reported.get("candidate") or {}).get("reason"))

    def _messages(self) -> Iterator[func.EventHubEvent]:
        async def found(partition: str) -> list[Any]:
            return list(self.hub.hub.telemetry.read(partition, self._read[partition], 10_000))

        for partition in PARTITIONS:
            for one in self.hub.within(found(partition)):
                self._read[partition] += 1
                sender = {name.removeprefix("iothub-"): value for name, value in one.system_properties.items()}
                yield func.EventHubEvent(body=one.body, iothub_metadata=sender)


def process(stack: Stack, name: str, port: int) -> list[str]:
    where = ["--address", stack.address, "--home", str(stack.home), "--id", name, "--port", str(port)]
    device = shlex.join([sys.executable, "-m", "laptop.device", *where])
    return [sys.executable, "-S", guard.__file__, f"exec {device}"]


def base(stack: Stack) -> Any:  # noqa: ANN401 - the SDK has no types
    keys = base64.b64encode(KEY.raw).decode()
    settings = {
        "MODEL_STORE_URL": f"{stack.blob_url}/models/", "MODEL_KEYS": keys, "MODEL_MEBIBYTES": str(BIGGEST),
        "TELEMETRY_EVERY_SECONDS": "1", "TELEMETRY_EVERY_ROWS": "1000000",
    }  # fmt: skip
    env = {name: {"value": value} for name, value in settings.items()}
    agent = {"schemaVersion": "1.1", "modules": {"inference": {"type": "docker", "env": env}}}
    hub = {"properties.desired": {"schemaVersion": "1.1", "routes": {}}}
    content = {"$edgeAgent": {"properties.desired": agent}, "$edgeHub": hub, "inference": {"properties.desired": {}}}
    return configuration("base", content)


@contextmanager
def asking(devices: list[Device]) -> Iterator[None]:
    """Every device is asked, one request after the other, until the block ends."""
    stop = threading.Event()

    def ask(device: Device) -> None:
        while not stop.wait(0.2):
            device.ask()

    with ThreadPoolExecutor(len(devices)) as pool:
        work = [pool.submit(ask, device) for device in devices]
        try:
            yield
        finally:
            stop.set()
    for one in work:
        one.result()


def patient_loop(home: Path) -> Path:
    """The tests' loop, whose canary has to prove itself on more rows than it has scored when the next turn comes."""
    home.mkdir()
    text = (ROOT / "tests" / "loops" / f"{LOOP}.toml").read_text()
    (home / f"{LOOP}.toml").write_text(text.replace('dwell = "2 s"', f'dwell = "2 s"\nat_least_rows = {CANARY_ROWS}'))
    return home


def started(devices: list[tuple[Device, int]], stack: Stack, ending: ExitStack) -> list[Device]:
    log = ending.enter_context((stack.home / "devices.log").open("ab"))
    for device, port in devices:
        one = subprocess.Popen(
            process(stack, device.name, port), cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        assert one.stdin is not None
        ending.callback(one.wait)
        ending.callback(one.stdin.close)  # the guard asks the device to end
    return [device for device, _ in devices]


@pytest.fixture
def fleet(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)

    async def forget(_: Event) -> None: ...

    with ExitStack() as ending:
        ending.enter_context(serving(https_server(front(stack, forget), stack, BLOB_PORT)))
        hub = RunningHub(stack)
        hub.start()
        ending.callback(hub.stop)
        credential = ending.enter_context(DefaultAzureCredential())
        with BlobServiceClient(stack.blob_url, credential=credential) as service:
            service.create_container("models")
        devices = []
        for number in range(DEVICES):
            device = Device(f"d{number:02}", f"http://{stack.address}:{(port := free_port(stack.address))}")
            hub.add(device.name, tags={"fleet": "new-york", "site": "lga" if number < CANARIES else "ewr"})
            devices.append((device, port))
        hub.configurations.create_configuration(base(stack))
        here = FakeCloud()
        changed = {"blob_endpoint": stack.blob_url, "loops_folder": patient_loop(stack.home / "loops")}
        here.settings = here.settings.model_copy(update=changed)
        here.blobs = AccountBlobs(stack.blob_url, credential)  # type: ignore[assignment] # the real one
        here.fleet = HubFleet(stack.hub_hostname, credential)  # type: ignore[assignment] # the real one
        with using(here):
            yield Fleet(hub, here, started(devices, stack, ending))


def unfit(version: str) -> dict[str, Folder]:
    """Models that a device must refuse, each with a part of the reason that it gives."""
    sound = model_folder(version)
    corrupt = Folder(sound.files | {"model.onnx": sound.files["model.onnx"][:-1] + b"\0"}, sound.wanted)
    stranger = Folder(sound.files | {"files.sig": signed(sound.files["files.json"], STRANGER)}, sound.wanted)
    wide = graph(0.0)
    wide.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    return {
        "is not the file that was promoted": corrupt,
        "key": stranger,
        "the model is too large": sound.with_file("model.onnx", b"\0" * (BIGGEST + 1) * 2**20),
        "Incompatible dimensions": sound.with_file("model.onnx", wide.SerializeToString()),
    }


def test_25_processes_take_good_models_and_only_the_canary_ever_meets_bad_ones(fleet: Fleet) -> None:
    devices, canaries, others = fleet.devices, fleet.devices[:CANARIES], fleet.devices[CANARIES:]
    fleet.turn_until(lambda: all(device.ready() for device in devices), "not every process started")
    with asking(devices):
        fleet.deploy(model_folder("1"))
        fleet.turn_until(lambda: state(fleet.here, "1") == ("done", 1), "version 1 is not everywhere")
        fleet.turn_until(lambda: all(one.versions == ["1"] for one in devices), "not everybody answers with version 1")

        fleet.turn_until(lambda: fleet.rows("1") > HISTORY_ROWS, "version 1 has no history")
        fleet.deploy(model_folder("2", bias=6.0))  # sound, tried, signed, and wrong
        fleet.turn_until(lambda: state(fleet.here, "2") == ("rolled back", 0), "version 2 was not taken back")
        fleet.turn_until(lambda: all(one.versions == ["1", "2", "1"] for one in canaries), "the canaries are not back")
        (reason,) = [entry.reason for entry in journal(fleet.here) if entry.decision == "RollBack"]
        assert "on 3 devices with it" in reason

        for version, why in zip("3456", unfit("3"), strict=True):
            fleet.deploy(unfit(version)[why])
            fleet.turn_until(lambda v=version: state(fleet.here, v)[0] == "paused", f"not refused: {why}")  # type: ignore[misc] # bound
            fleet.turn_until(lambda w=why: all(w in fleet.refusal(one) for one in canaries), f"not told: {why}")  # type: ignore[misc] # bound
        assert all(one.versions == ["1", "2", "1"] for one in canaries)

        fleet.deploy(model_folder("7", bias=0.05))
        fleet.turn_until(lambda: state(fleet.here, "7") == ("done", 1), "version 7 is not everywhere")
        fleet.turn_until(lambda: all(one.versions[-1] == "7" for one in devices), "not everybody answers with it")
    assert all(one.versions == ["1", "7"] for one in others)
    assert [(one.name, one.refusals) for one in devices if one.refusals] == []
    assert sum(one.asked for one in devices) > 1_000
