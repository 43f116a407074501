"""Look at what landed, as the store has it; carry out what was judged. Every step may happen twice."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import batched

from functions.errors import Poison
from functions.journal import Entry, record
from functions.loops import Loop
from functions.ports import Row
from functions.quarantine import set_aside
from functions.retraining.admission import Admit, Quarantine, Supersede, Verdict
from functions.retraining.ledger import ADMITTED, INCOMPLETE, QUARANTINED, SUPERSEDED, UPLOADS, Upload, landed
from functions.retraining.versions import examine
from functions.wiring import Cloud

UNLISTED = "no transfer manifest lists it yet"
AT_A_TIME = 500  # files whose verdicts are written together


def admit_landed(here: Cloud, loop: Loop) -> None:
    """Look into everything that was counted, some files at a time; a crash in between loses no verdict before it.

    Each file is asked for by its eTag: the landing container may hold years of others, and is not listed.
    """
    now = here.now()
    for some in batched(landed(here.rows, loop), AT_A_TIME, strict=False):
        perform(_examined(here, loop, some), here, loop, now=now)


def _examined(here: Cloud, loop: Loop, uploads: Sequence[Upload]) -> Mapping[Upload, Verdict]:
    act, at_once = partial(examine, here.blobs, loop), here.settings.requests_at_once
    if at_once == 1:
        return dict(zip(uploads, map(act, uploads), strict=True))
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(uploads, pool.map(act, uploads), strict=True))


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


def _set_aside(here: Cloud, loop: Loop, upload: Upload, verdict: Quarantine) -> None:
    what = {"container": loop.data.container, "blob": upload.blob, "etag": upload.etag, "size_bytes": upload.size_bytes}
    poison = Poison(f"{upload.blob} cannot be trained on", why=verdict.reason, fix=verdict.fix, code=verdict.code)
    document = json.dumps(what, sort_keys=True).encode()
    set_aside(here, "retrain_on_timer", document, poison=poison, about=upload.blob, loop=loop.name)
