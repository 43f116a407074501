"""What is kept of an episode of drift, and what of a device's row concerns it: rows of `episodes` and `devices`."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from functions.drift.fleet import SCOPES
from functions.events import Scope
from functions.ports import Row, Stored

EPISODES = "episodes"
SETTLING, TELLING, OPEN, ENDING, OVER = "settling", "telling", "open", "ending", "over"
MOST_MEMBERS = 2_000  # As many devices are the fleet: a property of a row has room for so many names.
COLUMNS = (
    "version", "episode", "at", "feature", "rising", "explanation", "log_evidence", "log_peak",
)  # of a device's row; its state, up to some hundred KB, does not travel  # fmt: skip


@dataclass(frozen=True, slots=True)
class Device:
    """What a device's row says of its drift.

    Attributes:
        key: Device and module.
        version: Model version that it told of last.
        at: When it told of it.
        episode: Window of its first alarm; 0 while it does not drift.
        feature: What speaks loudest.
        rising: In which direction.
        explanation: With numbers, such as "temp, share above 50: 12 % → 61 %, since window 3".
        log_evidence: Logarithm of what speaks for drift: the most since its first alarm, or the newest window's.
    """

    key: str
    version: str
    at: datetime
    episode: int
    feature: str
    rising: bool
    explanation: str
    log_evidence: float

    @classmethod
    def of(cls, stored: Stored) -> Self | None:
        """As the row has it; None for a row that counted no message under a model version yet."""
        row = stored.row
        if "version" not in row or "at" not in row:
            return None
        episode = int(str(row.get("episode", 0)))
        evidence = row.get("log_peak" if episode else "log_evidence", float("-inf"))
        return cls(
            key=stored.key,
            version=str(row["version"]),
            at=datetime.fromisoformat(str(row["at"])),
            episode=episode,
            feature=str(row.get("feature", "")),
            rising=row.get("rising") is True,
            explanation=str(row.get("explanation", "")),
            log_evidence=float(str(evidence)),
        )

    @property
    def name(self) -> str:
        """The device, as IoT Hub and people call it."""
        return self.key.partition("/")[0]

    @property
    def shares(self) -> str:
        """What moved from where to where, without since when: windows are numbered by each device."""
        return self.explanation.partition(", since window ")[0]


@dataclass(frozen=True, slots=True)
class Episode:
    """One drift, however many devices see it.

    Attributes:
        number: From 1 with the loop's first.
        version: Model version whose devices drift.
        state: settling, telling, open, ending or over.
        scope: How far it reaches; it never narrows.
        members: Device and module -> window of its first alarm, which names its part in the episode.
        device: The device that the explanation is about.
        feature: What most members share.
        rising: In which direction.
        explanation: With numbers, and how many devices, and where.
        whole: Whether every device that reports has it, so that nobody is left to join.
        opened: When it was opened.
        told: When it was told; None before.
        change: The newest decision about it.
        reason: Why that was taken.
        noted: Whether that is in the journal.
        harm: harmful, harmless or unknown.
        harm_reason: How that is known.
    """

    number: int
    version: str
    state: str
    scope: Scope
    members: Mapping[str, int]
    device: str
    feature: str
    rising: bool
    explanation: str
    whole: bool
    opened: datetime
    told: datetime | None = None
    change: str = "Open"
    reason: str = ""
    noted: bool = False
    harm: str = "unknown"
    harm_reason: str = ""
    stored: Stored | None = field(default=None, compare=False)

    @classmethod
    def of(cls, stored: Stored) -> Self:
        """As the row has it."""
        row = stored.row
        told, members = row.get("told"), row["members"]
        assert isinstance(members, bytes)  # noqa: S101  # nobody else writes this table
        return cls(
            number=int(stored.key),
            scope=next(scope for scope in SCOPES if scope == row["scope"]),
            members=json.loads(zlib.decompress(members)),
            rising=row["rising"] is True,
            whole=row["whole"] is True,
            noted=row["noted"] is True,
            opened=datetime.fromisoformat(str(row["opened"])),
            told=datetime.fromisoformat(str(told)) if told else None,
            stored=stored,
            **{name: str(row[name]) for name in _TEXTS},
        )

    @property
    def key(self) -> str:
        """Sorts like the number."""
        return f"{self.number:09}"

    @property
    def row(self) -> Row:
        """As the table keeps it."""
        told: Row = {"told": self.told} if self.told else {}
        return {
            **{name: getattr(self, name) for name in _TEXTS},
            **told,
            "scope": self.scope,
            "members": zlib.compress(json.dumps(dict(self.members), sort_keys=True, separators=(",", ":")).encode()),
            "count": len(self.members),
            "rising": self.rising,
            "whole": self.whole,
            "noted": self.noted,
            "opened": self.opened,
            "over": self.state == OVER and self.noted,
        }

    @property
    def is_full(self) -> bool:
        """Whether there is room for no further name: then every device of its version that drifts belongs to it."""
        return len(self.members) >= MOST_MEMBERS

    @property
    def devices(self) -> list[str]:
        """Names of its devices, the explained one first, as they are told."""
        others = sorted({key.partition("/")[0] for key in self.members} - {self.device})
        return [self.device, *others]


_TEXTS = (
    "version", "state", "device", "feature", "explanation", "change", "reason", "harm", "harm_reason",
)  # columns that are text  # fmt: skip


def name(loop: str, number: int) -> str:
    """What an episode is called."""
    return f"{loop}~{number}"
