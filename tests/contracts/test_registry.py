"""What functions/ports.py promises of Registry."""

from dataclasses import replace

import pytest

from functions.ports import ModelVersion
from functions.wiring import Azure, Cloud
from tests.laptop.ml import Speaker


def made(model: str, version: str, **changes: str) -> ModelVersion:
    """A version as promotion registers it; each change is one more property of its lineage."""
    lineage = {
        "job": f"rt-{model}-{version}",
        "sha256": "ab" * 32,
        "generation": version,
        "log_loss": "0.51",
        **changes,
    }
    return ModelVersion(model, version, f"{model}/{version}", lineage)


def stored(cloud: Cloud, version: ModelVersion) -> ModelVersion:
    """Register a version whose files are there, as promotion leaves them."""
    cloud.blobs.put("models", f"{version.folder}/model.onnx", b"onnx")
    assert cloud.registry.register(version)
    return version


def test_a_version_registered_twice_is_there_once(cloud: Cloud, unique: str) -> None:
    version = stored(cloud, made(unique, "1"))
    assert cloud.registry.register(version)
    assert [found.version for found in cloud.registry.versions(unique)] == ["1"]
    found = cloud.registry.get(unique, "1")
    assert found is not None
    assert (found.model, found.version, found.folder) == (unique, "1", f"{unique}/1")
    assert found.lineage.items() >= version.lineage.items()


def test_a_version_of_another_lineage_is_not_overwritten(cloud: Cloud, unique: str) -> None:
    version = stored(cloud, made(unique, "1"))
    assert not cloud.registry.register(replace(version, lineage={**version.lineage, "job": "somebody-else"}))
    assert not cloud.registry.register(made(unique, "1", verdict="new"))
    found = cloud.registry.get(unique, "1")
    assert found is not None
    assert found.lineage["job"] == version.lineage["job"]


def test_versions_come_by_number_and_not_by_spelling(cloud: Cloud, unique: str) -> None:
    for version in ("10", "9", "2"):
        stored(cloud, made(unique, version))
    assert [found.version for found in cloud.registry.versions(unique)] == ["2", "9", "10"]


def test_a_version_that_is_no_number_is_nobody_s_predecessor(cloud: Cloud, unique: str) -> None:
    for version in ("1", "2024-final"):
        stored(cloud, made(unique, version))
    assert [found.version for found in cloud.registry.versions(unique)] == ["1"]
    assert cloud.registry.get(unique, "2024-final") is not None


def test_an_unknown_model_has_no_versions(cloud: Cloud, unique: str) -> None:
    assert list(cloud.registry.versions(unique)) == []
    assert cloud.registry.get(unique, "1") is None
    stored(cloud, made(unique, "1"))
    assert cloud.registry.get(unique, "2") is None


@pytest.mark.enable_socket
def test_the_lineage_is_there_for_people_as_tags_too(azure: Azure, speaker: Speaker, unique: str) -> None:
    version = stored(azure, made(unique, "1", verdict="better " * 60))
    properties = speaker.get(f"/models/{unique}/versions/1").json()["properties"]
    assert properties["properties"].items() >= version.lineage.items()
    assert properties["tags"] == {name: value[:256] for name, value in version.lineage.items()}
