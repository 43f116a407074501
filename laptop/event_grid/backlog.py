"""The deliveries a relay still owes, on disk: they survive a restart of the stack."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(slots=True)
class Delivery:
    """One event on its way to one subscription; times are POSIX seconds.

    Args:
        subscription: The subscription's name.
        body: The event as it will be delivered, JSON.
        published_at: When the topic accepted it.
        due_at: When to try next.
        attempts: Deliveries tried so far.
        last_attempt_at: When the last one was, or 0.
        row: Its row on disk; 0 until it is stored.
    """

    subscription: str
    body: bytes
    published_at: float
    due_at: float
    attempts: int = 0
    last_attempt_at: float = 0.0
    row: int = 0


@dataclass(slots=True)
class Tally:
    """What has become of one subscription's events since the stack was made.

    The books balance: matched + duplicates = delivered + dead_lettered + dropped + pending.

    Args:
        matched: Events the subscription selected.
        duplicates: Extra copies the duplicate switch added.
        delivered: Events acknowledged by the endpoint, copies included.
        dead_lettered: Events written to the dead-letter container.
        dropped: Events lost to the drop switch, or given up on without a dead-letter container.
        attempts: Requests sent to the endpoint; one carries a batch.
        failed: Requests it did not acknowledge.
    """

    matched: int = 0
    duplicates: int = 0
    delivered: int = 0
    dead_lettered: int = 0
    dropped: int = 0
    attempts: int = 0
    failed: int = 0


_COUNTS = tuple(field.name for field in fields(Tally))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS delivery (
    row INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, body BLOB NOT NULL, published_at REAL NOT NULL,
    due_at REAL NOT NULL, attempts INTEGER NOT NULL, last_attempt_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS tally (
    subscription TEXT PRIMARY KEY, {", ".join(f"{name} INTEGER NOT NULL" for name in _COUNTS)}
);
"""


class Queue:
    """Deliveries and tallies in one SQLite file; each method is one transaction.

    A transaction reaches the operating system before the method returns, so it survives the end of the process; only a
    power cut could lose the last ones.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False)  # made by one thread, used by the loop's
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def owed(self, subscription: str) -> list[Delivery]:
        """What is still to be delivered, oldest first."""
        names = ("body", "published_at", "due_at", "attempts", "last_attempt_at", "row")
        query = f"SELECT {', '.join(names)} FROM delivery WHERE subscription = ? ORDER BY row"  # noqa: S608 - names of columns, above
        with closing(self._database.execute(query, (subscription,))) as rows:
            return [Delivery(subscription, **dict(zip(names, row, strict=True))) for row in rows]

    def tally(self, subscription: str) -> Tally:
        """The subscription's books as last written."""
        query = f"SELECT {', '.join(_COUNTS)} FROM tally WHERE subscription = ?"  # noqa: S608 - names of columns, above
        row = self._database.execute(query, (subscription,)).fetchone()
        return Tally(*row) if row else Tally()

    def add(self, deliveries: Iterable[Delivery], tallies: Iterable[tuple[str, Tally]]) -> None:
        """Store new deliveries; each gets its row number."""
        with self._database:
            for one in deliveries:
                values = (one.subscription, one.body, one.published_at, one.due_at, one.attempts, one.last_attempt_at)
                cursor = self._database.execute(
                    "INSERT INTO delivery (subscription, body, published_at, due_at, attempts, last_attempt_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    values,
                )
                one.row = cursor.lastrowid or 0
            self._write(tallies)

    def postpone(self, deliveries: Sequence[Delivery], subscription: str, tally: Tally) -> None:
        """Store what an attempt changed."""
        with self._database:
            self._database.executemany(
                "UPDATE delivery SET due_at = ?, attempts = ?, last_attempt_at = ? WHERE row = ?",
                [(one.due_at, one.attempts, one.last_attempt_at, one.row) for one in deliveries],
            )
            self._write([(subscription, tally)])

    def remove(self, deliveries: Sequence[Delivery], subscription: str, tally: Tally) -> None:
        """Forget deliveries that have come to an end."""
        with self._database:
            self._database.executemany("DELETE FROM delivery WHERE row = ?", [(one.row,) for one in deliveries])
            self._write([(subscription, tally)])

    def _write(self, tallies: Iterable[tuple[str, Tally]]) -> None:
        marks = ", ".join("?" for _ in _COUNTS)
        self._database.executemany(
            f"INSERT OR REPLACE INTO tally (subscription, {', '.join(_COUNTS)}) VALUES (?, {marks})",  # noqa: S608 - names of columns, above
            [(name, *(getattr(tally, count) for count in _COUNTS)) for name, tally in tallies],
        )
