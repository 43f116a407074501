"""What functions/ports.py promises of Images."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from functools import partial

import pytest
from azure.identity import DefaultAzureCredential

from functions.cloud.registry_tasks import RegistryImages
from functions.errors import Refused
from functions.ports import ImageBuild, Images, ImageState
from laptop.stack import REGISTRY_ID, Stack
from tests.contracts.conftest import REAL
from tests.fakes.cloud import FakeImages
from tests.laptop.serving import eventually

BUILDAH = shutil.which("buildah")


@pytest.fixture(params=["memory", REAL])
def images(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Images:
    if request.param == "memory":
        return FakeImages()
    stack: Stack = request.getfixturevalue("stack")
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)
    return registry(stack)


def registry(stack: Stack) -> RegistryImages:
    place = {"manager": stack.registry_url, "blob_endpoint": stack.blob_url}
    return RegistryImages(REGISTRY_ID, "localhost", **place, credential=DefaultAzureCredential())


def build(unique: str, content: str = "hello", dockerfile: str = "FROM scratch\nCOPY x /x\n") -> ImageBuild:
    def context() -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for path, text in (("Dockerfile", dockerfile), ("x", content)):
                entry = tarfile.TarInfo(path)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return out.getvalue()

    return ImageBuild(f"model-{unique}", unique, "7", context)


def end(images: Images, wanted: ImageBuild, status: str) -> ImageState:
    """Wait for the build's end; in memory, end it."""
    if isinstance(images, FakeImages):
        image = f"localhost/{wanted.repository}@sha256:{'a' * 64}" if status == "built" else ""
        images.ended[wanted.name] = ImageState("built" if image else "failed", image, "" if image else "it broke")
    found: list[ImageState] = []

    def over() -> bool:
        found.append(images.ensure(wanted))
        return found[-1].status != "building"

    eventually(over, f"{wanted.name} is still building")
    return found[-1]


def order(images: Images, wanted: ImageBuild) -> bool:
    """Ask for it; where there is no buildah, the endpoint must say so."""
    if isinstance(images, FakeImages) or BUILDAH:
        assert images.ensure(wanted).status == "building"
        return True
    with pytest.raises(Refused, match="no buildah"):
        images.ensure(wanted)
    return False


def test_an_image_is_built_once_however_often_it_is_asked_for_and_known_by_its_digest(
    images: Images, unique: str
) -> None:
    wanted = build(unique)
    if not order(images, wanted):
        return
    made = end(images, wanted, "built")
    assert made.status == "built", made.detail
    assert made.image.startswith(f"localhost/{unique}@sha256:")

    def never() -> bytes:
        raise AssertionError("the context of a build that is there is not asked for")

    assert images.ensure(ImageBuild(wanted.name, wanted.repository, wanted.tag, never)) == made


def test_a_build_that_fails_says_why(images: Images, unique: str) -> None:
    wanted = build(unique, dockerfile="FROM scratch\nCOPY nowhere /x\n")
    if order(images, wanted):
        failed = end(images, wanted, "failed")
        assert failed.status == "failed"
        assert failed.detail


@pytest.mark.enable_socket
@pytest.mark.parametrize("place", ["https://evil.example/x", "http://{manager}/x", "https://u@{manager}/x"])
def test_the_source_goes_to_no_other_place_than_blob_storage(stack: Stack, place: str) -> None:
    host = stack.registry_url.removeprefix("https://")
    check: Callable[[], None] = partial(registry(stack)._check_host, place.format(manager=host))
    with pytest.raises(Refused, match="not Blob Storage"):
        check()
    in_azure = {"manager": "https://management.azure.com", "blob_endpoint": "https://refluent.blob.core.windows.net"}
    there = RegistryImages(REGISTRY_ID, "x.azurecr.io", **in_azure, credential=DefaultAzureCredential())
    there._check_host("https://acrtasks1.blob.core.windows.net/source/x?sig=y")
    with pytest.raises(Refused):
        there._check_host("https://acrtasks1.blob.core.windows.net.evil.example/source/x")


@pytest.mark.enable_socket
def test_a_run_that_is_no_docker_build_is_refused_as_arm_refuses(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.sdk_environment().items():
        monkeypatch.setenv(name, value)
    ours = registry(stack)
    body = {"properties": {"runRequest": {"type": "EncodedTaskRunRequest"}}}
    answer = ours._arm.send_request(ours._request("PUT", "taskRuns/model-other", body))
    assert answer.status_code == 501
    assert json.loads(answer.read())["error"]["code"] == "NotSupported"
