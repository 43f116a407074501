"""From a generation to a training job: manifests written once, a name derived from what they say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from functions.errors import Transient
from functions.events import Trigger
from functions.loops import Loop
from functions.ports import Blobs, JobOrder
from functions.retraining.ledger import Upload

CONTAINER = "manifests"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a generation took, and why; the first writer's word stands.

    Args:
        blobs: name, etag, size_bytes, site and ledger key of every upload.
        requests: Ledger keys of the drift requests it answers.
    """

    generation: int
    trigger: Trigger
    reason: str
    blobs: tuple[dict[str, str | int], ...]
    requests: tuple[str, ...]


def write_manifest(blobs: Blobs, loop: Loop, wanted: Manifest) -> Manifest:
    """Write a generation's manifest if nobody has, and read back what stands."""
    body = {"loop": loop.name, "generation": wanted.generation, "trigger": wanted.trigger, "reason": wanted.reason}
    document = {**body, "blobs": list(wanted.blobs), "requests": list(wanted.requests)}
    return _manifest(_write_once(blobs, f"{loop.name}/{wanted.generation}/new.json", document))


def entries(uploads: Sequence[Upload]) -> tuple[dict[str, str | int], ...]:
    """Uploads as a manifest lists them."""
    return tuple(
        {
            "name": one.blob,
            "etag": one.etag,
            "size_bytes": one.size_bytes,
            "site": one.site,
            "key": one.key,
            "rows": one.rows,
        }
        for one in uploads
    )


def order(blobs: Blobs, loop: Loop, manifest: Manifest, *, champion: str | None) -> JobOrder:
    """The job of a generation: it trains on everything that landed up to it.

    Args:
        blobs: Where the manifests are.
        loop: Whose job.
        manifest: Of the generation, as it stands.
        champion: Version of the model to beat; None for the first.
    """
    earlier = [_read(blobs, loop, number).blobs for number in range(1, manifest.generation)]
    newest = {str(blob["name"]): blob for part in [*earlier, manifest.blobs] for blob in part}
    folder = f"{loop.name}/{manifest.generation}/training_set"
    body = {"loop": loop.name, "generation": manifest.generation, "blobs": [newest[name] for name in sorted(newest)]}
    data = _write_once(blobs, f"{folder}/manifest.json", body)
    digest = sha256(data).hexdigest()
    return JobOrder(
        name=f"rt-{loop.name}-{manifest.generation}-{digest[:12]}",
        loop=loop.name,
        pipeline=loop.retrain.pipeline,
        compute=loop.retrain.compute,
        experiment=loop.retrain.experiment,
        training_set=folder,
        landing=loop.name,
        champion=f"{loop.name}/{champion}" if champion else None,
        schema=_schema(loop),
        version=str(manifest.generation),
        lineage={
            "loop": loop.name,
            "generation": str(manifest.generation),
            "trigger": manifest.trigger,
            "training_set_sha256": digest,
            "files": str(len(newest)),
        },
    )


def _schema(loop: Loop) -> str:
    features = [{"name": name, "kind": kind} for name, kind in loop.data.features.items()]
    return json.dumps({"label": loop.data.label, "features": features, "segment": "site"}, separators=(",", ":"))


def _write_once(blobs: Blobs, name: str, document: object) -> bytes:
    blobs.create(CONTAINER, name, json.dumps(document, indent=1, sort_keys=True).encode())
    return _existing(blobs, name)


def _existing(blobs: Blobs, name: str) -> bytes:
    data = blobs.read(CONTAINER, name)
    if data is None:
        raise Transient(f"{CONTAINER}/{name} is not there", why="it was written before", fix="wait for the next try")
    return data


def _read(blobs: Blobs, loop: Loop, generation: int) -> Manifest:
    return _manifest(_existing(blobs, f"{loop.name}/{generation}/new.json"))


def _manifest(data: bytes) -> Manifest:
    body = json.loads(data)
    return Manifest(
        generation=body["generation"],
        trigger=body["trigger"],
        reason=body["reason"],
        blobs=tuple(body["blobs"]),
        requests=tuple(body["requests"]),
    )
