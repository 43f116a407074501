"""What a deployment does once in Azure, done to a stack: containers, devices, base deployment, pipeline components."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.identity import DefaultAzureCredential
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin
from azure.storage.blob import BlobServiceClient
from msrest.exceptions import HttpOperationError

from functions.cloud.iothub import HubFleet
from functions.loops import read
from functions.rollout.manifest import base
from laptop.signing import public_key
from laptop.stack import DEVICE_PORTS, Stack

CONTAINERS = ("landing", "manifests", "models", "quarantine", "versions", "outputs", "deadletter", "azureml")
FLEET = "new-york"
ALREADY_EXISTS = 409


@dataclass(frozen=True, slots=True)
class Device:
    """One edge device of a stack.

    Args:
        id: Its id in IoT Hub, which is also its site.
        port: Where its module answers scoring requests, on the stack's address.
    """

    id: str
    port: int


DEVICES = tuple(Device(site, port) for site, port in zip(("ewr", "jfk", "lga"), DEVICE_PORTS, strict=True))


def device_key(stack: Stack, device: str) -> str:
    """The device's symmetric key, derived from the stack's own secret, as base64."""
    secret = (stack.home / "identity" / "key").read_bytes()
    return base64.b64encode(hmac.digest(secret, device.encode(), hashlib.sha256)).decode()


def make_containers(stack: Stack) -> None:
    """Create the data account's containers."""
    with DefaultAzureCredential() as credential, BlobServiceClient(stack.blob_url, credential=credential) as service:
        for name in CONTAINERS:
            try:
                service.create_container(name)
            except ResourceExistsError:
                continue


def register_devices(stack: Stack) -> None:
    """Register every device with its module and tags, and give the fleet its base deployment."""
    with DefaultAzureCredential() as credential:
        registry = IoTHubRegistryManager.from_token_credential(stack.hub_hostname, credential)
        for device in DEVICES:
            key = device_key(stack, device.id)
            try:
                registry.create_device_with_sas(device.id, key, key, "enabled", iot_edge=True)
            except HttpOperationError as problem:
                if problem.response.status_code != ALREADY_EXISTS:
                    raise
            registry.update_twin(device.id, Twin(tags={"fleet": FLEET, "site": device.id}), "*")
        loop = read(Path("loops/flight-delays.toml"))
        image = f"localhost/refluent-edge@sha256:{_source_digest(Path('edge'), Path('sketch'))}"
        environment: Mapping[str, str] = {
            "MODEL_STORE_URL": f"{stack.blob_url}/models/",
            "MODEL_KEYS": public_key(stack),
            "TELEMETRY_EVERY_SECONDS": "2",  # a site would say 60; the demo's weeks pass in seconds
            "TELEMETRY_EVERY_ROWS": "400",
            "OUTCOMES_EVERY_SECONDS": "1",  # as the demo's loop compares
        }
        fleet = HubFleet(stack.hub_hostname, credential)
        fleet.apply(base(loop, image=image, devices=f"tags.fleet = '{FLEET}'", environment=environment))


def _source_digest(*folders: Path) -> str:
    """Names the code that the device processes run, as an image digest names what a container runs."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(f"{path.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()
