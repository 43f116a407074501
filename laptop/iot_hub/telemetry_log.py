"""The event hub that IoT Hub routes telemetry to: partitions of numbered messages, kept in one SQLite file."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

EVENT_HUB = "telemetry"
PARTITIONS = ("0", "1")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a partition.

    Args:
        sequence_number: Contiguous within the partition, from 0.
        offset: Where it begins in the partition, bytes, as a decimal number.
        enqueued: When it was taken over, UTC, ISO 8601 with a Z.
        partition_key: The device id.
        system_properties: As IoT Hub's routing names them.
        properties: The application's own.
        body: As the device sent it.
    """

    sequence_number: int
    offset: str
    enqueued: str
    partition_key: str
    system_properties: Mapping[str, str]
    properties: Mapping[str, str]
    body: bytes


class TelemetryLog:
    """Append-only; read by partition and sequence number, by as many readers as there are.

    Args:
        path: The SQLite file; it and its folder are made when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            """PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS messages (
                partition TEXT, sequence INTEGER, start INTEGER NOT NULL, enqueued TEXT NOT NULL, device TEXT NOT NULL,
                system TEXT NOT NULL, properties TEXT NOT NULL, body BLOB NOT NULL,
                PRIMARY KEY (partition, sequence)) WITHOUT ROWID;"""
        )
        self._ends = {partition: self._end(partition) for partition in PARTITIONS}
        self._grown = asyncio.Condition()

    async def append(
        self, device: str, system_properties: Mapping[str, str], *, properties: Mapping[str, str], body: bytes
    ) -> None:
        """Add a message behind the others of its device's partition, and wake who waits for it."""
        partition = partition_of(device)
        sequence, start = self._ends[partition]
        self._database.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                partition, sequence, start, datetime.now(UTC).isoformat().replace("+00:00", "Z"), device,
                json.dumps(dict(system_properties)), json.dumps(dict(properties)), body,
            ),
        )  # fmt: skip
        self._ends[partition] = (sequence + 1, start + len(body))
        async with self._grown:
            self._grown.notify_all()

    def read(self, partition: str, first: int, limit: int) -> list[Message]:
        """Up to ``limit`` messages of a partition, from the sequence number ``first`` on, in order."""
        rows = self._database.execute(
            "SELECT sequence, start, enqueued, device, system, properties, body FROM messages "
            "WHERE partition = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
            (partition, first, limit),
        )
        return [
            Message(sequence, str(start), enqueued, device, json.loads(system), json.loads(properties), body)
            for sequence, start, enqueued, device, system, properties, body in rows
        ]

    async def wait(self, partition: str, first: int, seconds: float) -> None:
        """Return once the partition has the sequence number ``first``, or after some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._grown:
                await self._grown.wait_for(lambda: self._ends[partition][0] > first)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _end(self, partition: str) -> tuple[int, int]:
        """The sequence number and the offset of the message to come."""
        row = self._database.execute(
            "SELECT sequence + 1, start + length(body) FROM messages "
            "WHERE partition = ? ORDER BY sequence DESC LIMIT 1",
            (partition,),
        ).fetchone()
        return row or (0, 0)


def partition_of(device: str) -> str:
    """The partition of a device, the same for all its messages."""
    return PARTITIONS[crc32(device.encode()) % len(PARTITIONS)]
