"""Makes the key that models are signed with, once, and says its public half.

Usage: ``python -m infra.steps.signing_key --vault https://…vault.azure.net/``. The private half goes from this
process's memory into the vault and nowhere else. Keys that MODEL_KEYS names already stay in front: devices trust them
until a person takes them away. Whoever `DefaultAzureCredential` finds needs the role Key Vault Secrets Officer.
"""

import argparse
import base64
import os
import sys
from collections.abc import Mapping
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import DefaultAzureCredential
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

NAME = "model-signing-key"  # infra/modules/app.bicep refers to it
SCOPE = "https://vault.azure.net/.default"
API_VERSION = "7.4"
NOT_FOUND, TAKEN, FORBIDDEN = 404, 409, 403
TRIES = 6  # a role that was given a minute ago may not be known everywhere yet


class Unusable(Exception):
    """There is no key, and none could be made; the message says why and what to do."""


def ensure(vault: str, credential: TokenCredential) -> str:
    """The public key of the app's signing key, which is made if the vault has none.

    Args:
        vault: The vault's URI.
        credential: Who may read and write secrets there.

    Returns:
        The raw public key as base64: what devices are given in MODEL_KEYS.

    Raises:
        Unusable: The vault refuses, or holds something else under that name.
        azure.core.exceptions.AzureError: The vault cannot be reached.
    """
    retries = RetryPolicy(retry_total=TRIES, retry_on_status_codes=[FORBIDDEN], retry_backoff_factor=2)
    policies = [retries, BearerTokenCredentialPolicy(credential, SCOPE)]
    with PipelineClient[HttpRequest, HttpResponse](vault, policies=policies) as client:
        url = f"{vault.rstrip('/')}/secrets/{NAME}?api-version={API_VERSION}"
        found = _value(client.send_request(HttpRequest("GET", url)))
        if found is None:
            secret = {"value": _new(), "contentType": "Ed25519 private key, PKCS8 PEM, base64"}
            answer = client.send_request(HttpRequest("PUT", url, json=secret))
            if answer.status_code == TAKEN:
                fix = f"bring it back: az keyvault secret recover --name {NAME} --id {vault}deletedsecrets/{NAME}"
                raise Unusable(f"the signing key was deleted and its name is kept for it; {fix}")
            _value(answer)
            found = _value(client.send_request(HttpRequest("GET", url)))  # what stands, if two deployed at once
    return _public(found or "")


def _value(answer: HttpResponse) -> str | None:
    """The secret in an answer, or None if there is none."""
    if answer.status_code == NOT_FOUND:
        return None
    if answer.status_code == FORBIDDEN:
        fix = "give whoever deploys Key Vault Secrets Officer on it, or deploy from one of the allowed addresses"
        raise Unusable(f"the vault refuses: {answer.reason}; {fix}")
    answer.raise_for_status()
    secret: Mapping[str, Any] = answer.json()
    return str(secret["value"])


def _new() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(pem).decode()


def _public(secret: str) -> str:
    try:
        pem = secret.encode() if secret.startswith("-----") else base64.b64decode(secret, validate=True)
        key = load_pem_private_key(pem, password=None)
    except ValueError as problem:
        raise Unusable(f"the secret {NAME} is no PEM key, nor the base64 of one; see docs/settings.md") from problem
    if not isinstance(key, Ed25519PrivateKey):
        raise Unusable(f"the secret {NAME} is a {type(key).__name__}; see docs/settings.md")
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def trusted(known: str, public: str) -> str:
    """MODEL_KEYS of the devices: what they trusted so far, and this key.

    Args:
        known: MODEL_KEYS as it was; each key may have its last day behind it.
        public: The raw public key as base64.
    """
    keys = [one.strip() for one in known.split(",") if one.strip()]
    return ",".join(keys if public in [one.partition("@")[0] for one in keys] else [*keys, public])


def main() -> int:
    """Print the keys that devices should trust; 1 with a sentence when there is none to sign with."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--vault", required=True, help="URI of the vault")
    options = arguments.parse_args()
    try:
        print(trusted(os.environ.get("MODEL_KEYS", ""), ensure(options.vault, DefaultAzureCredential())))
    except (Unusable, AzureError) as problem:
        print(f"no signing key: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
