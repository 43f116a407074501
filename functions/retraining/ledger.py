"""Every upload and every request for a job, counted once: rows whose keys come from their content."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import PurePosixPath

from functions.errors import Ignored, Poison
from functions.events import DataUploaded
from functions.loops import Loop
from functions.ports import Blobs, Row, Rows, Stored
from functions.tracing import TRACEPARENT, carried

UPLOADS, TRANSFERS = "uploads", "transfers"
TRANSFER = ".transfer.json"  # how a transfer manifest's name ends
PENDING = 0  # generations count from 1
LANDED, INCOMPLETE, HELD, ADMITTED, QUARANTINED, SUPERSEDED, TAKEN = (
    "landed",  # counted, and not looked into
    "incomplete",  # of a transfer that is not complete
    "held",  # sound, of a site so much of whose data is not that nobody trusts the rest
    "admitted",  # may be trained on: a loop's backlog
    "quarantined",
    "superseded",
    "taken",
)
UNKEPT = "an earlier release trained on it and did not keep its content: send it again to train on it again"
COMPLETE = "complete"  # of a transfer: everything came as it was sent


@dataclass(frozen=True, slots=True)
class Upload:
    """One blob version of one site.

    Args:
        key: Identity in the ledger; from container, name and eTag, never from an event id.
        blob: Name inside the landing container, "<loop>/<site>/<file>".
        size_bytes: As the store reported it.
        at: When it was counted, aware.
        rows: How many it holds; 0 until it is admitted.
        sha256: Of its content, 64 hex digits; empty until it was read as a whole.
        state: What became of it.
        reason: Why, if that is no matter of course.
        generation: That took it; 0 for none.
        traceparent: The trace it was counted in; "" for none.
    """

    key: str
    blob: str
    etag: str
    size_bytes: int
    site: str
    at: datetime
    rows: int = 0
    sha256: str = ""
    state: str = LANDED
    reason: str = ""
    generation: int = PENDING
    traceparent: str = ""

    @property
    def kept_as(self) -> str:
        """Where its content is kept, below the loop's folder of kept versions."""
        return f"{self.key}/{PurePosixPath(self.blob).name}"


def owner(upload: DataUploaded, loops: Mapping[str, Loop]) -> Loop:
    """The loop whose folder an upload landed in: "<loop>/<site>/<file>".

    Raises:
        Ignored: It is in no loop's folder.
    """
    name, _, rest = upload.blob.partition("/")
    loop = loops.get(name)
    if loop is None or loop.data.container != upload.container or not rest.partition("/")[2]:
        raise Ignored(f"{upload.blob} landed", why="it is not <loop>/<site>/<file> of any loop", fix="nothing to do")
    return loop


def admit(upload: DataUploaded, loop: Loop, at: datetime) -> Upload:
    """Turn a typed event into the upload it stands for.

    Raises:
        Poison: Not a block blob, or of a site the loop does not have.
    """
    site = upload.blob.split("/")[1]
    if site not in loop.loop.sites:
        why, fix = f"loop.sites is {loop.loop.sites}", f"add {site!r} to loops/{loop.name}.toml, then send it again"
        raise Poison(f"{upload.blob} is of an unknown site", why=why, fix=fix, code="BLOB_SITE")
    if upload.blob_type != "BlockBlob":
        raise Poison(
            f"{upload.blob} is a {upload.blob_type}",
            why="sites write block blobs",
            fix="upload it again as a block blob",
            code="BLOB_TYPE",
        )
    etag = upload.etag.strip('"')
    return Upload(_key(upload.container, upload.blob, etag), upload.blob, etag, upload.size_bytes, site, at)


def count(rows: Rows, loop: Loop, upload: Upload) -> bool:
    """Write the upload down, or the transfer manifest; False for one that was counted before."""
    row: Row = {
        "blob": upload.blob,
        "etag": upload.etag,
        "size_bytes": upload.size_bytes,
        "site": upload.site,
        "at": upload.at,
        "state": LANDED,
        "reason": "",
        **carried(),
    }
    if upload.blob.endswith(TRANSFER):
        return rows.insert(TRANSFERS, loop.name, upload.key, row={**row, "told": ""})
    return rows.insert(UPLOADS, loop.name, upload.key, row={**row, "rows": 0, "sha256": "", "generation": PENDING})


def overlooked(rows: Rows, blobs: Blobs, loop: Loop, *, now: datetime) -> list[Upload]:
    """Uploads that lie in the landing container and that no event told of, or not yet.

    Files outside the loop's sites are left to their events, which say what is wrong with them.
    """
    counted = list(rows.find(UPLOADS, loop.name))
    _adopt(rows, loop, counted)
    known = {stored.key for stored in (*counted, *rows.find(TRANSFERS, loop.name))}
    found = [
        Upload(_key(loop.data.container, facts.name, facts.etag), facts.name, facts.etag, facts.size_bytes, site, now)
        for site in loop.loop.sites
        for facts in blobs.list(loop.data.container, f"{loop.name}/{site}/")
    ]
    return [upload for upload in found if upload.key not in known]


def _adopt(rows: Rows, loop: Loop, counted: Iterable[Stored]) -> None:
    """Give a state to rows of the release that knew none: what it had not trained on is looked into as if it landed."""
    old = [stored for stored in counted if "state" not in stored.row]
    common: Row = {"rows": 0, "sha256": ""}
    values: dict[str, Row] = {
        stored.key: {**common, "state": TAKEN, "reason": UNKEPT}
        if stored.row["generation"]
        else {**common, "state": LANDED, "reason": ""}
        for stored in old
    }
    if values:
        rows.change_each(UPLOADS, loop.name, values=values)


def landed(rows: Rows, loop: Loop) -> list[Upload]:
    """Uploads that are counted and not looked into, ordered by name."""
    return in_state(rows, loop, LANDED)


def pending(rows: Rows, loop: Loop) -> list[Upload]:
    """Admitted uploads that no generation has taken yet, ordered by name."""
    return in_state(rows, loop, ADMITTED)


def in_state(rows: Rows, loop: Loop, state: str) -> list[Upload]:
    """Uploads in a state that no generation has taken, ordered by name.

    An instance that was slow may write an old verdict over "taken"; what counts is the generation, which no verdict
    writes, so that nothing is taken twice.
    """
    found = [_upload(stored) for stored in rows.find(UPLOADS, loop.name, state=state, generation=PENDING)]
    return sorted(found, key=lambda upload: (upload.blob, upload.at, upload.etag))


def sent_by(rows: Rows, loop: Loop, site: str) -> list[Upload]:
    """Everything that a site sent, oldest first."""
    found = [_upload(stored) for stored in rows.find(UPLOADS, loop.name, site=site)]
    return sorted(found, key=lambda upload: (upload.at, upload.blob, upload.etag))


def taken(rows: Rows, loop: Loop, *, before: int, keys: Container[str]) -> list[Upload]:
    """Uploads of earlier generations, and those with these keys, ordered by name.

    Args:
        rows: Where they are.
        loop: Whose they are.
        before: Number of the generation that took the keys.
        keys: What it took, whether marked yet or not.
    """
    found = rows.find(UPLOADS, loop.name)
    kept = [one for one in found if one.row.get("state") and one.row.get("reason") != UNKEPT]
    ours = [one for one in kept if 0 < int(str(one.row["generation"])) < before or one.key in keys]
    return sorted((_upload(stored) for stored in ours), key=lambda upload: (upload.blob, upload.at, upload.etag))


def take(rows: Rows, loop: Loop, keys: Iterable[str], *, generation: int) -> None:
    """Mark uploads as taken by a generation."""
    rows.change(UPLOADS, loop.name, keys=keys, values={"generation": generation, "state": TAKEN})


def _key(container: str, blob: str, etag: str) -> str:
    return sha256(f"{container}\n{blob}\n{etag}".encode()).hexdigest()[:32]


def _upload(stored: Stored) -> Upload:
    row = stored.row
    return Upload(
        key=stored.key,
        blob=str(row["blob"]),
        etag=str(row["etag"]),
        size_bytes=int(str(row["size_bytes"])),
        site=str(row["site"]),
        at=datetime.fromisoformat(str(row["at"])),
        rows=int(str(row.get("rows", 0))),
        sha256=str(row.get("sha256", "")),
        state=str(row.get("state", LANDED)),
        reason=str(row.get("reason", "")),
        generation=int(str(row["generation"])),
        traceparent=str(row.get(TRACEPARENT, "")),
    )
