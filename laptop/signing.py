"""The key a stack signs its models with; in Azure it would be a secret of the key vault."""

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from laptop.agreed import agreed
from laptop.stack import Stack


def private_key(stack: Stack) -> str:
    """The setting MODEL_SIGNING_KEY: the PKCS8 PEM as base64 on one line."""
    return base64.b64encode(_pem(stack)).decode()


def public_key(stack: Stack) -> str:
    """The setting MODEL_KEYS of the devices: the raw public key as base64."""
    key = load_pem_private_key(_pem(stack), password=None)
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _pem(stack: Stack) -> bytes:
    return agreed(stack.home / "signing" / "key.pem", _new)


def _new() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
