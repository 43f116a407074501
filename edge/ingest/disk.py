"""The few things that change a disk, each whole or not at all: a crash leaves the old state or the new one."""

import errno
import os
import shutil
from pathlib import Path


class Disk:
    """Effects on files.

    Args:
        workshop: Folder for what is not whole yet; on the cloud share's file system if possible, and outside the share.
    """

    def __init__(self, workshop: Path) -> None:
        workshop.mkdir(parents=True, exist_ok=True)
        self._workshop = workshop

    def write(self, path: Path, content: bytes) -> None:
        """Give a file this content, whatever it had."""
        unfinished = self._workshop / f"{path.name}.part"
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.move(unfinished, path)

    def move(self, source: Path, target: Path) -> None:
        """Move a file over whatever is there, also to another file system."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(target)
        except OSError as problem:
            if problem.errno != errno.EXDEV:
                raise
            beside = target.with_name(f".{target.name}.part")
            shutil.copyfile(source, beside)
            beside.replace(target)
            source.unlink()

    def remove(self, path: Path) -> None:
        """Delete a file; one that is gone already is as good."""
        path.unlink(missing_ok=True)

    def append(self, path: Path, line: bytes) -> None:
        """Add a line to a file, durably."""
        with path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
