"""Look at what landed, as the store lists it; carry out what was judged. Every step may happen twice."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from functions.errors import Poison
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import BlobFacts, Blobs, Row
from functions.quarantine import set_aside
from functions.retraining.admission import Admit, Quarantine, Supersede, Verdict, judge
from functions.retraining.ledger import ADMITTED, QUARANTINED, SUPERSEDED, UPLOADS, Upload, landed
from functions.wiring import Cloud


def admit_landed(here: Cloud, loop: Loop) -> None:
    """Judge everything that was counted and not looked into.

    The rows are read before the listing, so that a listed eTag is the counted one or a later one.
    """
    uploads = landed(here.rows, loop)
    if not uploads:
        return
    facts = _listed(here.blobs, loop, uploads)
    perform({upload: judge(upload, facts.get(upload.blob)) for upload in uploads}, here, loop, now=here.now())


def perform(verdicts: Mapping[Upload, Verdict], here: Cloud, loop: Loop, *, now: datetime) -> None:
    """Set aside what can never be used, then write every verdict into its row."""
    values: dict[str, Row] = {}
    for upload, verdict in verdicts.items():
        match verdict:
            case Admit(rows=count):
                values[upload.key] = {"state": ADMITTED, "rows": count}
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
