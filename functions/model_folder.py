"""A model's folder in the store: the files a device needs, the list of their digests, the signature over that list."""

import base64
import json
from collections.abc import Mapping
from hashlib import sha256

from functions.ports import Signature

CONTAINER = "models"
FILES = ("model.onnx", "signature.json", "profile.json", "samples.json")
LISTING, SIGNATURE = "files.json", "files.sig"


def listing(model: str, version: str, contents: Mapping[str, bytes]) -> bytes:
    """files.json: which model this is, and what each of its files must be; devices check files against it."""
    files = {name: {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)} for name, data in contents.items()}
    return json.dumps({"model": model, "version": version, "files": files}, indent=1, sort_keys=True).encode()


def signature(signed: Signature) -> bytes:
    """files.sig: the signature over the exact bytes of files.json, and which key made it."""
    value = base64.b64encode(signed.value).decode()
    body = {"key": signed.key, "algorithm": "ed25519", "signature": value}
    return json.dumps(body, indent=1, sort_keys=True).encode()


def profile_hash(content: bytes) -> str:
    """What names a reference profile; ValueError for anything that is none."""
    from sketch.profile import Profile  # noqa: PLC0415 - numpy: a tenth of the start, and few runs end in a model

    return Profile.from_json(content.decode()).hash
