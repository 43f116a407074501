"""What a deployment does once, beside its templates: the signing key, whose uploads are heard, base deployments."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from functions.errors import Refused
from functions.loops import load
from functions.settings import Settings
from infra.steps import base_deployments, landing
from infra.steps.signing_key import API_VERSION, NAME, Unusable, ensure, trusted
from laptop.settings import app_settings
from laptop.stack import REGISTRY_PORT, Stack
from laptop.tls import write_certificates
from tests.fakes.cloud import FakeFleet
from tests.laptop.serving import https_server, serving

IMAGE = f"registry/edge@sha256:{'a' * 64}"
TOKEN = "a token for the vault"


class Deployer:
    """Who runs the deployment."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes == ("https://vault.azure.net/.default",)
        return AccessToken(TOKEN, 4_102_444_800)


class Vault:
    """A key vault of one secret, over HTTPS."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.refusals = 0
        self.status_of_put = 200

    async def secret(self, request: Request) -> Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.query_params["api-version"] == API_VERSION
        if self.refusals:
            self.refusals -= 1
            return JSONResponse({"error": {"code": "Forbidden"}}, 403, {"Retry-After": "0.001"})
        if request.method == "PUT":
            if self.status_of_put != 200:
                return JSONResponse({"error": {"code": "Conflict"}}, self.status_of_put)
            self.values.append((await request.json())["value"])
        return JSONResponse({"value": self.values[-1]} if self.values else {}, 200 if self.values else 404)


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def url(vault: Vault, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    stack = Stack(address, tmp_path)
    write_certificates(stack)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stack.authority))
    app = Starlette(routes=[Route(f"/secrets/{NAME}", vault.secret, methods=["GET", "PUT"])])
    with serving(https_server(app, stack, REGISTRY_PORT)):
        yield f"https://{stack.address}:{REGISTRY_PORT}/"


@pytest.mark.enable_socket
def test_the_first_deployment_makes_the_signing_key_and_says_its_public_half_only(vault: Vault, url: str) -> None:
    public = ensure(url, Deployer())
    (secret,) = vault.values
    key = load_pem_private_key(base64.b64decode(secret), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    assert base64.b64decode(public) == key.public_key().public_bytes_raw()


@pytest.mark.enable_socket
def test_the_key_is_one_that_the_app_takes(vault: Vault, url: str) -> None:
    ensure(url, Deployer())
    stack = Stack("127.0.0.1", Path("unused"))
    settings = Settings.model_validate({**app_settings(stack), "MODEL_SIGNING_KEY": vault.values[0]})
    assert settings.model_signing_key


@pytest.mark.enable_socket
def test_a_second_deployment_leaves_the_key_alone(vault: Vault, url: str) -> None:
    assert ensure(url, Deployer()) == ensure(url, Deployer())
    assert len(vault.values) == 1


@pytest.mark.enable_socket
def test_a_role_that_is_not_known_everywhere_yet_is_waited_for(vault: Vault, url: str) -> None:
    vault.refusals = 2
    assert ensure(url, Deployer())


@pytest.mark.enable_socket
def test_a_vault_that_goes_on_refusing_is_told_with_what_is_missing(vault: Vault, url: str) -> None:
    vault.refusals = 100
    with pytest.raises(Unusable, match="Key Vault Secrets Officer"):
        ensure(url, Deployer())


@pytest.mark.enable_socket
def test_a_key_that_was_deleted_is_not_replaced_behind_the_devices_backs(vault: Vault, url: str) -> None:
    vault.status_of_put = 409
    with pytest.raises(Unusable, match="az keyvault secret recover"):
        ensure(url, Deployer())


@pytest.mark.enable_socket
def test_something_else_under_the_keys_name_is_never_repeated(vault: Vault, url: str) -> None:
    vault.values.append("hunter2")
    with pytest.raises(Unusable) as refused:
        ensure(url, Deployer())
    assert "hunter2" not in str(refused.value)


@pytest.mark.enable_socket
def test_a_key_that_a_person_put_there_as_a_file_is_as_good(vault: Vault, url: str) -> None:
    public = ensure(url, Deployer())
    vault.values.append(base64.b64decode(vault.values[0]).decode())
    assert ensure(url, Deployer()) == public


def test_a_key_that_devices_trust_already_is_never_taken_from_them_by_a_deployment() -> None:
    assert trusted("", "new=") == "new="
    assert trusted("old=@2027-06-30, new=", "new=") == "old=@2027-06-30,new="
    assert trusted("old=", "new=") == "old=,new="


def test_uploads_are_heard_from_every_container_that_a_loop_names(tmp_path: Path) -> None:
    text = Path("loops/flight-delays.toml").read_text("utf-8")
    (tmp_path / "flight-delays.toml").write_text(text, "utf-8")
    other = text.replace('model = "flight-delays"', 'model = "pumps"').replace(
        "[data] #", '[data]\ncontainer = "plant" #'
    )
    (tmp_path / "pumps.toml").write_text(other, "utf-8")
    assert landing.landing(tmp_path) == ["landing", "plant"]


def test_each_loops_fleet_gets_its_base_deployment_once() -> None:
    fleet, loops = FakeFleet(), load(Path("loops"))
    environment = {"MODEL_KEYS": "key", "MODEL_STORE_URL": "https://account.blob.core.windows.net/models/"}
    done = base_deployments.deploy(fleet, loops, image=IMAGE, environment=environment)
    assert done == base_deployments.deploy(fleet, loops, image=IMAGE, environment=environment)
    assert list(fleet.made) == done
    (made,) = fleet.made.values()
    ring = "tags.fleet = 'new-york'"
    assert made.target == f"({ring} AND tags.site = 'lga') OR ({ring})"


def test_a_base_deployment_under_whose_id_something_else_stands_is_refused() -> None:
    fleet, loops = FakeFleet(), load(Path("loops"))
    (name,) = base_deployments.deploy(fleet, loops, image=IMAGE, environment={})
    fleet.made[name] = replace(fleet.made[name], content={})
    with pytest.raises(Refused, match="with other content"):
        base_deployments.deploy(fleet, loops, image=IMAGE, environment={})
