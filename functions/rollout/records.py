"""What is kept of a version's way to the fleet, and what operators ordered: the rows of `rollouts` and `pins`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from functions.ports import Row, Rows, Stored

ROLLOUTS, PINS, PIN = "rollouts", "pins", "pin"
ROLLING, DONE, HELD, PAUSED, SUPERSEDED = "rolling", "done", "awaiting approval", "paused", "superseded"
SHADOWING, FALLING, BACK = "shadowing", "rolling back", "rolled back"
EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """One version's rollout.

    Args:
        version: Of the model.
        state: shadowing, rolling, done, awaiting approval, paused, superseded, rolling back or rolled back.
        ring: Index of the ring it has reached; -1 for none.
        since: When it reached that ring.
        deployment: Id of that ring's layer.
        previous: The last good version when it started: what a rollback goes back to; "" for none.
        reason: Why it is in this state, where that is not told by the state.
        members: Devices of the rings that take only some.
    """

    version: int
    state: str
    ring: int
    since: datetime
    deployment: str = ""
    previous: str = ""
    reason: str = ""
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Stored) -> Self:
        """As the row has it; a row of an earlier release lacks what came later."""
        row = stored.row
        return cls(
            version=int(stored.key),
            state=str(row["state"]),
            ring=int(str(row["ring"])),
            since=datetime.fromisoformat(str(row["since"])),
            deployment=str(row["deployment"]),
            previous=str(row.get("previous", "")),
            reason=str(row.get("reason", "")),
            members=json.loads(str(row.get("members", "{}"))),
        )

    @property
    def key(self) -> str:
        """Sorts like the version."""
        return f"{self.version:09}"

    @property
    def row(self) -> Row:
        """As the table keeps it."""
        return {
            "state": self.state,
            "ring": self.ring,
            "since": self.since,
            "deployment": self.deployment,
            "previous": self.previous,
            "reason": self.reason[:10_000],
            "members": json.dumps({name: list(devices) for name, devices in self.members.items()}, sort_keys=True),
        }

    def now(self, state: str, reason: str = "") -> Self:
        """The same rollout in another state."""
        return replace(self, state=state, reason=reason)


@dataclass(frozen=True, slots=True)
class Pin:
    """An operator's word on what devices serve; it beats automation until it is taken back.

    Args:
        version: What they serve.
        ring: Name of the ring; "" for all.
        because: The operator's reason.
    """

    version: str
    ring: str
    because: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything our own records say about a loop's versions.

    Args:
        records: Every version ever admitted or held, oldest first.
        stored: The same rows as the table holds them, by version, for a compare-and-swap.
        pin: The operator's pin; None for none.
        approved: Version -> ring that a person approved it for last ("" for every one), and when.
    """

    records: Sequence[Record]
    stored: Mapping[int, Stored]
    pin: Pin | None
    approved: Mapping[int, tuple[str, datetime]]

    @property
    def newest(self) -> int:
        """The highest version that is on its way or was; 0 for none."""
        return max((one.version for one in self.records if one.state != HELD), default=0)

    def last_good(self, below: int) -> Record | None:
        """The newest version under another that reached every ring and was not taken back."""
        done = [one for one in self.records if one.state == DONE and one.version < below]
        return done[-1] if done else None

    def find(self, version: int) -> Record | None:
        """What is known of one version."""
        return next((one for one in self.records if one.version == version), None)

    def is_approved(self, version: int, ring: str, *, since: datetime = EVER) -> bool:
        """Whether a person let a version into a ring, since a moment."""
        known = self.approved.get(version)
        return known is not None and known[0] in ("", ring) and known[1] >= since


def standing(rows: Rows, loop: str) -> Standing:
    """Read a loop's records and its operator's orders."""
    found = list(rows.find(ROLLOUTS, loop))
    orders = list(rows.find(PINS, loop))
    pins = [one.row for one in orders if one.key == PIN and one.row["version"]]
    approvals = {one.key.removeprefix("approve:"): one.row for one in orders if one.key.startswith("approve:")}
    return Standing(
        records=[Record.of(one) for one in found],
        stored={int(one.key): one for one in found},
        pin=Pin(*(str(pins[0][name]) for name in ("version", "ring", "because"))) if pins else None,
        approved={
            int(version): (str(row.get("ring", "")), datetime.fromisoformat(str(row.get("at", EVER))))
            for version, row in approvals.items()
            if version.isdigit()
        },
    )
