"""One round over the local share. Every step may be cut off and is then taken up again: nothing is lost or doubled.

A file is written to the cloud share, then noted; once a manifest lists what was noted, the sources go. A round first
finishes what an earlier one began.
"""

import json
import logging
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from edge.ingest.book import Book, Rejected, Taken, Told
from edge.ingest.clean import Cleaned, Unclean, clean
from edge.ingest.disk import Disk
from edge.ingest.labels import Silent, are_labels, read_labels, tell
from edge.ingest.schema import Schema
from edge.ingest.settings import Settings
from edge.ingest.watch import Watch, marker_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """Every file that was seen was taken or rejected, or waits.

    Args:
        taken: On the cloud share, or, of labels, told to the scoring module.
        rows: On the cloud share.
        manifests: Likewise.
        outcomes: That the scoring module could join with its answers.
    """

    seen: int
    taken: int
    rejected: int
    waiting: int
    rows: int
    manifests: int
    outcomes: int = 0


class Ingest:
    """Takes finished files from the local share to the cloud share.

    Args:
        settings: Which folders, and when a file is finished.
        schema: What a file must hold.
        disk: What changes files.
    """

    def __init__(self, settings: Settings, schema: Schema, disk: Disk | None = None) -> None:
        self._settings, self._schema = settings, schema
        self._disk = disk or Disk(settings.state / "workshop")
        self._book = Book(settings.state / "book.jsonl", self._disk)
        self._watch = Watch(settings.share, settings.settled_seconds, settings.marker)

    def round(self, now: float) -> Counts:
        """Finish what was begun, take or reject what is finished, and send a manifest of what was taken.

        Args:
            now: Seconds of a clock that never goes back.
        """
        self._send()
        for marker in list(self._watch.orphans()):
            if self._book.knows(self._source(marker).removesuffix(self._settings.marker)):
                self._disk.remove(marker)
        finished, waiting = self._watch.look(now)
        digests = {path: self._handle(path) for path in finished}
        self._send()
        for path, digest in digests.items():
            waiting += not self._clear(path, digest)
        taken, rejected = len(self._book.taken) + len(self._book.told), len(self._book.rejected)
        rows = sum(one.rows for one in self._book.taken.values())
        outcomes = sum(one.joined for one in self._book.told.values())
        return Counts(taken + rejected + waiting, taken, rejected, waiting, rows, self._book.manifests, outcomes)

    def _handle(self, path: Path) -> str:
        """Take or reject one file, if that was not done; returns the digest of what it held, empty if it must wait."""
        source, about = self._source(path), path.stat()
        small = about.st_size <= self._schema.at_most_bytes
        content = path.read_bytes() if small else b""
        digest = sha256(content).hexdigest() if small else _digest(path)
        after = path.stat()
        if (after.st_size, after.st_mtime_ns) != (about.st_size, about.st_mtime_ns):
            return ""
        if self._book.done(source, digest):
            return digest
        if not small:
            self._reject(source, digest, f"it has {about.st_size:,} bytes; {self._schema.at_most_bytes:,} are taken")
            return digest
        try:
            if self._settings.outcomes_url and are_labels(source):
                told = tell(self._settings.outcomes_url, read_labels(source, content))
                self._book.tell(Told(source, digest, **told))
            else:
                self._take(source, digest, clean(source, content, self._schema))
        except Unclean as problem:
            self._reject(source, digest, str(problem))
        except Silent as silent:
            log.warning("%s waits for the scoring module: %s", source, silent)
            return ""
        return digest

    def _take(self, source: str, digest: str, cleaned: Cleaned) -> None:
        name = str(PurePosixPath(source).with_suffix(".parquet"))
        if self._book.owner(name) not in (None, source):
            self._reject(source, digest, f"{self._book.owner(name)} is {name} on the cloud share already")
            return
        made, target = sha256(cleaned.content).hexdigest(), self._settings.cloud_share / name
        if not target.exists() or _digest(target) != made:  # a second write would be a second upload
            self._disk.write(target, cleaned.content)
        self._book.take(Taken(source, digest, name, made, len(cleaned.content), cleaned.rows))

    def _reject(self, source: str, digest: str, reason: str) -> None:
        told = f"{source} was not taken.\nbecause: {reason}\nfix: mend it, and put it on the share again\n"
        self._disk.write(self._aside(source, digest, ".reason.txt"), told.encode())
        self._book.reject(Rejected(source, digest, reason))

    def _send(self) -> None:
        """Write the manifest of everything that is taken and in none; its name follows from what it says."""
        files = [
            {"name": name, "sha256": one.sha256, "size_bytes": one.size_bytes, "rows": one.rows}
            for name, one in sorted(self._book.open.items())
        ]
        if not files:
            return
        content = json.dumps({"schema": 1, "site": self._settings.site, "files": files}, indent=1).encode()
        name = f"{sha256(content).hexdigest()[:16]}.transfer.json"
        target = self._settings.cloud_share / name
        if not target.exists():
            self._disk.write(target, content)
        self._book.send(name)

    def _clear(self, path: Path, digest: str) -> bool:
        """Take a finished file off the local share; False if somebody wrote to it meanwhile."""
        if _digest(path) != digest:
            return False
        source = self._source(path)
        if isinstance(self._book.done(source, digest), Rejected):
            self._disk.move(path, self._aside(source, digest, ""))
        else:
            self._disk.remove(path)
        if self._settings.marker:
            self._disk.remove(marker_of(path, self._settings.marker))
        return True

    def _source(self, path: Path) -> str:
        return path.relative_to(self._settings.share).as_posix()

    def _aside(self, source: str, digest: str, ending: str) -> Path:
        """Where a rejected file goes: its name and a part of its digest, for the next of that name may be bad too."""
        path = self._settings.rejects / source
        return path.with_name(f"{path.stem}.{digest[:8]}{path.suffix}{ending}")


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
