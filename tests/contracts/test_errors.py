"""What the cloud says when it says no, in the loop's own words: every SDK's exception is translated."""

import time
from collections.abc import Callable, Mapping

import jwt
import pytest
from azure.core.credentials import AccessToken

from functions.cloud.blobs import AccountBlobs
from functions.cloud.eventgrid import TopicAnnouncer
from functions.cloud.iothub import HubFleet
from functions.cloud.registry_tasks import RegistryImages
from functions.cloud.tables import TableRows
from functions.errors import LoopError, Refused, Transient
from functions.events import ModelRejected
from functions.ports import (
    Announcer,
    Blobs,
    Deployment,
    Fleet,
    ImageBuild,
    Images,
    JobOrder,
    ModelVersion,
    Registry,
    Rows,
    Trainer,
)
from laptop.stack import REGISTRY_ID, WORKSPACE_ID, Stack

pytestmark = pytest.mark.enable_socket

DEPLOYMENT = Deployment("d-1", {"$edgeAgent": {}}, "tags.site = 'x'", 1, {}, {})
LINEAGE = {"loop": "l", "generation": "1", "trigger": "data", "training_set_sha256": "1"}
ORDER = JobOrder("rt-1", "l", "p:1", "cpu-cluster", "e", "l/1", "l", None, "{}", "1", LINEAGE)
EVENT = ModelRejected(loop="l", job="rt-1", reason="worse")


FORGED = jwt.encode({"aud": "https://ml.azure.com"}, "forged" * 8, algorithm="HS256")  # the SDK of Azure ML reads it


class Forged:
    """A credential whose tokens no service has issued."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes
        return AccessToken(FORGED, int(time.time()) + 3_600)


class Ports:
    """Every real adapter at the endpoints of one stack, with a forged identity."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    @property
    def rows(self) -> Rows:
        return TableRows(self._stack.table_url, Forged())

    @property
    def blobs(self) -> Blobs:
        return AccountBlobs(self._stack.blob_url, Forged())

    @property
    def fleet(self) -> Fleet:
        return HubFleet(self._stack.hub_hostname, Forged())

    @property
    def announcer(self) -> Announcer:
        return TopicAnnouncer(self._stack.topic_url, Forged())

    @property
    def images(self) -> Images:
        place = {"manager": self._stack.registry_url, "blob_endpoint": self._stack.blob_url}
        return RegistryImages(REGISTRY_ID, "localhost", **place, credential=Forged())

    @property
    def trainer(self) -> Trainer:
        from functions.cloud.ml import WorkspaceTrainer, workspace  # noqa: PLC0415 - takes seconds

        return WorkspaceTrainer(workspace(WORKSPACE_ID, credential := Forged()), credential)

    @property
    def registry(self) -> Registry:
        from functions.cloud.ml import WorkspaceRegistry, workspace  # noqa: PLC0415 - takes seconds

        return WorkspaceRegistry(workspace(WORKSPACE_ID, Forged()))


ASKED: Mapping[str, Callable[[Ports], object]] = {
    "rows.insert": lambda ports: ports.rows.insert("t", "p", "k", row={"n": 1}),
    "rows.get": lambda ports: ports.rows.get("t", "p", "k"),
    "rows.find": lambda ports: list(ports.rows.find("t", "p")),
    "rows.change": lambda ports: ports.rows.change("t", "p", keys=["k"], values={"n": 1}),
    "blobs.create": lambda ports: ports.blobs.create("models", "b", b""),
    "blobs.put": lambda ports: ports.blobs.put("models", "b", b""),
    "blobs.read": lambda ports: ports.blobs.read("models", "b"),
    "blobs.facts": lambda ports: ports.blobs.facts("models", "b"),
    "blobs.list": lambda ports: ports.blobs.list("models", "b"),
    "fleet.apply": lambda ports: ports.fleet.apply(DEPLOYMENT),
    "fleet.progress": lambda ports: ports.fleet.progress("d-1"),
    "fleet.deployments": lambda ports: ports.fleet.deployments(),
    "fleet.devices": lambda ports: ports.fleet.devices("tags.site = 'lga'"),
    "fleet.delete": lambda ports: ports.fleet.delete("d-1"),
    "images.ensure": lambda ports: ports.images.ensure(ImageBuild("model-1", "m", "1", bytes)),
    "announcer.announce": lambda ports: ports.announcer.announce(EVENT, subject="rt-1", id="1"),
    "trainer.start": lambda ports: ports.trainer.start(ORDER),
    "trainer.outcome": lambda ports: ports.trainer.outcome("rt-1"),
    "registry.versions": lambda ports: ports.registry.versions("m"),
    "registry.get": lambda ports: ports.registry.get("m", "1"),
    "registry.register": lambda ports: ports.registry.register(ModelVersion("m", "1", "m/1", {"job": "rt-1"})),
}


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs try again as often as ever, and wait for nothing."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


def surroundings(stack: Stack, patch: pytest.MonkeyPatch) -> Ports:
    for name, value in stack.sdk_environment().items():
        patch.setenv(name, value)
    return Ports(stack)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.usefixtures("hurried")
def test_an_endpoint_that_is_down_is_a_reason_to_try_again_later(
    asked: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Stack("127.0.0.254", stack.home)
    with pytest.raises(Transient) as problem:
        ASKED[asked](surroundings(nobody, monkeypatch))
    assert_told(problem.value)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.usefixtures("hurried")
@pytest.mark.filterwarnings("ignore:Testing an element's truth value")  # azure-data-tables, reading an error
def test_an_identity_that_is_not_welcome_is_a_reason_to_change_the_settings(
    asked: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused) as problem:
        ASKED[asked](surroundings(stack, monkeypatch))
    assert_told(problem.value)


def assert_told(problem: LoopError) -> None:
    assert problem.what
    assert problem.why
    assert problem.fix
    assert FORGED not in str(problem)
