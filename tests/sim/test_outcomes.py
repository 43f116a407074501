"""Outcomes under every fault: whatever crashes, races or comes again, each message's outcomes are counted once."""

from collections import Counter
from datetime import timedelta

from functions.drift.trigger import score_drift_on_telemetry
from functions.field import COLUMN, from_bytes, period_of
from tests.drift.test_trigger import PROFILE, routed, sketch_of, told
from tests.fakes.cloud import FakeCloud
from tests.sim.faults import OF_CONDITIONAL, REPEAT, Dice, Swarm
from tests.sim.plant import LOOP, loop
from tests.sim.world import DAY, START, World

MESSAGES, SEEDS = 24, 25
NOTHING = sketch_of(0)


def message(number: int) -> dict[str, object]:
    """Each tells of a stretch of its own, so that what is counted says which messages were."""
    at, rows = START + timedelta(hours=number), 3 + number
    costs = {"log_loss_sum": 0.5 * rows, "log_loss_squares": 0.4 * rows, "brier_sum": 0.2 * rows}
    outcomes = {"version": "1", "at": at.isoformat(), "rows": rows, "positives": 2, "brier_squares": 0.1, **costs}
    epoch, sequence = divmod(number, MESSAGES // 2)
    return told(sequence, epoch=f"e{epoch}", rows=0, sketch=NOTHING, outcomes=[outcomes])


def story(seed: int) -> tuple[set[int], dict[int, int], Counter[str]]:
    """Which messages were acknowledged, the rows that are counted, by message, and what struck."""
    dice, fake = Dice(seed), FakeCloud()
    fake.blobs.put("models", f"{LOOP}/1/profile.json", PROFILE.to_json().encode())
    world, heard = World(seed, Swarm(dice), loop(), fake=fake), set[int]()
    for number in range(MESSAGES):
        events = [routed(message(one)) for one in {number, int(dice.between(0, MESSAGES, "beside", number))}]
        world.scheduler.at(
            dice.between(0, DAY / 4, "sent", number),
            lambda number=number, events=events: world.deliver(  # type: ignore[misc] # bound now
                f"telemetry {number}", lambda: score_drift_on_telemetry(events), heard=lambda: heard.add(number)
            ),
        )
    world.scheduler.run(2 * DAY)
    world.calm = True
    world.replay()
    world.scheduler.run(4 * DAY)
    world.scheduler.close()
    (stored,) = fake.rows.find("devices", LOOP)
    (use,) = from_bytes(stored.row[COLUMN]).values()
    every = loop().rollout.compare_every
    message_at = {period_of(START + timedelta(hours=number), every): number for number in range(MESSAGES)}
    return heard, {message_at[one.at]: one.rows for one in use.judged}, world.seen


def test_what_was_acknowledged_is_counted_and_nothing_is_counted_twice() -> None:
    seen = Counter[str]()
    for seed in range(SEEDS):
        heard, counted, struck = story(seed)
        assert heard <= counted.keys(), f"seed {seed}"
        assert counted == {number: 3 + number for number in counted}, f"seed {seed}"
        seen += struck
    assert [fault for fault in (*OF_CONDITIONAL, REPEAT, "redelivered") if not seen[fault]] == []
