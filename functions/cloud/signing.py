"""Signatures over model folders (cryptography): Ed25519, so the same bytes always get the same signature."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from functions.errors import Refused
from functions.ports import Signature


class KeySigner:
    """Signer with the app's own key.

    Args:
        pem: An Ed25519 private key, PKCS8 PEM; None for an app that has none, whose models stay unsigned.

    Raises:
        Refused: The text is no such key.
    """

    def __init__(self, pem: str | None) -> None:
        self._key = None if pem is None else _key(pem)

    def sign(self, data: bytes) -> Signature | None:
        """The signature over exactly these bytes; None without a key."""
        if self._key is None:
            return None
        public = self._key.public_key().public_bytes_raw()
        return Signature(key=sha256(public).hexdigest()[:16], value=self._key.sign(data))


def _key(pem: str) -> Ed25519PrivateKey:
    fix = "make one with `openssl genpkey -algorithm ed25519`, and give the devices its public half in MODEL_KEYS"
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as problem:
        raise Refused("MODEL_SIGNING_KEY is not usable", why="it is no unencrypted PKCS8 PEM key", fix=fix) from problem
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused("MODEL_SIGNING_KEY is not usable", why=f"it is a {type(key).__name__}", fix=fix)
    return key
