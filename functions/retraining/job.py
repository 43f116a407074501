"""From a generation to a training job: manifests written once, a name derived from what they say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import get_args

from functions.errors import Transient
from functions.events import Trigger
from functions.loops import Loop
from functions.ports import Blobs, JobOrder, Rows
from functions.retraining.ledger import Upload, taken
from functions.retraining.training_set import select
from functions.tracing import TRACEPARENT

CONTAINER = "manifests"
MOST_TRACES = 16  # kept of a generation
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger.__value__)

type Entry = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a generation took, and why; the first writer's word stands.

    Args:
        blobs: name, etag, size_bytes, site, ledger key and rows of every upload, and the path of its content below the
            loop's folder of kept versions.
        requests: Keys of the wishes it answers.
        traces: Traceparents of uploads in it, the newest first; the job goes on with the first of them.
    """

    generation: int
    trigger: Trigger
    reason: str
    blobs: tuple[Entry, ...]
    requests: tuple[str, ...]
    traces: tuple[str, ...] = ()

    @property
    def carried(self) -> dict[str, str]:
        """The trace as the job, its row and its model carry it on; empty without one."""
        return {TRACEPARENT: self.traces[0]} if self.traces else {}


def write_manifest(blobs: Blobs, loop: Loop, wanted: Manifest) -> Manifest:
    """Write a generation's manifest if nobody has, and read back what stands."""
    body = {"loop": loop.name, "generation": wanted.generation, "trigger": wanted.trigger, "reason": wanted.reason}
    document = {**body, "blobs": list(wanted.blobs), "requests": list(wanted.requests)}
    if wanted.traces:
        document["traces"] = list(wanted.traces)
    return _manifest(_write_once(blobs, _name(loop, wanted.generation), document))


def read_manifest(blobs: Blobs, loop: Loop, generation: int) -> Manifest:
    """The manifest of a generation that was launched."""
    return _manifest(_existing(blobs, _name(loop, generation)))


def entries(uploads: Sequence[Upload]) -> tuple[Entry, ...]:
    """Uploads as a manifest lists them."""
    return tuple(
        {
            "name": one.blob,
            "etag": one.etag,
            "size_bytes": one.size_bytes,
            "site": one.site,
            "key": one.key,
            "rows": one.rows,
            "path": one.kept_as,
        }
        for one in uploads
    )


def traces(uploads: Sequence[Upload]) -> tuple[str, ...]:
    """The traces that led to a generation, the newest first; so many that the rest may be looked up by `why`."""
    newest = sorted((one for one in uploads if one.traceparent), key=lambda one: (one.at, one.key), reverse=True)
    return tuple(dict.fromkeys(one.traceparent for one in newest))[:MOST_TRACES]


def write_training_set(blobs: Blobs, rows: Rows, loop: Loop, manifest: Manifest) -> bytes:
    """Derive what a generation trains on, write it once, and read back what stands."""
    number, name = manifest.generation, f"{_folder(loop, manifest.generation)}/manifest.json"
    if (existing := blobs.read(CONTAINER, name)) is not None:
        return existing
    keys = frozenset(str(blob["key"]) for blob in manifest.blobs)
    chosen = select(taken(rows, loop, before=number, keys=keys), new=keys, train_on=loop.retrain.train_on)
    body = {"loop": loop.name, "generation": number, "train_on": loop.retrain.train_on}
    return _write_once(blobs, name, {**body, "blobs": list(entries(chosen))})


def order(
    loop: Loop, manifest: Manifest, training_set: bytes, *, pipeline: str, champion: str | None, attempt: int = 1
) -> JobOrder:
    """The job of a generation.

    Args:
        loop: Whose job.
        manifest: Of the generation, as it stands.
        training_set: What it trains on, as it stands.
        pipeline: Component to run.
        champion: Version of the model to beat; None for the first.
        attempt: 2 for a job that is started once more.
    """
    digest, number = sha256(training_set).hexdigest(), str(manifest.generation)
    name = f"rt-{loop.name}-{number}-{digest[:12]}"
    return JobOrder(
        name=attempt_at(name, attempt),
        loop=loop.name,
        pipeline=pipeline,
        compute=loop.retrain.compute,
        experiment=loop.retrain.experiment,
        training_set=_folder(loop, manifest.generation),
        landing=loop.name,
        champion=f"{loop.name}/{champion}" if champion else None,
        schema=_schema(loop),
        version=number,
        lineage={
            "loop": loop.name,
            "generation": number,
            "trigger": manifest.trigger,
            "training_set_sha256": digest,
            "files": str(len(json.loads(training_set)["blobs"])),
            **manifest.carried,
        },
        attempt=attempt,
        identity=loop.retrain.identity,
        tags=loop.retrain.tags,
    )


def attempt_at(job: str, number: int) -> str:
    """Name of an attempt at a job, by the name of the first."""
    return job if number == 1 else f"{job}-r{number}"


def as_trigger(text: object) -> Trigger:
    """What a row or a document calls a trigger; a word that is none counts as data."""
    return next((known for known in TRIGGERS if known == text), "data")


def _schema(loop: Loop) -> str:
    features = [{"name": name, "kind": kind} for name, kind in loop.data.features.items()]
    watched = {"pairs": loop.drift.pairs, "contexts": loop.drift.contexts}
    asked = {"label": loop.data.label, "features": features, "segment": "site", **watched}
    return json.dumps(asked, separators=(",", ":"))


def _name(loop: Loop, generation: int) -> str:
    return f"{loop.name}/{generation}/new.json"


def _folder(loop: Loop, generation: int) -> str:
    return f"{loop.name}/{generation}/training_set"


def _write_once(blobs: Blobs, name: str, document: object) -> bytes:
    blobs.create(CONTAINER, name, json.dumps(document, indent=1, sort_keys=True).encode())
    return _existing(blobs, name)


def _existing(blobs: Blobs, name: str) -> bytes:
    data = blobs.read(CONTAINER, name)
    if data is None:
        raise Transient(f"{CONTAINER}/{name} is not there", why="it was written before", fix="wait for the next try")
    return data


def _manifest(data: bytes) -> Manifest:
    body = json.loads(data)
    return Manifest(
        generation=body["generation"],
        trigger=as_trigger(body["trigger"]),
        reason=body["reason"],
        blobs=tuple(body["blobs"]),
        requests=tuple(body["requests"]),
        traces=tuple(body.get("traces", ())),
    )
