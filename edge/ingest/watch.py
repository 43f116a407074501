"""Which files of the local share are finished: nobody writes to them any more."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload", "~")


@dataclass(slots=True)
class Watch:
    """Looks at the share again and again.

    Args:
        folder: The share.
        settled_seconds: A file is finished when it kept size and time of change for so long, as this program saw it.
        marker: A file is finished when one of its name and this ending lies beside it; empty goes by time.
    """

    folder: Path
    settled_seconds: float
    marker: str = ""
    _seen: dict[Path, tuple[int, int, float]] = field(default_factory=dict)

    def look(self, now: float) -> tuple[list[Path], int]:
        """The finished files, by name, and how many are not.

        Args:
            now: Seconds of a clock that never goes back.
        """
        seen: dict[Path, tuple[int, int, float]] = {}
        for path in self._files():
            about, before = path.stat(), self._seen.get(path)
            same = before is not None and before[:2] == (about.st_size, about.st_mtime_ns)
            seen[path] = before if before and same else (about.st_size, about.st_mtime_ns, now)
        self._seen = seen
        finished = [path for path in sorted(seen) if self._is_finished(path, now)]
        return finished, len(seen) - len(finished)

    def orphans(self) -> Iterator[Path]:
        """Markers whose file is not there: its file is taken off first."""
        if self.marker:
            for path in self.folder.rglob(f"*{self.marker}"):
                if not path.with_name(path.name.removesuffix(self.marker)).exists():
                    yield path

    def _files(self) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            marks = self.marker and path.name.endswith(self.marker)
            hidden = any(part.startswith(".") for part in path.relative_to(self.folder).parts)
            if path.is_file() and not (marks or hidden):
                yield path

    def _is_finished(self, path: Path, now: float) -> bool:
        if path.name.lower().endswith(UNFINISHED):
            return False
        if self.marker:
            return marker_of(path, self.marker).exists()
        return now - self._seen[path][2] >= self.settled_seconds


def marker_of(path: Path, marker: str) -> Path:
    """The file that says that another one is finished."""
    return path.with_name(path.name + marker)
