"""What is kept of a device between two messages, and its bytes for a table row.

The bytes, integers little-endian: `RFDS`, version 4 (1 byte), CRC-32 of the rest (4 bytes), then a zlib stream of the
length of a JSON object (4 bytes), that object, the counts (int64) of the open window and of each waiting slot, and the
evidence (see `Evidence.to_bytes`).
"""

import json
import zlib
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from functions.drift.detector import Evidence
from functions.drift.ledger import Epoch, Ledger, Stretch
from functions.drift.window import Slot

MAGIC: Final = b"RFDS"
VERSION: Final = 4
MOST_BYTES: Final = 16 * 1024 * 1024  # Unpacked; a state of 25 features has about 50,000.
_HEADER_BYTES: Final = 9
_VECTORS: Final = 3  # of counts: the open window's, and those of two slots that wait


def most_bytes(*, places: int, tests: int) -> int:
    """Bytes that counts and evidence have unpacked: packed they seldom have half, and hardly ever more.

    Args:
        places: Length of a vector of counts.
        tests: Shares that are watched.
    """
    return _VECTORS * places * np.dtype("<i8").itemsize + len(Evidence.none(tests).to_bytes())


class DeviceState(msgspec.Struct, frozen=True, eq=False):
    """One device under one model version; two states are equal when their bytes unpack to the same.

    Attributes:
        device: Whose it is.
        model: Model that serves there.
        version: Its version.
        profile: Hash of its profile.
        channels: Id of the tests that the evidence is about.
        ledger: The messages counted, of earlier models too.
        pending_rows: Rows of the open window.
        pending: The open window's rows by stretch (`Blocks.by_stretch`).
        evidence: What the detector knows.
        episode: Window, from 1, whose alarm began the drift that goes on; None while there is none.
        last_alarm: Window of that drift's last alarm; None while there is none.
        opened_us: Where the open window begins, microseconds since 1970; without meaning while it has no rows.
        waiting: What happened too lately to be in a window: others may still come that precede it.
        newest_us: The latest event time of this model's messages, microseconds since 1970; 0 before the first.
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
    episode: int | None = None
    last_alarm: int | None = None
    opened_us: int = 0
    waiting: tuple[Slot, ...] = ()
    newest_us: int = 0

    def to_bytes(self) -> bytes:
        """The state in the format of this module's docstring."""
        facts = {
            "device": self.device,
            "model": self.model,
            "version": self.version,
            "profile": self.profile,
            "channels": self.channels,
            "epochs": [[one.id, list(map(astuple, one.stretches)), one.lost] for one in self.ledger.epochs],
            "pending_rows": self.pending_rows,
            "episode": self.episode,
            "last_alarm": self.last_alarm,
            "opened_us": self.opened_us,
            "newest_us": self.newest_us,
            "waiting": [[slot.start_us, slot.rows] for slot in self.waiting],
            "windows": self.evidence.windows,
            "places": len(self.pending),
            "tests": self.evidence.log_c.shape[1],
        }
        head = json.dumps(facts, separators=(",", ":")).encode()
        counts = [array.astype("<i8").tobytes() for array in (self.pending, *(slot.counts for slot in self.waiting))]
        content = b"".join([len(head).to_bytes(4, "little"), head, *counts, self.evidence.to_bytes()])
        body = zlib.compress(content, level=1)  # a fiftieth larger than at 6, in two thirds of the time
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
        shape = (1 + len(facts["waiting"]), facts["places"])
        pending, *waiting = np.frombuffer(content, "<i8", shape[0] * shape[1], end).astype(np.int64).reshape(shape)
        evidence = content[end + shape[0] * pending.nbytes :]
        return DeviceState(
            device=facts["device"],
            model=facts["model"],
            version=facts["version"],
            profile=facts["profile"],
            channels=facts["channels"],
            ledger=Ledger(
                tuple(
                    Epoch(name, tuple(Stretch(*part) for part in stretches), lost)
                    for name, stretches, lost in facts["epochs"]
                )
            ),
            pending_rows=facts["pending_rows"],
            pending=pending,
            evidence=Evidence.from_bytes(evidence, windows=facts["windows"], tests=facts["tests"]),
            episode=facts["episode"],
            last_alarm=facts["last_alarm"],
            opened_us=facts["opened_us"],
            waiting=tuple(
                Slot(start, rows, counts) for (start, rows), counts in zip(facts["waiting"], waiting, strict=True)
            ),
            newest_us=facts["newest_us"],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceState) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        identity = (self.device, self.model, self.version, self.profile, self.channels, self.ledger)
        window = (self.pending_rows, self.evidence.windows, self.episode, self.last_alarm)
        waiting = tuple((slot.start_us, slot.rows, slot.counts.tobytes()) for slot in self.waiting)
        times = (self.opened_us if self.pending_rows else 0, self.newest_us, waiting)
        return (*identity, *window, *times, self.pending.tobytes(), self.evidence.to_bytes())
