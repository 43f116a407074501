"""Look at what landed, as the store lists it; carry out what was judged. Every step may happen twice."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import batched

from functions.errors import Poison
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import BlobFacts, Blobs, Row
from functions.quarantine import set_aside
from functions.retraining.admission import Admit, Quarantine, Supersede, Verdict, judge
from functions.retraining.ledger import ADMITTED, INCOMPLETE, QUARANTINED, SUPERSEDED, UPLOADS, Upload, landed
from functions.retraining.versions import examine
from functions.wiring import Cloud

UNLISTED = "no transfer manifest lists it yet"
AT_A_TIME = 500  # files whose verdicts are written together


def admit_landed(here: Cloud, loop: Loop) -> None:
    """Look into everything that was counted, some files at a time; a crash in between loses no verdict before it.

    The rows are read before the listing, so that a listed eTag is the counted one or a later one.
    """
    uploads, now = landed(here.rows, loop), here.now()
    facts = _listed(here.blobs, loop, uploads)
    for some in batched(uploads, AT_A_TIME, strict=False):
        judged = {upload: judge(upload, facts.get(upload.blob), loop.data) for upload in some}
        perform(_examined(here, loop, judged), here, loop, now=now)


def _examined(here: Cloud, loop: Loop, verdicts: Mapping[Upload, Verdict]) -> Mapping[Upload, Verdict]:
    """The verdicts, once the content of what may be admitted was looked into and kept."""

    def act(pair: tuple[Upload, Verdict]) -> Verdict:
        upload, verdict = pair
        if not isinstance(verdict, Admit):
            return verdict
        return examine(here.blobs, loop, replace(upload, size_bytes=verdict.size_bytes))

    at_once = here.settings.requests_at_once
    if at_once == 1:
        return dict(zip(verdicts, map(act, verdicts.items()), strict=True))
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(verdicts, pool.map(act, verdicts.items()), strict=True))


def perform(verdicts: Mapping[Upload, Verdict], here: Cloud, loop: Loop, *, now: datetime) -> None:
    """Set aside what can never be used, then write every verdict into its row."""
    values: dict[str, Row] = {}
    waits = loop.data.transfer_manifest
    admitted: Row = {"state": INCOMPLETE, "reason": UNLISTED} if waits else {"state": ADMITTED}
    for upload, verdict in verdicts.items():
        match verdict:
            case Admit(size_bytes=size, rows=count, sha256=digest):
                values[upload.key] = {**admitted, "size_bytes": size, "rows": count, "sha256": digest}
            case Supersede(reason=reason):
                entry = Entry(now, loop.name, "retraining", upload.blob, "Supersede", f"{upload.etag}: {reason}")
                record(here.rows, entry)
                values[upload.key] = {"state": SUPERSEDED, "reason": reason}
            case Quarantine(reason=reason):
                _set_aside(here, loop, upload, verdict)
                values[upload.key] = {"state": QUARANTINED, "reason": reason}
    here.rows.change_each(UPLOADS, loop.name, values=values)


def _listed(blobs: Blobs, loop: Loop, uploads: Sequence[Upload]) -> Mapping[str, BlobFacts]:
    """What lies in the folders of these uploads' sites, by name: 5,000 blobs a request, not one."""
    sites = {upload.site for upload in uploads}
    found = [facts for site in sites for facts in blobs.list(loop.data.container, f"{loop.name}/{site}/")]
    return {facts.name: facts for facts in found}


def _set_aside(here: Cloud, loop: Loop, upload: Upload, verdict: Quarantine) -> None:
    what = {"container": loop.data.container, "blob": upload.blob, "etag": upload.etag, "size_bytes": upload.size_bytes}
    poison = Poison(f"{upload.blob} cannot be trained on", why=verdict.reason, fix=verdict.fix, code=verdict.code)
    document = json.dumps(what, sort_keys=True).encode()
    set_aside(here, "retrain_on_timer", document, poison=poison, about=upload.blob, loop=loop.name)
