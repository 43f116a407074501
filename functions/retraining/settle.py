"""Let a batch train once all of it came as it was sent; say what is missing until then. Every step may happen twice."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from functions.errors import Poison
from functions.events import TransferIncomplete
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Blobs, Row, Stored
from functions.quarantine import set_aside
from functions.retraining.content import WHOLE_BYTES
from functions.retraining.ledger import (
    ADMITTED,
    COMPLETE,
    INCOMPLETE,
    LANDED,
    QUARANTINED,
    SUPERSEDED,
    TRANSFERS,
    UPLOADS,
    Upload,
    in_state,
    sent_by,
)
from functions.retraining.transfer import Compared, Transfer, compare, read_transfer
from functions.retraining.versions import CONTAINER, kept_as
from functions.wiring import Cloud

MANIFEST_BYTES = 16 * 2**20


def settle_transfers(here: Cloud, loop: Loop, *, now: datetime) -> None:
    """Compare every batch that is not complete with what came; then free what waits for no batch."""
    found = [stored for state in (LANDED, INCOMPLETE) for stored in here.rows.find(TRANSFERS, loop.name, state=state)]
    waited_for = {key for stored in found for key in _settle(here, loop, stored, now=now)}
    free = [] if loop.data.transfer_manifest else in_state(here.rows, loop, INCOMPLETE)
    keys = [upload.key for upload in free if upload.key not in waited_for]
    if keys:
        here.rows.change(UPLOADS, loop.name, keys=keys, values={"state": ADMITTED, "reason": ""})


def _settle(here: Cloud, loop: Loop, stored: Stored, *, now: datetime) -> set[str]:
    """Settle one batch; returns the keys of uploads that wait for the rest of it."""
    name, etag, size = str(stored.row["blob"]), str(stored.row["etag"]), int(str(stored.row["size_bytes"]))
    length = min(size, MANIFEST_BYTES)
    content = here.blobs.read_version(loop.data.container, name, etag, offset=0, length=length)
    if content is None:
        _close(here, loop, stored, SUPERSEDED, "it was overwritten or withdrawn")
        return set()
    try:
        transfer = read_transfer(name, content)
    except Poison as problem:
        set_aside(here, "retrain_on_timer", content, poison=problem, about=name, loop=loop.name)
        _close(here, loop, stored, QUARANTINED, problem.why)
        return set()
    compared = compare(transfer, name.rpartition("/")[0], _versions(here, loop, transfer))
    if compared.complete:
        _accept(here, loop, stored, compared)
        return set()
    return _wait(here, loop, stored, compared, now=now)


def _accept(here: Cloud, loop: Loop, stored: Stored, compared: Compared) -> None:
    accepted = {upload.key: {"state": ADMITTED, "reason": ""} for upload in compared.matching if _waits(upload)}
    outdated = {"state": SUPERSEDED, "reason": f"a later version of it completed {stored.row['blob']!s}"}
    values: dict[str, Row] = {**accepted, **{upload.key: outdated for upload in compared.outdated if _waits(upload)}}
    here.rows.change_each(UPLOADS, loop.name, values=values)
    _journal(here, loop, stored, "AcceptTransfer", compared.reason)
    _close(here, loop, stored, COMPLETE, compared.reason)


def _wait(here: Cloud, loop: Loop, stored: Stored, compared: Compared, *, now: datetime) -> set[str]:
    """Keep the batch out of the backlog; tell once what it lacks, but not while it is still landing."""
    row: Row = {"state": INCOMPLETE, "reason": f"{stored.row['blob']!s} is not complete"}
    backlog = [upload.key for upload in compared.matching if upload.state == ADMITTED and not upload.generation]
    here.rows.change(UPLOADS, loop.name, keys=backlog, values=row)
    patient = now - datetime.fromisoformat(str(stored.row["at"])) >= loop.retrain.quiet_for
    if patient and stored.row["told"] != compared.reason:
        _tell(here, loop, stored, compared)
    if stored.row["state"] != INCOMPLETE or stored.row["reason"] != compared.reason:
        values: Row = {"state": INCOMPLETE, "reason": compared.reason}
        here.rows.change(TRANSFERS, loop.name, keys=[stored.key], values=values)
    return {upload.key for upload in compared.matching}


def _tell(here: Cloud, loop: Loop, stored: Stored, compared: Compared) -> None:
    name, site = str(stored.row["blob"]), str(stored.row["site"])
    _journal(here, loop, stored, "HoldTransfer", compared.reason)
    event = TransferIncomplete(
        loop=loop.name,
        site=site,
        transfer=name,
        missing=list(compared.missing[:100]),
        different=dict(sorted(compared.different.items())[:100]),
        reason=compared.reason,
    )
    digest = sha256(f"{stored.key}\n{compared.reason}".encode()).hexdigest()[:32]
    here.announcer.announce(event, subject=name, id=digest)
    here.rows.change(TRANSFERS, loop.name, keys=[stored.key], values={"told": compared.reason})


def _close(here: Cloud, loop: Loop, stored: Stored, state: str, reason: str) -> None:
    here.rows.change(TRANSFERS, loop.name, keys=[stored.key], values={"state": state, "reason": reason})


def _journal(here: Cloud, loop: Loop, stored: Stored, decision: str, reason: str) -> None:
    record(here.rows, Entry(here.now(), loop.name, "retraining", str(stored.row["blob"]), decision, reason))


def _waits(upload: Upload) -> bool:
    return upload.state == INCOMPLETE and not upload.generation


def _versions(here: Cloud, loop: Loop, transfer: Transfer) -> Mapping[str, Sequence[Upload]]:
    """What the site sent, by blob, oldest first; with the digest of what was copied unread."""
    found = defaultdict[str, list[Upload]](list)
    for upload in sent_by(here.rows, loop, transfer.site):
        unread = not upload.sha256 and upload.state not in (LANDED, QUARANTINED, SUPERSEDED)
        found[upload.blob].append(_digested(here, loop, upload) if unread else upload)
    return found


def _digested(here: Cloud, loop: Loop, upload: Upload) -> Upload:
    digest = _digest(here.blobs, kept_as(loop, upload))
    here.rows.change(UPLOADS, loop.name, keys=[upload.key], values={"sha256": digest})
    return replace(upload, sha256=digest)


def _digest(blobs: Blobs, name: str) -> str:
    """SHA-256 of what is kept, read in pieces; empty if it is gone."""
    facts, digest = blobs.facts(CONTAINER, name), sha256()
    for offset in range(0, facts.size_bytes if facts else 0, WHOLE_BYTES):
        assert facts is not None  # noqa: S101 # else there is no offset
        piece = blobs.read_version(CONTAINER, name, facts.etag, offset=offset, length=WHOLE_BYTES)
        digest.update(piece or b"")
    return digest.hexdigest() if facts else ""
