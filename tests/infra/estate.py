"""The folder infra/ as tests see it: its files, the deployments they are tried with, and what those would make."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.infra.bicep.deploy import World
from tests.infra.bicep.read import template
from tests.infra.bicep.syntax import Parameter, Template
from tests.infra.bicep.values import Value

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra"
MAIN, SUBSCRIPTIONS = "main.bicep", "subscriptions.bicep"
SUFFIXES = {".bicep", ".json", ".sh", ".ps1", ".yaml"}
BY_AZD = {"AZURE_ENV_NAME": "dev", "AZURE_LOCATION": "westeurope"}  # what `azd` always has
DIGEST = "sha256:" + "a" * 64
PERSON, DEVICE, KUBELET = "person-object-id", "device-object-id", "kubelet-object-id"
CASES: Mapping[str, Mapping[str, Value]] = {  # together they take every branch, which a test holds them to
    "as azd deploys it": {},
    "the cheap mode": {"telemetry": "eventGrid", "refuseHubKeys": False},
    "private, with an operator": {
        "privateNetworking": True,
        "allowedAddresses": "203.0.113.4, 198.51.100.0/24",
        "principalId": PERSON,
        "devicePrincipalIds": DEVICE,
        "modelImageBase": f"cr.azurecr.io/refluent-edge@{DIGEST}",
        "alertEmail": "somebody@example.com",
        "budgetStart": "2026-10-01",
    },
    "private, the cheap mode": {"privateNetworking": True, "telemetry": "eventGrid"},
    "inference in Container Instances": {"inference": "containerInstances", "inferenceImage": f"cr/model@{DIGEST}"},
    "inference in a Functions container": {
        "inference": "functions",
        "inferenceImage": f"cr/model@{DIGEST}",
        "allowedAddresses": "203.0.113.4,198.51.100.0/24",
    },
    "inference in a Functions container for nobody yet": {"inference": "functions", "inferenceImage": f"cr/m@{DIGEST}"},
    "inference on Kubernetes": {"inference": "kubernetes", "kubeletPrincipalId": KUBELET},
    "a Stack Edge device": {"stackEdgeName": "edge", "stackEdgeShares": "flights", "stackEdgeUploads": True},
    "a Stack Edge device elsewhere": {"stackEdgeName": "edge", "stackEdgeResourceGroup": "sites"},
}  # fmt: skip


@dataclass(frozen=True)
class Estate:
    """One state of infra/: as it is, or with a fault in it.

    Args:
        files: What each file says, by its path in infra/.
    """

    files: Mapping[str, str]

    @cached_property
    def templates(self) -> Mapping[str, Template]:
        """Every Bicep file, read."""
        return {path: template(path, said) for path, said in self.files.items() if path.endswith(".bicep")}

    @cached_property
    def defaults(self) -> Mapping[str, Value]:
        """The parameters of main.bicep as azd gives them to a new environment."""
        given: dict[str, Value] = {}
        said = json.loads(self.files["main.parameters.json"])["parameters"]
        for name, parameter in self.templates[MAIN].parameters.items():
            if name in said:
                given |= _given(parameter, said[name]["value"])
        return given

    @cached_property
    def worlds(self) -> Mapping[str, World]:
        """What each case would make, found out when it is asked for."""
        return _Worlds(self)

    @cached_property
    def usual(self) -> World:
        """What azd makes in a new environment."""
        return self.worlds["as azd deploys it"]

    @cached_property
    def subscribed(self) -> Mapping[bool, World]:
        """What the subscriptions make after that, by whether telemetry comes by Event Grid."""
        return {
            cheap: World(self.files).deploy(SUBSCRIPTIONS, _subscriptions(world))
            for cheap, world in ((False, self.usual), (True, self.worlds["the cheap mode"]))
        }

    def every_world(self) -> Iterator[tuple[str, World]]:
        """Each case, and the subscriptions."""
        yield from self.worlds.items()
        yield from ((f"the subscriptions, {cheap}", world) for cheap, world in self.subscribed.items())


class _Worlds(Mapping[str, World]):
    def __init__(self, estate: Estate) -> None:
        self._estate, self._made = estate, dict[str, World]()

    def __getitem__(self, case: str) -> World:
        if case not in self._made:
            given = {**self._estate.defaults, **CASES[case]}
            self._made[case] = World(self._estate.files).deploy(MAIN, given)
        return self._made[case]

    def __iter__(self) -> Iterator[str]:
        return iter(CASES)

    def __len__(self) -> int:
        return len(CASES)


def estate(folder: Path = FOLDER) -> Estate:
    """infra/ as it is."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    return Estate({str(path.relative_to(folder)): path.read_text("utf-8") for path in paths})


def _given(parameter: Parameter, said: Any) -> Mapping[str, Value]:  # JSON
    """What azd makes of `${NAME=default}`: empty is not given, and text becomes the declared type."""
    match = re.fullmatch(r"\$\{(\w+)(?:=(.*))?\}", said) if isinstance(said, str) else None
    if match is None:
        return {parameter.name: said}
    text = BY_AZD.get(match[1], match[2] or "")
    if not text:
        return {}
    plain: Value = text if parameter.type == "string" else json.loads(text)
    return {parameter.name: plain}


def _subscriptions(world: World) -> Mapping[str, Value]:
    """The parameters that hooks/postdeploy gives, of which a test compares the names."""
    return {
        "functionAppName": world.outputs.get("FUNCTION_APP_NAME"),
        "uploadsTopicName": world.outputs.get("UPLOADS_TOPIC_NAME"),
        "trainingTopicName": world.outputs.get("TRAINING_TOPIC_NAME"),
        "devicesTopicName": world.outputs.get("DEVICES_TOPIC_NAME"),
        "announcementsTopicName": world.outputs.get("ANNOUNCEMENTS_TOPIC_NAME"),
        "deliveryIdentityId": world.outputs.get("DELIVERY_IDENTITY_ID"),
        "dataAccountId": world.outputs.get("DATA_ACCOUNT_ID"),
        "landingContainers": "landing",
        "telemetryByEventGrid": world.outputs.get("TELEMETRY_BY_EVENT_GRID"),
    }
