"""A secret file that several processes of one stack agree on."""

import os
from collections.abc import Callable
from pathlib import Path


def agreed(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content; the first process to link its draft wins, and the others read the winner's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_bytes(make())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()
