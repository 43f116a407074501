"""What became of every file: lines that are only ever added, so that a restart knows what was done."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.ingest.disk import Disk


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that lies clean on the cloud share.

    Args:
        source: Its name on the local share.
        digest: SHA-256 of what lay there.
        name: Its name on the cloud share.
        sha256: Of what lies there.
    """

    source: str
    digest: str
    name: str
    sha256: str
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was set aside."""

    source: str
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """A file of labels that the scoring module was told.

    Args:
        joined: Those that belong to an answer that it knows, and that it did not know before.
        duplicate: Those that it knew already.
        conflicting: Those that differ from what it knew.
        unknown: Those of no answer that it keeps.
    """

    source: str
    digest: str
    joined: int
    duplicate: int
    conflicting: int
    unknown: int


class Book:
    """The lines, and what they add up to.

    Args:
        path: Where they are kept; a last line that a crash cut off is dropped.
        disk: What writes them.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self.taken: dict[tuple[str, str], Taken] = {}
        self.rejected: dict[tuple[str, str], Rejected] = {}
        self.told: dict[tuple[str, str], Told] = {}
        self.open: dict[str, Taken] = {}  # by name on the cloud share: what no manifest lists yet
        self._owners: dict[str, str] = {}
        self.manifests = 0
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            disk.write(path, whole)
        for line in whole.splitlines():
            self._count(json.loads(line))

    def take(self, taken: Taken) -> None:
        """Write down that a file lies on the cloud share."""
        self._add({"taken": asdict(taken)})

    def reject(self, rejected: Rejected) -> None:
        """Write down that a file is to be set aside."""
        self._add({"rejected": asdict(rejected)})

    def tell(self, told: Told) -> None:
        """Write down that the scoring module was told a file of labels."""
        self._add({"told": asdict(told)})

    def send(self, manifest: str) -> None:
        """Write down that a manifest lists everything that was open."""
        self._add({"sent": manifest})

    def done(self, source: str, digest: str) -> Taken | Rejected | Told | None:
        """What was decided about this content under this name; None if nothing was."""
        name = (source, digest)
        return self.taken.get(name) or self.rejected.get(name) or self.told.get(name)

    def owner(self, name: str) -> str | None:
        """Which source made the file of that name on the cloud share; None if none did."""
        return self._owners.get(name)

    def knows(self, source: str) -> bool:
        """Whether anything was decided under this name."""
        return any(one == source for one, _ in (*self.taken, *self.rejected, *self.told))

    def _add(self, line: dict[str, object]) -> None:
        self._disk.append(self._path, json.dumps(line).encode() + b"\n")
        self._count(json.loads(json.dumps(line)))

    def _count(self, line: dict[str, dict[str, str]]) -> None:
        if "taken" in line:
            taken = Taken(**line["taken"])  # type: ignore[arg-type] # as it was written
            self.taken[taken.source, taken.digest] = self.open[taken.name] = taken
            self._owners[taken.name] = taken.source
        elif "rejected" in line:
            rejected = Rejected(**line["rejected"])
            self.rejected[rejected.source, rejected.digest] = rejected
        elif "told" in line:
            told = Told(**line["told"])  # type: ignore[arg-type] # as it was written
            self.told[told.source, told.digest] = told
        else:
            self.open, self.manifests = {}, self.manifests + 1
