"""Sites that upload: good files and bad ones, overwritten ones, and events that may go astray."""

import tomllib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from functions.events import DriftDetected
from functions.loops import Loop
from functions.ports import Row
from functions.retraining.trigger import count_upload_on_blob_created, request_retraining_on_drift
from tests.files import FLIGHTS, comma_separated
from tests.messages import blob_created, message
from tests.sim.world import START, World

LOOP = "flight-delays"
COLUMNS = ("distance", "temp", "wind_speed", "visib", "late")  # fewer, for speed
SITES = ("ewr", "jfk", "lga")
GOOD, EMPTY, BROKEN, STRANGER = "good", "empty", "broken", "of an unknown site"
KINDS = (GOOD,) * 18 + (EMPTY, BROKEN, STRANGER)


@cache
def _shipped() -> str:
    return (Path(__file__).parents[1] / "loops" / f"{LOOP}.toml").read_text(encoding="utf-8")


@cache
def loop(**retrain: object) -> Loop:
    """The shipped loop under another policy: any field of [retrain]."""
    body = tomllib.loads(_shipped())
    policy = {
        "quiet_for": "2 min",
        "at_most_wait": "3 hours",
        "at_least_files": 3,
        "cool_down": "1 hour",
        "jobs_per_day": 2,
        "jobs_at_once": 3,
    }
    fleet = "tags.fleet = 'new-york'"
    canary = {"name": "canary", "devices": f"{fleet} AND tags.site = 'lga'", "dwell": "2 hours"}
    rings = [canary | {"at_least_requests": 300}, {"name": "everywhere", "devices": fleet, "dwell": "0 s"}]
    body["rollout"] = {"module": "inference", "compare_every": "10 min", "ring": rings}
    columns = {name: body["data"]["columns"][name] for name in COLUMNS}
    body["data"] |= {"formats": ["csv"], "at_most_bad_share": 1.0, "columns": columns}
    body["retrain"] |= policy | retrain
    return Loop.model_validate(body)


@cache
def content(number: int) -> bytes:
    """A small sound file, as no other upload has it."""
    columns = {name: FLIGHTS[name][:1] for name in COLUMNS}
    return comma_separated(**{**columns, "distance": [float(number)]})


@dataclass(frozen=True, slots=True)
class Landed:
    """One version of one blob, as the world knows it."""

    name: str
    etag: str
    kind: str


class Plant:
    """Sites, and what they have uploaded.

    Args:
        world: Where they are.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.landed: dict[int, Landed] = {}
        self.content: dict[tuple[str, str], bytes] = {}  # of every version, by name and eTag
        self.sent: set[int] = set()  # whose event was not lost
        self.acknowledged: set[int] = set()
        self.current: dict[str, int] = {}
        self.asked: set[tuple[str, int]] = set()
        self.heard = 0  # announcements of drift
        world.watchers.append(self.hear)

    def upload(self, number: int, name: str, kind: str) -> None:
        """Write a blob, and publish its event."""
        name = {
            EMPTY: f"ewr/empty-{number}.csv",
            BROKEN: f"jfk/broken-{number}.csv",
            STRANGER: f"boston/{number}.csv",
        }.get(kind, name)
        blob = f"{LOOP}/{name}"
        data = {EMPTY: b"", BROKEN: f"no file {number}".encode()}.get(kind, content(number))
        self.world.fake.blobs.put("landing", blob, data)
        facts = self.world.fake.blobs.facts("landing", blob)
        assert facts is not None
        self.content[blob, facts.etag] = data
        self.landed[number] = Landed(blob, facts.etag, kind)
        self.world.seen["overwritten"] += blob in self.current
        self.current[blob] = number
        claimed = 17 if number % 5 == 1 else facts.size_bytes  # an event may say what was never stored
        event = blob_created(blob, eTag=facts.etag, contentLength=claimed, id=f"event-{number}")
        coming = self.world.deliver(
            f"upload {number}",
            lambda: count_upload_on_blob_created(event),
            heard=lambda: self.acknowledged.add(number),
        )
        self.sent |= {number} if coming else set()

    def hear(self, operation: str, arguments: tuple[Any, ...], _: object) -> None:
        """Event Grid brings the app's own word of a drift back to it."""
        if operation != "announcer.announce" or not isinstance(arguments[0], DriftDetected):
            return
        drift, name = arguments[0], arguments[-1]
        event = message("Refluent.DriftDetected", drift.model_dump(mode="json"), subject=drift.device)
        self.heard += 1
        self.world.deliver(f"told {name} {self.heard}", lambda: request_retraining_on_drift(event))

    def uploaded_before(self, number: int, name: str, generation: int) -> None:
        """A version that the earlier release counted, in the columns it had (commit a114d36)."""
        blob, data = f"{LOOP}/{name}", content(number)
        self.world.fake.blobs.put("landing", blob, data)
        facts = self.world.fake.blobs.facts("landing", blob)
        assert facts is not None
        row: Row = {"blob": blob, "etag": facts.etag, "size_bytes": len(data), "site": name.split("/", maxsplit=1)[0]}
        key = sha256(f"landing\n{blob}\n{facts.etag}".encode()).hexdigest()[:32]
        self.world.fake.rows.insert("uploads", LOOP, key, row={**row, "at": START, "generation": generation})
        self.content[blob, facts.etag] = data
        self.current[blob] = number
        if not generation:  # what was trained on is the earlier release's affair
            self.landed[number] = Landed(blob, facts.etag, GOOD)

    def drift(self, device: str, version: int) -> None:
        """A device's inputs drifted."""
        at = self.world.time()
        data = {"loop": LOOP, "device": device, "version": str(version), "feature": "temp", "explanation": "warmer"}
        event = message("Refluent.DriftDetected", {**data, "at": at.isoformat()}, subject=device)
        self.world.deliver(
            f"drift {device} {version}",
            lambda: request_retraining_on_drift(event),
            heard=lambda: self.asked.add((device, version)),
        )
