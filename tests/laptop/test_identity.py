"""Tokens: handed out to the real DefaultAzureCredential, checked by every endpoint of the stack."""

import os
import time
from pathlib import Path

import httpx
import jwt
import pytest
from azure.identity import DefaultAzureCredential

from laptop.identity import ISSUER, Identity, Unauthorized
from laptop.stack import IDENTITY_PORT, Stack
from tests.laptop.serving import http_server, serving

pytestmark = pytest.mark.enable_socket
STORAGE = "https://storage.azure.com"


def signed(identity: Identity, **changes: object) -> str:
    claims = jwt.decode(identity.token(STORAGE), options={"verify_signature": False}) | changes
    return jwt.encode(claims, identity._key, algorithm="HS256")


@pytest.mark.parametrize(
    "resource",
    ["https://storage.azure.com", "https://ml.azure.com", "https://iothubs.azure.net", "https://eventgrid.azure.net"],
)
def test_the_real_default_credential_gets_a_token_for_any_resource(
    azurite_stack: Stack, monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    identity = Identity(azurite_stack)
    for name, value in azurite_stack.sdk_environment().items():
        monkeypatch.setenv(name, value)
    with serving(http_server(identity.app(), azurite_stack, IDENTITY_PORT)), DefaultAzureCredential() as credential:
        token = credential.get_token(f"{resource}/.default")
    claims = identity.claims(f"Bearer {token.token}", resource)
    assert claims["aud"] == resource
    assert token.expires_on == claims["exp"]


def test_the_endpoint_refuses_a_caller_without_the_secret_header(azurite_stack: Stack) -> None:
    with serving(http_server(Identity(azurite_stack).app(), azurite_stack, IDENTITY_PORT)):
        answer = httpx.get(azurite_stack.identity_url, params={"resource": STORAGE, "api-version": "2019-08-01"})
    assert answer.status_code == 401
    assert "X-IDENTITY-HEADER" in answer.json()["message"]


@pytest.mark.parametrize("query", [{"api-version": "2019-08-01"}, {"resource": STORAGE, "api-version": "1999-01-01"}])
def test_the_endpoint_says_what_is_missing(azurite_stack: Stack, query: dict[str, str]) -> None:
    with serving(http_server(Identity(azurite_stack).app(), azurite_stack, IDENTITY_PORT)):
        answer = httpx.get(azurite_stack.identity_url, params=query, headers={"X-IDENTITY-HEADER": "laptop"})
    assert answer.status_code == 400


@pytest.mark.parametrize("audience", ["https://storage.azure.com", "https://storage.azure.com/"])
def test_a_trailing_slash_does_not_change_an_audience(tmp_path: Path, audience: str) -> None:
    identity = Identity(Stack("127.0.0.1", tmp_path))
    assert identity.claims(f"Bearer {identity.token(STORAGE)}", audience)["aud"] == STORAGE
    assert identity.claims(f"Bearer {identity.token(STORAGE + '/')}", audience)["aud"] == f"{STORAGE}/"


def test_two_processes_with_one_home_accept_each_other(tmp_path: Path) -> None:
    stack = Stack("127.0.0.1", tmp_path)
    assert Identity(stack).claims(f"bearer {Identity(stack).token(STORAGE)}", STORAGE)["iss"] == ISSUER


def test_the_signing_key_is_the_owners_alone(tmp_path: Path) -> None:
    Identity(Stack("127.0.0.1", tmp_path))
    assert os.stat(tmp_path / "identity" / "key").st_mode & 0o077 == 0  # noqa: PTH116 - the mode is the point


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Bearer not.a.token"])
def test_a_request_without_a_usable_token_is_unauthorized(tmp_path: Path, header: str | None) -> None:
    with pytest.raises(Unauthorized):
        Identity(Stack("127.0.0.1", tmp_path)).claims(header, STORAGE)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 1},
        {"nbf": int(time.time()) + 600},
        {"aud": "https://storage.azure.com.evil.example"},
        {"iss": "https://login.evil.example/"},
    ],
)
def test_a_token_that_is_old_early_or_foreign_is_unauthorized(tmp_path: Path, changes: dict[str, object]) -> None:
    identity = Identity(Stack("127.0.0.1", tmp_path))
    with pytest.raises(Unauthorized):
        identity.claims(f"Bearer {signed(identity, **changes)}", STORAGE)


def test_a_token_signed_by_another_stack_is_unauthorized(tmp_path: Path) -> None:
    stranger = Identity(Stack("127.0.0.1", tmp_path / "stranger"))
    with pytest.raises(Unauthorized):
        Identity(Stack("127.0.0.1", tmp_path)).claims(f"Bearer {stranger.token(STORAGE)}", STORAGE)
