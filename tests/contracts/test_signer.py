"""What functions/ports.py promises of Signer."""

import base64
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from functions.cloud.signing import KeySigner
from functions.errors import Refused
from functions.wiring import Azure, Cloud
from laptop.signing import public_key
from laptop.stack import Stack


def test_the_same_bytes_get_the_same_signature_and_others_another(cloud: Cloud) -> None:
    one, again, other = (cloud.signer.sign(data) for data in (b"files", b"files", b"Files"))
    assert one is not None
    assert other is not None
    assert one == again
    assert one.key == other.key
    assert one.value != other.value
    assert (len(one.key), len(one.value)) == (16, 64)


@pytest.mark.enable_socket
def test_a_device_of_the_stack_can_check_what_the_app_of_the_stack_signed(azure: Azure, stack: Stack) -> None:
    raw = base64.b64decode(public_key(stack))
    signed = azure.signer.sign(b"files")
    assert signed is not None
    assert signed.key == sha256(raw).hexdigest()[:16]
    Ed25519PublicKey.from_public_bytes(raw).verify(signed.value, b"files")
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(raw).verify(signed.value, b"file")


def test_an_app_without_a_key_signs_nothing() -> None:
    assert KeySigner(None).sign(b"files") is None


def test_a_key_of_another_kind_is_refused_with_what_to_make_instead() -> None:
    elliptic = generate_private_key(SECP256R1())
    pem = elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(Refused, match="openssl genpkey -algorithm ed25519"):
        KeySigner(pem)
    with pytest.raises(Refused, match="no unencrypted PKCS8 PEM key"):
        KeySigner("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")
