"""What is kept of a device between two messages, and its bytes for one property of a table row.

The bytes, integers little-endian: `RFDS`, version 2 (1 byte), CRC-32 of the rest (4 bytes), then a zlib stream of the
length of a JSON object (4 bytes), that object, the counts (int64) and the evidence (see `Evidence.to_bytes`).
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from functions.drift.detector import Evidence
from functions.drift.window import Epoch, Ledger

MAGIC: Final = b"RFDS"
VERSION: Final = 2
MOST_BYTES: Final = 16 * 1024 * 1024  # Unpacked; a state of 25 features has about 50,000.
_HEADER_BYTES: Final = 9


@dataclass(frozen=True, slots=True, eq=False)
class DeviceState:
    """One device under one model version; two states are equal when their bytes unpack to the same.

    Attributes:
        device: Whose it is.
        model: Model that serves there.
        version: Its version.
        profile: Hash of its profile.
        channels: Id of the tests that the evidence is about.
        ledger: The messages counted, of earlier models too.
        pending_rows: Rows of the open window.
        pending: The open window's counts, shape (cells,).
        evidence: What the detector knows.
        episode: Window, from 1, whose alarm began the drift that goes on; None while there is none.
        last_alarm: Window of that drift's last alarm; None while there is none.
    """

    device: str
    model: str
    version: str
    profile: str
    channels: str
    ledger: Ledger
    pending_rows: int
    pending: NDArray[np.int64]
    evidence: Evidence
    episode: int | None = field(default=None)
    last_alarm: int | None = field(default=None)

    def to_bytes(self) -> bytes:
        """The state in the format of this module's docstring."""
        facts = {
            "device": self.device,
            "model": self.model,
            "version": self.version,
            "profile": self.profile,
            "channels": self.channels,
            "epochs": [[epoch.id, epoch.next, list(epoch.ahead), epoch.lost] for epoch in self.ledger.epochs],
            "pending_rows": self.pending_rows,
            "episode": self.episode,
            "last_alarm": self.last_alarm,
            "windows": self.evidence.windows,
            "cells": len(self.pending),
            "tests": self.evidence.log_c.shape[1],
        }
        head = json.dumps(facts, separators=(",", ":")).encode()
        arrays = [self.pending.astype("<i8").tobytes(), self.evidence.to_bytes()]
        body = zlib.compress(b"".join([len(head).to_bytes(4, "little"), head, *arrays]), level=6)
        return MAGIC + bytes([VERSION]) + zlib.crc32(body).to_bytes(4, "little") + body

    @staticmethod
    def from_bytes(data: bytes) -> "DeviceState":
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: The bytes are damaged or of another version.
        """
        body = data[_HEADER_BYTES:]
        if data[:5] != MAGIC + bytes([VERSION]) or zlib.crc32(body).to_bytes(4, "little") != data[5:_HEADER_BYTES]:
            raise ValueError(f"these bytes are not a device's state of version {VERSION}, or they are damaged")
        content = zlib.decompressobj().decompress(body, MOST_BYTES)
        end = 4 + int.from_bytes(content[:4], "little")
        facts = json.loads(content[4:end])
        pending = np.frombuffer(content, "<i8", facts["cells"], end).astype(np.int64)
        evidence = content[end + pending.nbytes :]
        return DeviceState(
            device=facts["device"],
            model=facts["model"],
            version=facts["version"],
            profile=facts["profile"],
            channels=facts["channels"],
            ledger=Ledger(
                tuple(Epoch(name, after, tuple(ahead), lost) for name, after, ahead, lost in facts["epochs"])
            ),
            pending_rows=facts["pending_rows"],
            pending=pending,
            evidence=Evidence.from_bytes(evidence, windows=facts["windows"], tests=facts["tests"]),
            episode=facts["episode"],
            last_alarm=facts["last_alarm"],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceState) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        identity = (self.device, self.model, self.version, self.profile, self.channels, self.ledger)
        window = (self.pending_rows, self.evidence.windows, self.episode, self.last_alarm)
        return (*identity, *window, self.pending.tobytes(), self.evidence.to_bytes())
