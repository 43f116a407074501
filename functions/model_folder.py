"""A model's folder in the store: the files a device needs, the list of their digests, the signature over that list."""

import base64
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256

from functions.errors import Refused
from functions.ports import Blobs, ModelVersion, Signature, Signer

CONTAINER = "models"
FILES = ("model.onnx", "signature.json", "profile.json", "samples.json")
JUDGED = ("judged/model.onnx", "judged/signature.json")  # beside them, for the next comparison; no device's
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


def missing_of(blobs: Blobs, model: ModelVersion) -> list[str]:
    """Everything for which a device would refuse a registered model, its signature apart; empty if nothing is."""
    if not model.folder:
        return [f"its files are not in the container {CONTAINER}"]
    contents = {name: blobs.read(CONTAINER, f"{model.folder}/{name}") for name in (*FILES, LISTING)}
    absent = [name for name, data in contents.items() if data is None]
    if absent:
        return [f"{CONTAINER}/{model.folder}/ lacks {', '.join(absent)}", *_unsaid(model)]
    return list(_wrong(model, {name: data for name, data in contents.items() if data is not None}))


def signature_of(blobs: Blobs, signer: Signer, model: ModelVersion) -> bool:
    """Sign a whole folder that has no signature yet; False if it has one, or there is no key and none is made.

    Raises:
        Refused: There is a signature, and another one than this app's key makes.
    """
    name = f"{model.folder}/{SIGNATURE}"
    signed = signer.sign(blobs.read(CONTAINER, f"{model.folder}/{LISTING}") or b"")
    if signed is None:
        return False
    wanted = signature(signed)
    if blobs.create(CONTAINER, name, wanted):
        return True
    if blobs.read(CONTAINER, name) != wanted:
        why, fix = "it was not made by this app's key", "find out who signed it; delete it if it is nobody's"
        raise Refused(f"{CONTAINER}/{name} is not ours", why=why, fix=fix)
    return False


def _wrong(model: ModelVersion, contents: Mapping[str, bytes]) -> Iterator[str]:
    files = {name: contents[name] for name in FILES}
    try:
        listed = json.loads(contents[LISTING])
    except ValueError:
        listed = None
    if listed != json.loads(listing(model.model, model.version, files)):
        yield f"{LISTING} does not name {model.model}:{model.version} with the digests of its files"
    yield from _unsaid(model, sha256=sha256(contents[LISTING]).hexdigest(), profile=_profile(contents["profile.json"]))


def _unsaid(model: ModelVersion, **expected: str) -> Iterator[str]:
    """What the version's own properties do not say, or not rightly: deployments are made from them."""
    for name in ("sha256", "profile"):
        found, wanted = model.lineage.get(name), expected.get(name)
        if found is None:
            yield f"it was registered without the property {name}" + (f" ({wanted})" if wanted else "")
        elif wanted is not None and found != wanted:
            yield f"its property {name} is {found}, and should be {wanted or 'that of a usable profile.json'}"


def _profile(content: bytes) -> str:
    try:
        return profile_hash(content)
    except ValueError:
        return ""
