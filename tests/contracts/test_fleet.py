"""What functions/ports.py promises of Fleet."""

from dataclasses import replace
from pathlib import Path

import pytest
from azure.identity import DefaultAzureCredential
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin

from functions.loops import read
from functions.operator.foresee import foresee
from functions.ports import Deployment, ModelVersion, Progress
from functions.rollout import manifest
from functions.wiring import Azure, Cloud
from laptop.stack import Stack
from tests.fakes.cloud import FakeCloud

KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="  # of a device that never connects


def layer(unique: str, version: str = "1") -> Deployment:
    """A deployment that gives the devices of one site a model version."""
    ours = f"SELECT deviceId FROM devices WHERE tags.site = '{unique}'"  # noqa: S608 - IoT Hub takes no parameters
    return Deployment(
        id=f"{unique}-{version}",
        content={
            "$edgeAgent": {},
            "inference": {"properties.desired.model": {"version": version, "url": "https://store/models/x/1/"}},
        },
        target=f"tags.site = '{unique}'",
        priority=int(version),
        labels={"loop": unique},
        metrics={"ready": f"{ours} AND tags.ready = true", "failed": f"{ours} AND tags.ready = false"},
    )


def join(cloud: Cloud, request: pytest.FixtureRequest, deployment: Deployment) -> None:
    """Three devices of the deployment's site: two ready, one failed."""
    if isinstance(cloud, FakeCloud):
        cloud.fleet.reports[deployment.id] = Progress(3, {"ready": 2, "failed": 1})
        names = [f"{deployment.labels['loop']}-device-{number}" for number in range(3)]
        cloud.fleet.matching[deployment.target] = names
        cloud.fleet.at |= dict.fromkeys(names, deployment.labels["loop"])
        return
    stack: Stack = request.getfixturevalue("stack")
    site = deployment.labels["loop"]
    with DefaultAzureCredential() as credential:
        registry = IoTHubRegistryManager.from_token_credential(stack.hub_hostname, credential)
        for number, ready in enumerate((True, True, False)):
            name = f"{site}-device-{number}"
            registry.create_device_with_sas(name, KEY, KEY, "enabled", iot_edge=True)
            registry.update_twin(name, Twin(tags={"site": site, "ready": ready}), "*")


def test_a_deployment_applied_twice_is_there_once(cloud: Cloud, unique: str) -> None:
    assert cloud.fleet.apply(layer(unique))
    assert cloud.fleet.apply(layer(unique))
    assert cloud.fleet.progress(f"{unique}-1") is not None


def test_an_id_that_other_content_has_taken_is_said_and_left_alone(cloud: Cloud, unique: str) -> None:
    ours, theirs = layer(unique, "1"), replace(layer(unique, "2"), id=f"{unique}-1")
    assert cloud.fleet.apply(theirs)
    assert not cloud.fleet.apply(ours)
    assert cloud.fleet.apply(theirs)


def test_the_order_of_the_content_s_keys_does_not_make_it_other_content(cloud: Cloud, unique: str) -> None:
    ours = layer(unique)
    assert cloud.fleet.apply(ours)
    assert cloud.fleet.apply(replace(ours, content=dict(sorted(ours.content.items(), reverse=True))))


def test_progress_counts_the_devices_that_each_metric_names(
    cloud: Cloud, unique: str, request: pytest.FixtureRequest
) -> None:
    deployment = layer(unique)
    cloud.fleet.apply(deployment)
    assert cloud.fleet.progress(deployment.id) == Progress(0, {"ready": 0, "failed": 0})
    join(cloud, request, deployment)
    assert cloud.fleet.progress(deployment.id) == Progress(3, {"ready": 2, "failed": 1})


@pytest.mark.enable_socket
def test_a_device_gets_its_module_from_the_base_and_the_newest_model_from_the_layers_on_it(
    azure: Azure, stack: Stack, unique: str
) -> None:
    loop = read(Path("tests/loops/flight-delays.toml"))
    rings = [ring.model_copy(update={"devices": f"tags.site = '{unique}'"}) for ring in loop.rollout.ring]
    loop = loop.model_copy(update={"rollout": loop.rollout.model_copy(update={"ring": rings})})
    with DefaultAzureCredential() as credential:
        registry = IoTHubRegistryManager.from_token_credential(stack.hub_hostname, credential)
        registry.create_device_with_sas(unique, KEY, KEY, "enabled", iot_edge=True)
        registry.update_twin(unique, Twin(tags={"site": unique}), "*")
        registry.create_module_with_sas(unique, "inference", "iotEdge", KEY, KEY)
        image = "localhost/edge@sha256:ab"
        azure.fleet.apply(manifest.base(loop, image=image, devices=rings[0].devices, environment={}))
        for version in ("2", "1"):
            lineage = {"sha256": version * 64, "profile": unique}
            model = ModelVersion(loop.name, version, f"{loop.name}/{version}", lineage)
            assert azure.fleet.apply(manifest.layer(loop, model, 0, store=stack.blob_url))
        found = registry.get_module_twin(unique, "inference").properties.desired["model"]
    assert (found["version"], found["profile"]) == ("2", unique)
    assert found["url"] == f"{stack.blob_url}/models/flight-delays/2/"


def test_an_unknown_deployment_has_no_progress(cloud: Cloud, unique: str) -> None:
    assert cloud.fleet.progress(unique) is None


def test_a_deployment_that_was_deleted_is_gone_and_deleting_it_again_changes_nothing(cloud: Cloud, unique: str) -> None:
    cloud.fleet.apply(layer(unique))
    for _ in range(2):
        cloud.fleet.delete(f"{unique}-1")
    assert cloud.fleet.progress(f"{unique}-1") is None


def test_every_deployment_is_listed_as_it_was_made(cloud: Cloud, unique: str) -> None:
    made = [layer(unique, version) for version in ("2", "1")]
    for one in made:
        cloud.fleet.apply(one)
    assert [one for one in cloud.fleet.deployments() if one.labels.get("loop") == unique] == made[::-1]
    for one in made:
        cloud.fleet.delete(one.id)


def test_the_devices_that_meet_a_condition_are_named(cloud: Cloud, unique: str, request: pytest.FixtureRequest) -> None:
    deployment = layer(unique)
    assert cloud.fleet.devices(deployment.target) == []
    join(cloud, request, deployment)
    assert cloud.fleet.devices(deployment.target) == [f"{unique}-device-{number}" for number in range(3)]


def test_every_device_s_site_is_known(cloud: Cloud, unique: str, request: pytest.FixtureRequest) -> None:
    join(cloud, request, layer(unique))
    ours = {name: site for name, site in cloud.fleet.sites().items() if name.startswith(f"{unique}-")}
    assert ours == {f"{unique}-device-{number}": unique for number in range(3)}


@pytest.mark.enable_socket
def test_a_plan_against_the_hub_says_who_would_get_what(azure: Azure, stack: Stack, unique: str) -> None:
    whole = read(Path("tests/loops/flight-delays.toml"))
    rings = [ring.model_copy(update={"devices": f"tags.site = '{unique}'"}) for ring in whole.rollout.ring]
    loop = whole.model_copy(update={"rollout": whole.rollout.model_copy(update={"ring": rings})})
    here = FakeCloud(fleet=azure.fleet)  # type: ignore[arg-type] # the port, kept by the hub
    here.registry.register(ModelVersion(loop.name, "2", f"{loop.name}/2", {"sha256": "2" * 64, "profile": unique}))
    with DefaultAzureCredential() as credential:
        registry = IoTHubRegistryManager.from_token_credential(stack.hub_hostname, credential)
        registry.create_device_with_sas(unique, KEY, KEY, "enabled", iot_edge=True)
        registry.update_twin(unique, Twin(tags={"site": unique}), "*")
    assert [one.code for one in foresee(here, loop, "2", ring="canary").risks] == ["NO_BASE"]
    based = manifest.base(loop, image="localhost/edge@sha256:" + "a" * 64, devices=rings[0].devices, environment={})
    azure.fleet.apply(based)
    seen = foresee(here, loop, "2", ring="canary")
    (group,) = [one for one in seen.touched if one.changes]
    assert (seen.rings, group.devices, seen.served(group, after=True)) == ({"canary": [unique]}, [unique], "2")
    assert seen.risks == []
    azure.fleet.delete(based.id)
