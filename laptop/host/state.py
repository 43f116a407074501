"""Small facts the host must remember when it is stopped and started: timer schedules and checkpoints."""

import json
from pathlib import Path
from urllib.parse import quote


class State:
    """A folder of small JSON documents, each replaced in one step.

    Args:
        folder: Where they live; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, *key: str) -> dict[str, object] | None:
        """The document under a key, or None if there is none.

        Raises:
            ValueError: It is not JSON: somebody else wrote into the folder.
        """
        try:
            document: dict[str, object] = json.loads(self._path(key).read_bytes())
        except FileNotFoundError:
            return None
        return document

    def write(self, *key: str, document: dict[str, object]) -> None:
        """Replace the document under a key."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(document))
        fresh.replace(path)

    def _path(self, key: tuple[str, ...]) -> Path:
        return self._folder / ("~".join(quote(part, safe="$") for part in key) + ".json")
