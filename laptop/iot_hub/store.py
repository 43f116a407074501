"""Where IoT Hub keeps its state: JSON documents by kind and key, in one SQLite file."""

import json
import sqlite3
from pathlib import Path
from typing import Any


class Store:
    """Documents that survive a restart, and the process being killed between two writes.

    Args:
        path: The SQLite file; it and its folder are made when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            """PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS documents (
                kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;"""
        )

    def put(self, kind: str, key: str, document: object) -> None:
        """Write one document, whether it existed or not."""
        self._database.execute("REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, json.dumps(document)))

    def delete(self, kind: str, key: str) -> None:
        """Remove one document, if it is there."""
        self._database.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every document of a kind, by key."""
        rows = self._database.execute("SELECT key, body FROM documents WHERE kind = ? ORDER BY key", (kind,))
        return {key: json.loads(body) for key, body in rows}

    def close(self) -> None:
        """Close the file."""
        self._database.close()
