"""May a counted upload be trained on? No clock, no network, no SDK."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from functions.loops import Data
from functions.ports import BlobFacts
from functions.retraining.ledger import Upload

FEW = 3  # bad files of a site that may be chance


@dataclass(frozen=True, slots=True)
class Admit:
    """It belongs to the backlog.

    Args:
        size_bytes: As the store says.
        rows: How many it holds; 0 if nobody counted.
        sha256: Of its content, 64 hex digits; empty if it was not read as a whole.
    """

    size_bytes: int
    rows: int = 0
    sha256: str = ""


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


def judge(upload: Upload, facts: BlobFacts | None, data: Data) -> Verdict:
    """Compare what was counted with what the store says, which wins.

    Args:
        upload: As its event, or a listing, described it.
        facts: What the store says now about the blob of that name; None if there is none.
        data: What the loop takes.
    """
    if facts is None:
        return Supersede("it was deleted before it was looked at")
    if facts.etag != upload.etag:
        return Supersede(f"it was overwritten before it was looked at: its eTag is now {facts.etag}")
    if facts.size_bytes == 0:
        return Quarantine("0 bytes", fix="send the file again", code="BLOB_EMPTY")
    if facts.size_bytes > data.at_most_file_size:
        why = f"expected at most {data.at_most_file_size:,} bytes, found {facts.size_bytes:,}"
        fix = "split it into several files, or raise at_most_file_size in [data]"
        return Quarantine(why, fix=fix, code="BLOB_TOO_BIG")
    return Admit(facts.size_bytes)


def poisoned(states: Mapping[str, Sequence[str]], data: Data) -> Mapping[str, str]:
    """Sites so much of whose data is bad that the good files are suspect too.

    Args:
        states: Site -> states of the files it sent lately, landed and superseded ones left out.
        data: How much may be bad.

    Returns:
        Site -> the reason, with its numbers.
    """
    reasons = {}
    for site, found in states.items():
        bad = sum(state == "quarantined" for state in found)
        if bad >= FEW and bad > data.at_most_bad_share * len(found):
            share = f"{bad} of the {len(found)} files of the last day are bad"
            reasons[site] = f"site {site}: {share}, at most {data.at_most_bad_share:.0%} may be"
    return reasons
