"""Whose models this device takes: the public keys it knows, and what they have signed."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta, Struct

from edge.errors import Unfit

KEY_BYTES = 32


class Signed(Struct, frozen=True):
    """The file files.sig: an Ed25519 signature over exactly the bytes of files.json.

    Args:
        key: Name of the key: the first 16 hex digits of the SHA-256 of its 32 raw bytes.
        algorithm: How it was signed.
        signature: 64 bytes, as base64.
    """

    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    algorithm: Literal["ed25519"]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """One key this device trusts.

    Args:
        raw: The public key, 32 bytes.
        until: Last day, in UTC, on which it lets a model take over; None means no end.
    """

    raw: bytes
    until: date | None = None

    @property
    def name(self) -> str:
        """What files.sig calls it."""
        return sha256(self.raw).hexdigest()[:16]


class Keyring:
    """The keys a device trusts.

    Args:
        keys: Empty only if signatures are switched off: then any model is taken that the twin vouches for.
    """

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys: Mapping[str, Key] = {key.name: key for key in keys}

    @property
    def required(self) -> bool:
        """Whether models must be signed."""
        return bool(self._keys)

    def verify(self, listing: bytes, signature: bytes, *, newcomer: bool) -> None:
        """Make sure that somebody this device trusts has signed a model.

        Args:
            listing: Content of files.json.
            signature: Content of files.sig.
            newcomer: Whether the model has yet to take over; a key's end does not stop one that serves already.

        Raises:
            Unfit: The signature is none, is wrong, or is that of a key that is unknown or has ended; the key is named.
        """
        try:
            signed = msgspec.json.decode(signature, type=Signed)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise _untrusted("files.sig cannot be read", str(problem)) from problem
        key = self._keys.get(signed.key)
        if key is None:
            raise _untrusted(f"key {signed.key} is unknown here", f"this device knows {sorted(self._keys)}")
        if newcomer and key.until and datetime.now(UTC).date() > key.until:
            raise _untrusted(f"key {key.name} has ended", f"its last day was {key.until}")
        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(signed.signature, listing)
        except InvalidSignature as problem:
            raise _untrusted(
                f"key {key.name} has not signed this files.json", "the signature does not match"
            ) from problem


def read_keys(text: str) -> tuple[Key, ...]:
    """Read the setting MODEL_KEYS: `<base64>[@<last day>]`, separated by commas.

    Raises:
        ValueError: An entry is not 32 bytes as base64, or its last day is no date such as 2027-06-30.
    """
    return tuple(_key(entry.strip()) for entry in text.split(",") if entry.strip())


def _key(entry: str) -> Key:
    encoded, _, until = entry.partition("@")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error as problem:
        raise ValueError(f"{entry!r} is not base64: {problem}") from problem
    if len(raw) != KEY_BYTES:
        raise ValueError(f"{entry!r} has {len(raw)} bytes; an Ed25519 public key has {KEY_BYTES}")
    return Key(raw, date.fromisoformat(until) if until else None)


def _untrusted(what: str, why: str) -> Unfit:
    return Unfit(
        f"the model's signature is not trusted: {what}",
        why=why,
        fix="sign the model with a key that the device's setting MODEL_KEYS lists",
    )
