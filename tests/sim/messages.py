"""Telemetry in the simulation: devices that go offline, restart and lose messages, and a partition with two owners.

The real handler counts what they send, over failing ports. Afterwards every device's windows are those of the log of
its distinct messages, every message is accounted for, and every gap is told once.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial

import azure.functions as func
import numpy as np

from functions.drift.policy import watched
from functions.drift.state import DeviceState
from functions.drift.trigger import score_drift_on_telemetry
from functions.journal import entries
from functions.loops import Loop
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch
from tests.drift.offline import Logged, agrees
from tests.fakes.cloud import FakeCloud
from tests.sim.faults import Dice, Plan, Swarm
from tests.sim.plant import LOOP, loop
from tests.sim.world import HOUR, START, World, need

KINDS: dict[str, Kind] = {"temp": "number", "visib": "number"}
DEVICES = ("ewr", "jfk", "lga")
WITH_ROWS = ("jfk",)  # makes no sketches
LATENESS = timedelta(minutes=10)
MINUTE = 60.0
MESSAGES = 32  # of each device
POISON = (
    b'{"v":1,"kind":"rows","loop":"flight-delays","model":"flight-delays","version":"1","epoch":"e","sequence":0,'
    b'"to":"2026-03-02T00:00:00Z","rows":[{}]}'
)


@cache
def profile() -> Profile:
    """What the devices' model was trained on."""
    rng = np.random.default_rng(1)
    return Profile.build({name: rng.normal(50, 10, 2_000) for name in KINDS}, kinds=KINDS, scores=rng.random(2_000))


@cache
def seen(number: int) -> list[dict[str, float]]:
    """The rows that a device saw between two messages; from message 20 on it is warmer."""
    rng, rows = np.random.default_rng(number), 5 + number % 17
    shift = 30 if number > 20 else 0
    columns = {**{name: rng.normal(50 + shift, 10, rows) for name in KINDS}, "score": rng.random(rows)}
    return [{name: float(values[row]) for name, values in columns.items()} for row in range(rows)]


@cache
def sketch(number: int) -> Sketch:
    """These rows, counted."""
    counted = Sketch(profile())
    counted.add_rows(seen(number), [row["score"] for row in seen(number)])
    return counted


@cache
def watching() -> Loop:
    """The loop, as these devices are watched."""
    drift = {"features": [], "window_rows": 60, "lateness": LATENESS, "window_at_most": timedelta(minutes=50)}
    whole = loop()
    return whole.model_copy(update={"drift": whole.drift.model_copy(update=drift)})


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way: when it happened, when the hub gets it."""

    device: str
    epoch: str
    sequence: int
    number: int
    at: float
    enqueued: float

    @property
    def event(self) -> func.EventHubEvent:
        """As the host hands it over."""
        names = {"v": 1, "loop": LOOP, "model": LOOP, "version": "1", "profile": profile().hash, "epoch": self.epoch}
        window = {"from": _time(self.at).isoformat(), "to": _time(self.at).isoformat(), "sequence": self.sequence}
        told: dict[str, object] = {"rows": sketch(self.number).rows, "requests": 1, "failed": 0}
        if self.device in WITH_ROWS:
            told = {"kind": "rows", "rows": seen(self.number)}
        else:
            told["sketch"] = base64.b64encode(sketch(self.number).to_bytes()).decode()
        return _event(self.device, json.dumps({**names, **window, **told}).encode(), self.enqueued)


@dataclass
class Stream:
    """One partition: what comes, in the order in which the hub got it, and what is missing.

    Args:
        log: Every message that reaches the hub.
        gaps: Of each device, what was lost before that, in the journal's words.
    """

    log: list[Sent] = field(default_factory=list)
    gaps: set[tuple[str, str]] = field(default_factory=set)


def stream(dice: Dice) -> Stream:
    """What the devices send: a message every few minutes, some late, a stretch of hours after the hub was away."""
    found = Stream()
    for device in DEVICES:
        pauses = [dice.between(0.5, 9, device, number) * MINUTE for number in range(MESSAGES)]
        times = [sum(pauses[: number + 1]) for number in range(MESSAGES)]
        away = int(dice.between(0, MESSAGES, device, "away")) if dice.roll(device, "goes away") < 0.5 else MESSAGES
        epoch, sequence, lost = 0, 0, list[int]()
        for number, at in enumerate(times):
            if dice.roll(device, number, "restart") < 0.05:
                epoch, sequence, lost = epoch + 1, 0, []
            if dice.roll(device, number, "lost") < 0.06 and sequence and number < MESSAGES // 2:
                lost.append(sequence)
            else:
                comes = at + dice.between(0, LATENESS.total_seconds(), device, number, "late")
                if away <= number < away + 8:  # in the order of the outbox, once the hub can be reached again
                    comes = times[min(away + 7, MESSAGES - 1)] + comes * 1e-6
                found.log.append(Sent(device, f"e{epoch}", sequence, number, at, comes))
                found.gaps |= {(device, _words(f"e{epoch}", run)) for run in _runs(lost) if number < MESSAGES // 2}
            sequence += 1
    found.log.sort(key=lambda one: (one.enqueued, one.device, one.number))
    return found


def tell(seed: int, plan: Plan | None = None) -> AssertionError | None:
    """Batches of a partition, one after another, some to two owners at once, under faults; then the accounts."""
    dice = Dice(seed)
    fake = FakeCloud()
    fake.blobs.put("models", f"{LOOP}/1/profile.json", profile().to_json().encode())
    world = World(seed, plan or Swarm(dice), watching(), fake=fake)
    comes = stream(dice)
    batches, rest = list[list[func.EventHubEvent]](), [one.event for one in _in_order(comes.log)]
    while rest:
        size = 1 + int(dice.between(0, 9, "batch", len(rest)))
        batches.append(
            rest[:size] + ([_event("ewr", POISON, 0.0)] if dice.roll("poison", size, len(rest)) < 0.2 else [])
        )
        rest = rest[size:]
    try:
        _deliver(world, batches, 0)
        world.scheduler.run(40 * HOUR)
        world.calm = True
        world.scheduler.run(60 * HOUR)
        _accounts(fake, comes, poisoned=any(one.get_body() == POISON for some in batches for one in some))
    except AssertionError as problem:
        return problem
    finally:
        world.scheduler.close()
    return None


def _in_order(log: Sequence[Sent]) -> list[Sent]:
    """As the partition has them: no device tells anything later than the lateness after its newest."""
    kept, newest = list[Sent](), dict[str, float]()
    for one in log:
        newest[one.device] = max(newest.get(one.device, 0.0), one.at)
        need(newest[one.device] - one.at <= LATENESS.total_seconds(), "the story is later than it may be")
        kept.append(one)
    return kept


def _deliver(world: World, batches: Sequence[Sequence[func.EventHubEvent]], place: int) -> None:
    """A batch until it is counted, then the next; now and then another owner gets it too, or the one before."""
    if place == len(batches):
        return
    dice, now = world.dice, world.scheduler.now
    tries = [0]

    def go_on(how: str) -> None:
        tries[0] += 1
        if how == "done":
            world.scheduler.at(world.scheduler.now + 1, partial(_deliver, world, batches, place + 1))
        else:
            run(f"batch {place} try {tries[0]}", place, world.scheduler.now + 5, go_on)

    def run(name: str, which: int, when: float, ended: object) -> None:
        act = partial(score_drift_on_telemetry, list(batches[which]))
        world.invoke(name, act, when=when, ended=ended)  # type: ignore[arg-type] # one of the two here

    run(f"batch {place}", place, now + 1, go_on)
    if dice.roll("stolen", place) < 0.3:
        world.seen["two owners"] += 1
        run(f"stolen {place}", max(place - (dice.roll("rewound", place) < 0.5), 0), now + 1.05, lambda _: None)
    world.scheduler.at(now + 30, lambda: world.maybe_restart(now + 30))


def _accounts(fake: FakeCloud, comes: Stream, *, poisoned: bool) -> None:
    told = [entry for entry in entries(fake.rows, [LOOP]) if entry.decision == "Gap"]
    missed = " did not come: lost on the way, or set aside"
    gaps = {(entry.subject, entry.reason.removesuffix(missed)) for entry in told}
    need(comes.gaps <= gaps, f"I7 gaps that nobody was told of: {sorted(comes.gaps - gaps)}")
    kept = [name for container, name in fake.blobs.blobs if container == "quarantine"]
    need(len(kept) == poisoned, f"I7 {len(kept)} messages are in quarantine")
    for device in DEVICES:
        stored = fake.rows.get("devices", LOOP, f"{device}/inference")
        need(stored, f"I6 nothing is known of {device}")
        assert stored is not None
        assert isinstance(stored.row["state"], bytes)
        state = DeviceState.from_bytes(stored.row["state"])
        log = [Logged(_micro(one.at), sketch(one.number)) for one in comes.log if one.device == device]
        wrong = agrees(state, log, profile(), watched(watching()))
        need(not wrong, f"I6 {device}: {wrong}")


def _runs(lost: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for one in lost:
        if runs and runs[-1][1] == one - 1:
            runs[-1] = (runs[-1][0], one)
        else:
            runs.append((one, one))
    return runs


def _words(epoch: str, run: tuple[int, int]) -> str:
    first, last = run
    return (f"message {first}" if first == last else f"messages {first} to {last}") + f" of epoch {epoch}"


def _event(device: str, body: bytes, enqueued: float) -> func.EventHubEvent:
    sender = {"connection-device-id": device, "connection-module-id": "inference"}
    return func.EventHubEvent(body=body, iothub_metadata=sender, enqueued_time=_time(max(enqueued, 1.0)))


def _time(seconds: float) -> datetime:
    return START + timedelta(seconds=round(seconds, 3))


def _micro(seconds: float) -> int:
    return (_time(seconds) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
