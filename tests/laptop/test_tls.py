"""Certificates: made once, kept while they fit, and good enough for Python's strict checks."""

import ssl
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from laptop.stack import HUB_PORT, Stack
from laptop.tls import client_context, write_certificates
from tests.laptop.serving import https_server, serving

pytestmark = pytest.mark.enable_socket


@pytest.mark.parametrize("host", ["{address}", "localhost"])
def test_a_client_in_strict_mode_accepts_the_certificate_for_the_address_and_for_localhost(
    azurite_stack: Stack, host: str
) -> None:
    strict = client_context(azurite_stack)
    assert strict.verify_flags & ssl.VERIFY_X509_STRICT
    server = https_server(Starlette(), azurite_stack, HUB_PORT)
    url = f"https://{azurite_stack.address}:{HUB_PORT}/"
    name = host.format(address=azurite_stack.address)
    with serving(server), httpx.Client(verify=strict) as client:
        answer = client.get(url, extensions={"sni_hostname": name}, headers={"host": name})
    assert answer.status_code == 404


def test_a_client_that_trusts_only_public_authorities_refuses_the_certificate(azurite_stack: Stack) -> None:
    server = https_server(Starlette(), azurite_stack, HUB_PORT)
    with serving(server), pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{azurite_stack.address}:{HUB_PORT}/")


def test_certificates_that_fit_are_kept(tmp_path: Path) -> None:
    stack = Stack("127.0.0.1", tmp_path)
    write_certificates(stack)
    first = stack.authority.read_bytes(), stack.certificate.read_bytes(), stack.private_key.read_bytes()
    write_certificates(stack)
    assert (stack.authority.read_bytes(), stack.certificate.read_bytes(), stack.private_key.read_bytes()) == first


def test_a_home_that_moves_to_another_address_gets_new_certificates(tmp_path: Path) -> None:
    write_certificates(Stack("127.0.0.1", tmp_path))
    first = Stack("127.0.0.1", tmp_path).certificate.read_bytes()
    write_certificates(Stack("127.0.0.2", tmp_path))
    assert Stack("127.0.0.2", tmp_path).certificate.read_bytes() != first


@pytest.mark.parametrize("damaged", ["ca.pem", "server.pem", "server.key"])
def test_a_damaged_or_missing_file_is_replaced_together_with_the_others(tmp_path: Path, damaged: str) -> None:
    stack = Stack("127.0.0.1", tmp_path)
    write_certificates(stack)
    (tmp_path / "tls" / damaged).write_bytes(b"not a certificate")
    write_certificates(stack)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(stack.certificate, stack.private_key)
    client_context(stack)


def test_the_private_key_is_the_owners_alone(tmp_path: Path) -> None:
    stack = Stack("127.0.0.1", tmp_path)
    write_certificates(stack)
    assert stack.private_key.stat().st_mode & 0o077 == 0
