"""May a counted upload be trained on? No clock, no network, no SDK."""

from dataclasses import dataclass

from functions.ports import BlobFacts
from functions.retraining.ledger import Upload


@dataclass(frozen=True, slots=True)
class Admit:
    """It belongs to the backlog.

    Args:
        rows: How many it holds; 0 if nobody counted.
    """

    rows: int = 0


@dataclass(frozen=True, slots=True)
class Supersede:
    """This version is not there any more; what replaced it is counted by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """It can never be trained on."""

    reason: str
    fix: str
    code: str


type Verdict = Admit | Supersede | Quarantine


def judge(upload: Upload, facts: BlobFacts | None) -> Verdict:
    """Compare what was counted with what the store says, which wins.

    Args:
        upload: As its event, or a listing, described it.
        facts: What the store says now about the blob of that name; None if there is none.
    """
    if facts is None:
        return Supersede("it was deleted before it was looked at")
    if facts.etag != upload.etag:
        return Supersede(f"it was overwritten before it was looked at: its eTag is now {facts.etag}")
    if facts.size_bytes == 0:
        return Quarantine("0 bytes", fix="send the file again", code="BLOB_EMPTY")
    return Admit()
