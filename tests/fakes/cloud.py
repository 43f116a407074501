"""The cloud in memory: every port of functions/ports.py, kept by dictionaries."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import md5, sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from functions.errors import Full, Refused
from functions.events import Event
from functions.ports import (
    ROW_LIMIT,
    BlobFacts,
    Deployment,
    ImageBuild,
    ImageState,
    JobOrder,
    JobOutcome,
    ModelVersion,
    Progress,
    Row,
    Signature,
    Stored,
    Value,
    Write,
    weight,
)
from functions.settings import Settings
from functions.tracing import carried

TRANSACTION_LIMIT = 4 * 1024 * 1024  # bytes as they travel


@dataclass
class FakeRows:
    tables: dict[tuple[str, str], dict[str, Stored]] = field(default_factory=dict)
    writes: int = 0

    def insert(self, table: str, partition: str, key: str, *, row: Row) -> bool:
        rows = self.tables.setdefault((table, partition), {})
        if key in rows:
            return False
        rows[key] = self._stamped(key, row)
        return True

    def get(self, table: str, partition: str, key: str) -> Stored | None:
        return self.tables.get((table, partition), {}).get(key)

    def replace(self, table: str, partition: str, *, stored: Stored, row: Row) -> bool:
        rows = self.tables.get((table, partition), {})
        if stored.key not in rows or rows[stored.key].etag != stored.etag:
            return stored.key in rows and dict(rows[stored.key].row) == dict(row)
        rows[stored.key] = self._stamped(stored.key, row)
        return True

    def write_all(self, table: str, partition: str, writes: Sequence[Write]) -> bool:
        rows = self.tables.setdefault((table, partition), {})
        if any(_etag(rows.get(one.key)) != _etag(one.stored) for one in writes):
            return False
        if sum(weight(one.row) for one in writes) * 4 / 3 > TRANSACTION_LIMIT:
            raise Refused(f"{len(writes)} rows of {table}: cannot be held", why="too much at once", fix="write fewer")
        rows.update({one.key: self._stamped(one.key, one.row) for one in writes})
        return True

    def change(self, table: str, partition: str, *, keys: Iterable[str], values: Row) -> None:
        self.change_each(table, partition, values=dict.fromkeys(keys, values))

    def change_each(self, table: str, partition: str, *, values: Mapping[str, Row]) -> None:
        rows = self.tables.get((table, partition), {})
        for key in values:
            rows[key] = self._stamped(key, {**rows[key].row, **values[key]})

    def find(self, table: str, partition: str, **equal: Value) -> Iterator[Stored]:
        rows = self.tables.get((table, partition), {})
        for key in sorted(rows):
            if all(rows[key].row.get(name) == value for name, value in equal.items()):
                yield rows[key]

    def columns(self, table: str, partition: str, *names: str) -> Iterator[Stored]:
        for stored in self.find(table, partition):
            yield replace(stored, row={name: value for name, value in stored.row.items() if name in names})

    def _stamped(self, key: str, row: Row) -> Stored:
        if weight(row) > ROW_LIMIT:
            raise Refused(f"row {key}: cannot be held", why=f"{weight(row)} bytes", fix="keep less in it")
        self.writes += 1
        return Stored(key=key, row=dict(row), etag=str(self.writes))


def _etag(stored: Stored | None) -> str | None:
    return stored.etag if stored else None


@dataclass
class FakeBlobs:
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def create(self, container: str, name: str, data: bytes) -> bool:
        if (container, name) in self.blobs:
            return False
        self.blobs[container, name] = data
        return True

    def put(self, container: str, name: str, data: bytes) -> None:
        self.blobs[container, name] = data

    def read(self, container: str, name: str) -> bytes | None:
        return self.blobs.get((container, name))

    def read_version(self, container: str, name: str, etag: str, *, offset: int, length: int) -> bytes | None:
        facts = self.facts(container, name)
        return self.blobs[container, name][offset : offset + length] if facts and facts.etag == etag else None

    def copy(self, source: tuple[str, str], etag: str, *, to: tuple[str, str]) -> bool:
        facts = self.facts(*source)
        if facts is None or facts.etag != etag:
            return False
        self.blobs.setdefault(to, self.blobs[source])
        return True

    def facts(self, container: str, name: str) -> BlobFacts | None:
        data = self.blobs.get((container, name))
        return None if data is None else BlobFacts(name, len(data), md5(data, usedforsecurity=False).hexdigest())

    def list(self, container: str, prefix: str) -> Sequence[BlobFacts]:
        names = sorted(name for at, name in self.blobs if at == container and name.startswith(prefix))
        found = [self.facts(container, name) for name in names]
        return [facts for facts in found if facts]


@dataclass
class FakeTrainer:
    """Jobs run until a test ends them."""

    orders: dict[str, JobOrder] = field(default_factory=dict)
    ended: dict[str, JobOutcome] = field(default_factory=dict)
    described: dict[str, JobOrder] = field(default_factory=dict)

    def start(self, order: JobOrder) -> None:
        ours = self.orders.setdefault(order.name, order)
        if ours.lineage["training_set_sha256"] != order.lineage["training_set_sha256"]:
            raise Refused(f"job {order.name} cannot be started", why="that name has other content", fix="look at it")

    def outcome(self, job: str) -> JobOutcome:
        if job not in self.orders:
            return JobOutcome("missing")
        order, outcome = self.orders[job], self.ended.get(job, JobOutcome("running"))
        asset = {"data_asset": f"{order.loop}-training-set:{order.version}", "component": order.pipeline}
        return replace(outcome, lineage={**order.lineage, **asset}) if outcome.status == "completed" else outcome

    def cancel(self, job: str) -> None:
        self.ended.setdefault(job, JobOutcome("canceled"))

    def describe(self, order: JobOrder) -> None:
        self.described[f"{order.loop}-training-set:{order.version}"] = order


@dataclass
class FakeRegistry:
    models: dict[tuple[str, str], ModelVersion] = field(default_factory=dict)

    def versions(self, model: str) -> Sequence[ModelVersion]:
        found = [one for (name, version), one in self.models.items() if name == model and version.isdigit()]
        return sorted(found, key=lambda one: int(one.version))

    def get(self, model: str, version: str) -> ModelVersion | None:
        return self.models.get((model, version))

    def register(self, version: ModelVersion) -> bool:
        return self.models.setdefault((version.model, version.version), version) == version


@dataclass
class FakeSigner:
    """A key of its own, or none."""

    key: Ed25519PrivateKey | None = field(default_factory=lambda: Ed25519PrivateKey.from_private_bytes(bytes(32)))

    def sign(self, data: bytes) -> Signature | None:
        if self.key is None:
            return None
        public = self.key.public_key().public_bytes_raw()
        return Signature(sha256(public).hexdigest()[:16], self.key.sign(data))


@dataclass
class FakeFleet:
    """Deployments by id, the oldest first; a test says which devices meet a condition, and what they report."""

    made: dict[str, Deployment] = field(default_factory=dict)
    reports: dict[str, Progress] = field(default_factory=dict)
    matching: dict[str, list[str]] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)  # device -> site
    most: int = 100

    def apply(self, deployment: Deployment) -> bool:
        if deployment.id not in self.made and len(self.made) >= self.most:
            raise Full(f"deployment {deployment.id} has no place", why=f"{self.most} exist", fix="delete one")
        return self.made.setdefault(deployment.id, deployment).content == deployment.content

    def progress(self, deployment: str) -> Progress | None:
        if deployment not in self.made:
            return None
        nothing = Progress(0, dict.fromkeys(self.made[deployment].metrics, 0))
        return self.reports.get(deployment, nothing)

    def delete(self, deployment: str) -> None:
        self.made.pop(deployment, None)

    def deployments(self) -> Sequence[Deployment]:
        return [self.made[name] for name in sorted(self.made)]

    def devices(self, condition: str) -> Sequence[str]:
        return sorted(self.matching.get(condition, []))

    def sites(self) -> Mapping[str, str]:
        return dict(self.at)


@dataclass
class FakeImages:
    """Builds run until a test ends them."""

    builds: dict[str, tuple[ImageBuild, bytes]] = field(default_factory=dict)
    ended: dict[str, ImageState] = field(default_factory=dict)

    def ensure(self, build: ImageBuild) -> ImageState:
        if build.name not in self.builds:
            self.builds[build.name] = (build, build.context())
        return self.ended.get(build.name, ImageState("building"))


@dataclass
class FakeAnnouncer:
    """A repeat is one more message and, by its id, no other event."""

    announced: dict[str, Event] = field(default_factory=dict)
    messages: list[dict[str, object]] = field(default_factory=list)

    def announce(self, event: Event, *, subject: str, id: str) -> None:  # noqa: A002 # CloudEvents' own name
        assert subject
        self.announced[id] = event
        envelope = {"id": id, "source": "/refluent", "type": f"Refluent.{type(event).__name__}", "subject": subject}
        self.messages.append({**envelope, **carried(), "data": event.model_dump(mode="json")})

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.announced.values()]


GROUP = "/subscriptions/s/resourceGroups/g/providers"
ENVIRONMENT: Mapping[str, str] = {
    "DATA_BLOB_ENDPOINT": "https://refluent.blob.core.windows.net",
    "DATA_TABLE_ENDPOINT": "https://refluent.table.core.windows.net",
    "DATA_ACCOUNT_ID": f"{GROUP}/Microsoft.Storage/storageAccounts/refluent",
    "AZUREML_WORKSPACE_ID": f"{GROUP}/Microsoft.MachineLearningServices/workspaces/refluent",
    "EVENT_TOPIC_ENDPOINT": "https://refluent.westeurope-1.eventgrid.azure.net/api/events",
    "IOTHUB_HOSTNAME": "refluent.azure-devices.net",
    "IOTHUB_ID": f"{GROUP}/Microsoft.Devices/IotHubs/refluent",
}
ONE_BY_ONE = {"REQUESTS_AT_ONCE": "1"}  # no threads, so that a simulation may decide the order
OWN_LOOPS = {"LOOPS_FOLDER": "tests/loops"}


@dataclass
class FakeCloud:
    """Every port in memory, under the settings of a made-up app."""

    settings: Settings = field(
        default_factory=lambda: Settings.model_validate({**ENVIRONMENT, **ONE_BY_ONE, **OWN_LOOPS})
    )
    rows: FakeRows = field(default_factory=FakeRows)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    trainer: FakeTrainer = field(default_factory=FakeTrainer)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    signer: FakeSigner = field(default_factory=FakeSigner)
    fleet: FakeFleet = field(default_factory=FakeFleet)
    images: FakeImages | None = None
    announcer: FakeAnnouncer = field(default_factory=FakeAnnouncer)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.clock()
