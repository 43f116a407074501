"""What a job trains on never changes under it: admitted content is kept once per blob version."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256

from functions.errors import Poison
from functions.loops import Loop
from functions.ports import BlobFacts, Blobs
from functions.retraining.admission import Admit, Quarantine, Supersede, Verdict, judge
from functions.retraining.content import WHOLE_BYTES, is_read, look_into
from functions.retraining.ledger import Upload
from functions.retraining.schema import check

CONTAINER = "versions"


class Overwritten(Exception):
    """The version that is meant is not there any more."""


def kept_as(loop: Loop, upload: Upload) -> str:
    """Where a version's content is kept, inside the container."""
    return f"{loop.name}/{upload.kept_as}"


def examine(blobs: Blobs, loop: Loop, upload: Upload) -> Verdict:
    """Look into one version of a blob, and keep its content if it is sound.

    A file that is said to be small is read at once: that answers whether this version is there, and how large it is,
    and what was read is what is checked and kept. Of others the store is asked first; a large one is copied by the
    store, and ranges of it are read; one that the loop takes without a look is only copied.
    """
    try:
        if 0 < upload.size_bytes <= WHOLE_BYTES and is_read(upload.blob, loop.data):
            content = reader(blobs, loop, upload)(0, WHOLE_BYTES + 1)
            if 0 < len(content) <= WHOLE_BYTES:
                return _whole(blobs, loop, replace(upload, size_bytes=len(content)), content)
        verdict = judge(upload, blobs.facts(loop.data.container, upload.blob), loop.data)
        if isinstance(verdict, Admit):
            return _copied(blobs, loop, replace(upload, size_bytes=verdict.size_bytes))
    except Poison as problem:
        return Quarantine(problem.why, fix=problem.fix, code=problem.code)
    except Overwritten:
        gone = judge(upload, blobs.facts(loop.data.container, upload.blob), loop.data)
        return gone if isinstance(gone, Supersede) else Supersede("it was not there while it was looked at")
    return verdict


def reader(blobs: Blobs, loop: Loop, upload: Upload) -> Callable[[int, int], bytes]:
    """Ranges of one version, as `(offset, length) -> bytes`.

    Raises:
        Overwritten: From the ranges: that version is gone.
    """

    def read(offset: int, length: int) -> bytes:
        found = blobs.read_version(loop.data.container, upload.blob, upload.etag, offset=offset, length=length)
        if found is None:
            raise Overwritten(upload.blob)
        return found

    return read


def _whole(blobs: Blobs, loop: Loop, upload: Upload, content: bytes) -> Verdict:
    verdict = judge(upload, BlobFacts(upload.blob, len(content), upload.etag), loop.data)
    if not isinstance(verdict, Admit):
        return verdict
    rows = _rows(loop, upload, partial(_slice, content))
    blobs.create(CONTAINER, kept_as(loop, upload), content)
    return Admit(upload.size_bytes, rows, sha256(content).hexdigest())


def _copied(blobs: Blobs, loop: Loop, upload: Upload) -> Admit:
    rows = _rows(loop, upload, reader(blobs, loop, upload))
    source = (loop.data.container, upload.blob)
    if not blobs.copy(source, upload.etag, to=(CONTAINER, kept_as(loop, upload))):
        raise Overwritten(upload.blob)
    return Admit(upload.size_bytes, rows)


def _rows(loop: Loop, upload: Upload, read: Callable[[int, int], bytes]) -> int:
    found = look_into(upload.blob, upload.size_bytes, read, data=loop.data)
    if found is None:
        return 0
    check(upload.blob, found, loop.data)
    return found.rows


def _slice(content: bytes, offset: int, length: int) -> bytes:
    return content[offset : offset + length]
