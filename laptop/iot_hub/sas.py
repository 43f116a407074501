"""Shared access signatures: what IoT Hub's clients prove themselves with when they hold a key instead of a token."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_plus

_SHAPE = re.compile(r"SharedAccessSignature (?P<fields>\S+)")


class BadSignature(Exception):
    """The signature is malformed, expired, for another resource, or not made with the key."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A shared access signature, not yet checked.

    Args:
        resource: What it opens, decoded, such as ``hub.example/devices/d1``.
        signed: The bytes under the signature.
        digest: The signature itself.
        expires: Seconds since 1970.
        policy: Name of the hub's policy whose key signed; empty for a device's own key.
    """

    resource: str
    signed: bytes
    digest: str
    expires: int
    policy: str

    def check(self, keys: Iterable[str], *, resources: Iterable[str], now: float) -> None:
        """Accept it, or say why not.

        Args:
            keys: The keys, in base64, that may have signed.
            resources: What is being opened; the signature must name it or something that contains it.
            now: Seconds since 1970.

        Raises:
            BadSignature: With the reason.
        """
        if self.expires <= now:
            raise BadSignature("The specified SAS token is expired")
        scope = self.resource.lower()
        if not any(f"{one.lower()}/".startswith(f"{scope}/") for one in resources):
            raise BadSignature(f"The specified SAS token is for another resource: {self.resource}")
        if not any(hmac.compare_digest(self.digest, _sign(key, self.signed)) for key in keys):
            raise BadSignature(
                "The specified SAS token has an invalid signature. "
                "It does not match either the primary or secondary key."
            )


def parse(text: str) -> Signature:
    """Read ``SharedAccessSignature sr=…&sig=…&se=…[&skn=…]``, the fields in any order.

    Raises:
        BadSignature: It has another shape.
    """
    match = _SHAPE.fullmatch(text)
    fields = dict(part.partition("=")[::2] for part in match["fields"].split("&")) if match else {}
    if not {"sr", "sig", "se"} <= fields.keys() or not re.fullmatch(r"\d{1,15}", fields["se"]):
        raise BadSignature("The specified SAS token is malformed")
    return Signature(
        resource=unquote_plus(fields["sr"]),
        signed=f"{fields['sr']}\n{fields['se']}".encode(),
        digest=unquote_plus(fields["sig"].replace("+", "%2B")),
        expires=int(fields["se"]),
        policy=unquote_plus(fields.get("skn", "")),
    )


def new_key() -> str:
    """A key as the service makes them: 32 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def is_key(text: str) -> bool:
    """Whether the service takes this as a key: base64 of 16 to 64 bytes."""
    try:
        return 16 <= len(base64.b64decode(text, validate=True)) <= 64  # noqa: PLR2004 - the service's bounds
    except (binascii.Error, ValueError):
        return False


def _sign(key: str, message: bytes) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), message, hashlib.sha256)).decode()
