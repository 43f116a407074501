"""What the loop needs from the cloud, in the loop's own words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from functions.events import Event

type Value = str | int | float | bool | bytes | datetime
type Row = Mapping[str, Value]

ROW_LIMIT: Final = 960 * 1024  # bytes of a row's values; Table Storage takes 1 MiB with their names and types


def weight(row: Row) -> int:
    """Bytes that a row's values take: two a character of text, eight what is neither text nor bytes."""
    return sum(
        len(value) if isinstance(value, bytes) else 2 * len(value) if isinstance(value, str) else 8
        for value in row.values()
    )


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as the store holds it."""

    key: str
    row: Row
    etag: str


@dataclass(frozen=True, slots=True)
class Write:
    """A row as it shall be from now on.

    Args:
        key: The row's.
        row: All its values.
        stored: What it takes the place of; None for a row that is new.
    """

    key: str
    row: Row
    stored: Stored | None


class Rows(Protocol):
    """Small durable facts: tables of partitions of rows.

    Tables: uploads, transfers, requests, generations, jobs, rollouts, pins, devices, episodes, images, replays,
    journal. Partition and key may hold any text, and a text or bytes any length; only a row as a whole has a limit,
    `ROW_LIMIT`, beyond which it is Refused.
    """

    def insert(self, table: str, partition: str, key: str, *, row: Row) -> bool:
        """Add a row; False if one with that key exists already, whoever wrote it."""
        ...

    def get(self, table: str, partition: str, key: str) -> Stored | None: ...

    def replace(self, table: str, partition: str, *, stored: Stored, row: Row) -> bool:
        """Compare and swap; False if the row changed meanwhile (a lost response counts as done if ours is there)."""
        ...

    def write_all(self, table: str, partition: str, writes: Sequence[Write]) -> bool:
        """Insert or replace many rows of one partition: all of them, or none if one is not as it was, which is False.

        A hundred at most, 4 MiB as they travel, where bytes take a third more; beyond that it is Refused. False too if
        they were written and the answer was lost.
        """
        ...

    def change(self, table: str, partition: str, *, keys: Iterable[str], values: Row) -> None:
        """Merge the same values into many rows of one partition."""
        ...

    def change_each(self, table: str, partition: str, *, values: Mapping[str, Row]) -> None:
        """Merge into each row of one partition the values its key is given."""
        ...

    def find(self, table: str, partition: str, **equal: Value) -> Iterator[Stored]:
        """Rows of a partition whose values equal the given ones, ordered by key."""
        ...

    def columns(self, table: str, partition: str, *names: str) -> Iterator[Stored]:
        """Every row of a partition with no more than these of its values, ordered by key; the others do not travel."""
        ...


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """What the store itself says about a blob."""

    name: str
    size_bytes: int
    etag: str


class Blobs(Protocol):
    """Documents and models, in the data account's containers."""

    def create(self, container: str, name: str, data: bytes) -> bool:
        """Write once; False if the blob exists already, whoever wrote it."""
        ...

    def put(self, container: str, name: str, data: bytes) -> None:
        """Write, replacing an older version."""
        ...

    def read(self, container: str, name: str) -> bytes | None: ...

    def read_version(self, container: str, name: str, etag: str, *, offset: int, length: int) -> bytes | None:
        """A range of one version, cut off at its end; None if the blob is another version by now, or gone.

        Offset 0 and the whole length of a blob is one request.
        """
        ...

    def copy(self, source: tuple[str, str], etag: str, *, to: tuple[str, str]) -> bool:
        """Let the store copy one version (container and name) once; False if it is another version by now, or gone.

        At most 256 MiB. A copy that exists is left as it is, and counts as done.
        """
        ...

    def facts(self, container: str, name: str) -> BlobFacts | None: ...

    def list(self, container: str, prefix: str) -> Sequence[BlobFacts]: ...


@dataclass(frozen=True, slots=True)
class JobOrder:
    """One training job, named after what it trains on: ordering it twice starts it once.

    Args:
        name: Deterministic job name.
        pipeline: Registered pipeline component, "name:version".
        training_set: Folder of the training-set manifest, relative to the manifests container.
        landing: Folder of the kept versions of the loop's uploads, relative to the versions container.
        champion: Folder of the champion's files, relative to the models container; None for the first model.
        schema: JSON the training scripts read: label, features with kinds, segment column.
        version: Version of the data asset that names the training set.
        lineage: What caused the job; kept as properties of job and data asset.
        attempt: 2 for a job that is started once more, on the same training set under another name.
        identity: Whose rights the job's steps have, in Azure ML's words; None for the compute's own.
        tags: The loop's own, beside loop, generation and trigger.
    """

    name: str
    loop: str
    pipeline: str
    compute: str
    experiment: str
    training_set: str
    landing: str
    champion: str | None
    schema: str
    version: str
    lineage: Mapping[str, str]
    attempt: int = 1
    identity: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """Where a job stands, by the service's own word.

    Args:
        status: running covers everything before an end; missing means that the service does not know the job.
        outputs: Output name -> folder, relative to the outputs container.
        detail: Tail of the log or the service's message for a job that failed; else empty.
        blame: Of a job that failed: the platform, if the service says so; else the script, or nobody knows.
        lineage: What a completed job was made of: its order's lineage, and data_asset and component as "name:version".
    """

    status: Literal["running", "completed", "failed", "canceled", "missing"]
    outputs: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""
    blame: Literal["script", "platform"] = "script"
    lineage: Mapping[str, str] = field(default_factory=dict)


class Trainer(Protocol):
    """Azure Machine Learning's jobs."""

    def start(self, order: JobOrder) -> None: ...

    def outcome(self, job: str) -> JobOutcome: ...

    def cancel(self, job: str) -> None:
        """Ask a running job to end."""
        ...

    def describe(self, order: JobOrder) -> None:
        """Keep the training set of a job as a versioned data asset with its lineage; as often as you like."""
        ...


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model in the registry.

    Args:
        folder: Where its files are, relative to the models container; "" if they are elsewhere.
        lineage: Immutable properties: data asset, generation, job, component, commit, digests, metrics, verdict.
    """

    model: str
    version: str
    folder: str
    lineage: Mapping[str, str]


class Registry(Protocol):
    """Azure Machine Learning's models."""

    def versions(self, model: str) -> Sequence[ModelVersion]: ...

    def get(self, model: str, version: str) -> ModelVersion | None: ...

    def register(self, version: ModelVersion) -> bool:
        """Store an explicit version, its lineage also as tags; False if that version exists with another lineage."""
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature.

    Args:
        key: First 16 hex digits of the SHA-256 of the raw public key.
        value: 64 bytes.
    """

    key: str
    value: bytes


class Signer(Protocol):
    """The key that devices trust."""

    def sign(self, data: bytes) -> Signature | None:
        """Sign exactly these bytes, always the same way; None if this app has no key."""
        ...


@dataclass(frozen=True, slots=True)
class Deployment:
    """One IoT Hub configuration; its id comes from its content."""

    id: str
    content: Mapping[str, object]
    target: str
    priority: int
    labels: Mapping[str, str]
    metrics: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a deployment got, in devices."""

    targeted: int
    counts: Mapping[str, int]


class Fleet(Protocol):
    """IoT Hub's automatic deployments."""

    def apply(self, deployment: Deployment) -> bool:
        """Create it if absent; False if the id is taken by other content."""
        ...

    def progress(self, deployment: str) -> Progress | None: ...

    def delete(self, deployment: str) -> None:
        """Remove it; one that is gone already counts as removed."""
        ...

    def deployments(self) -> Sequence[Deployment]:
        """Every deployment there is, whoever made it, ordered by id."""
        ...

    def devices(self, condition: str) -> Sequence[str]:
        """Ids of the IoT Edge devices that meet a target condition, ordered."""
        ...

    def sites(self) -> Mapping[str, str]:
        """IoT Edge device -> the site that its twin's tags name; devices without one are left out."""
        ...


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """A container image to be made.

    Args:
        name: Of the build; made from its content, so that asking twice builds once.
        repository: Where the image goes.
        tag: Its tag; people pull by digest.
        context: Makes the build's context, tar and gzip with a Dockerfile; called only if there is no such build yet.
    """

    name: str
    repository: str
    tag: str
    context: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ImageState:
    """How a build stands.

    Args:
        status: building, built or failed.
        image: The image by digest, once it is built.
        detail: Why it failed.
    """

    status: Literal["building", "built", "failed"]
    image: str = ""
    detail: str = ""


class Images(Protocol):
    """Container Registry's builds."""

    def ensure(self, build: ImageBuild) -> ImageState:
        """Start it if no build has its name, and say how that one stands."""
        ...


class Announcer(Protocol):
    """The custom Event Grid topic."""

    def announce(self, event: Event, *, subject: str, id: str) -> None:  # noqa: A002  # CloudEvents' own name
        """Publish; the id is derived from the content, so that a repeat is recognised."""
        ...
