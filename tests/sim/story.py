"""A few days in the life of a loop: what the seed makes happen, and how it ends."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from functions.ports import Row
from tests.fakes.cloud import FakeCloud
from tests.sim import invariants
from tests.sim.faults import REDEPLOY, Dice, Plan, Script, Swarm
from tests.sim.fleet import Field
from tests.sim.plant import KINDS, LOOP, SITES, Plant, loop
from tests.sim.workspace import Workspace
from tests.sim.world import DAY, HOUR, World

DRIFTS = ((), ("lga",), SITES)  # sites whose devices see drift
SETTLING = (
    0,
    0.1,
    0.3,
    1,
    5,
    6,
    7,
    24,
    25,
    26,
    32,
    48,
    50,
    56,
    74,
    98,
    104,
    108,
    110,
    112,
    114,
)  # hours after the last fault


@dataclass
class Told:
    """A story that was told to its end, or to where it broke.

    Args:
        problem: The invariant that does not hold; None if all do.
    """

    seed: int
    world: World
    plant: Plant
    workspace: Workspace
    field: Field
    problem: AssertionError | None = None

    @property
    def digest(self) -> str:
        return str(self.world.trace.digest.hexdigest())


def tell(seed: int, plan: Plan | None = None) -> Told:
    """Days with uploads, drift, jobs, other people's models and changed loop files; then peace, then the accounts."""
    dice = Dice(seed)
    policy = _policy(dice, "at first")
    world = World(seed, plan or Swarm(dice), loop(**policy), fake=FakeCloud())
    workspace = Workspace(world)
    told = Told(seed, world, Plant(world), workspace, Field(world, workspace))
    invariants.watch(world)
    days = dice.between(0.3, 2.5, "days")
    if dice.roll("old") < 0.3:
        _earlier_release(told)
    _uploads(told, days)
    _surprises(told, days)
    _pins(told, days)
    told.field.visits(days * DAY)
    moments = [dice.between(0, days * DAY, "tick", n) for n in range(int(dice.between(6, 24, "ticks")))]
    world.every_timer(sorted(moments))
    return finish(told, days * DAY)


def breaks(seed: int, faults: Mapping[str, str]) -> bool:
    """Whether a seed's story breaks an invariant under some of its faults."""
    return tell(seed, Script(faults)).problem is not None


def finish(
    told: Told,
    until: float,
    settling: Sequence[float] = SETTLING,
    timers: Collection[str] = (),
    *,
    checks: Collection[Callable[[World, Plant, Workspace, Field], None]] = invariants.ALL,
) -> Told:
    """Let it all happen, with faults up to a time; then peace, with every timer or those named; then the accounts."""
    try:
        told.world.scheduler.run(until)
        settle(told, settling, timers)
        for check in checks:
            check(told.world, told.plant, told.workspace, told.field)
    except AssertionError as problem:
        told.problem = problem
    finally:
        told.world.scheduler.close()
    return told


def settle(told: Told, settling: Sequence[float], timers: Collection[str]) -> None:
    """No more faults; every instance has the same loop file, which lets any file train; time passes."""
    world = told.world
    world.calm = True
    last = loop(at_least_files=1, cool_down="0 s", quiet_for="1 min", jobs_per_day=1)
    for instance in world.instances:
        instance.settings.loops = {LOOP: last}
    world.scheduler.run(world.scheduler.now + 12 * HOUR)  # whatever was delayed has come
    world.replay()
    start = world.scheduler.now + HOUR
    told.field.drift(())
    if told.field.pins:
        told.field.pin(0, "peace")
    for hours in settling:
        for device in told.field.devices:
            world.scheduler.at(start + hours * HOUR - 60, partial(told.field.visit, device))
    world.every_timer([start + hours * HOUR for hours in settling], timers)
    world.scheduler.run(start + settling[-1] * HOUR + 6 * HOUR)


def _policy(dice: Dice, when: object) -> dict[str, Any]:
    return {
        "at_least_files": dice.pick((1, 3, 8), "files", when),
        "quiet_for": dice.pick(("10 s", "5 min"), "quiet", when),
        "at_most_wait": dice.pick(("30 min", "6 hours"), "wait", when),
        "cool_down": dice.pick(("0 s", "1 hour", "12 hours"), "cool", when),
        "jobs_per_day": dice.pick((1, 2, 3), "jobs", when),
    }


def _uploads(told: Told, days: float) -> None:
    dice, world = told.world.dice, told.world
    count, names = int(dice.between(4, 40, "uploads")), int(dice.between(3, 30, "names"))
    bursts = [dice.between(0, days * DAY, "burst", n) for n in range(int(dice.between(1, 6, "bursts")))]
    for number in range(count):
        name = f"{dice.pick(SITES, 'site', number)}/{int(dice.roll('name', number) * names)}.csv"
        when = dice.pick(tuple(bursts), "which", number) + dice.between(0, 300, "in burst", number)
        kind = dice.pick(KINDS, "kind", number)
        world.scheduler.at(when, lambda n=number, name=name, kind=kind: told.plant.upload(n, name, kind))  # type: ignore[misc] # bound now


def _earlier_release(told: Told) -> None:
    """The rows that an earlier release left: a generation it trained on, uploads it counted, a wish it heard."""
    fake = told.world.fake
    for number in range(1_000, 1_004):
        told.plant.uploaded_before(number, f"jfk/old-{number}.csv", generation=1 if number < 1_002 else 0)
    fake.rows.insert("generations", LOOP, "current", row={"number": 2, "state": "open", "trigger": "", "reason": ""})
    wish: Row = {"device": "edge-9", "version": 0, "reason": "edge-9: warmer", "state": 0}
    fake.rows.insert("requests", LOOP, "old", row=wish)
    told.world.seen["rows of an earlier release"] += 1


def _surprises(told: Told, days: float) -> None:
    dice, world = told.world.dice, told.world
    for number in range(int(dice.between(0, 4, "drifts"))):
        device, version = f"edge-{number % 2}", int(dice.between(0, 3, "drift version", number))
        when = dice.between(0, days * DAY, "drift", number)
        world.scheduler.at(when, lambda d=device, v=version: told.plant.drift(d, v))  # type: ignore[misc] # bound now
    for number in range(int(dice.between(0, 4, "drifting"))):
        when, sites = dice.between(0, days * DAY, "drifts", number), dice.pick(DRIFTS, "where", number)
        world.scheduler.at(when, partial(told.field.drift, sites))
    for number in range(int(dice.between(0, 3, "by hand"))):
        when = dice.between(0, days * DAY, "by hand", number)
        world.scheduler.at(when, lambda: told.workspace.somebody_registers(LOOP))
    for number in range(8):
        when = dice.between(0, days * DAY, "restart", number)
        world.scheduler.at(when, lambda w=when: world.maybe_restart(w))  # type: ignore[misc] # bound now
    for number in range(4):
        when = dice.between(0, days * DAY, "redeploy", number)
        world.scheduler.at(when, lambda n=number: _redeploy(told, n))  # type: ignore[misc] # bound now


def _pins(told: Told, days: float) -> None:
    """An operator pins a version that somebody made, and lifts the pin."""
    dice, world = told.world.dice, told.world
    if dice.roll("pins") < 0.4:
        first, then = sorted(dice.between(0.4, 1.2, "pin", n) * days * DAY for n in (0, 1))
        world.scheduler.at(first, lambda: _pin(told))
        world.scheduler.at(then, lambda: told.field.pin(0, "all is well") if told.field.pins else None)


def _pin(told: Told) -> None:
    made = [int(one.version) for one in told.world.fake.registry.models.values() if "job" in one.lineage]
    if made:
        told.field.pin(told.world.dice.pick(tuple(made), "which pin"), "an inspection")


def _redeploy(told: Told, number: int) -> None:
    """Somebody changes the loop file; the instances get it one after the other, each with a restart."""
    world = told.world
    if not world.strikes(f"redeploy {number}", (REDEPLOY,)):
        return
    changed = loop(**_policy(world.dice, number))
    told.workspace.most_jobs = max(told.workspace.most_jobs, changed.retrain.jobs_per_day)

    def renew(index: int) -> None:
        if world.calm:
            return
        world.restart(world.instances[index])
        world.instances[index].settings.loops = {LOOP: changed}

    for index in range(len(world.instances)):
        when = world.scheduler.now + world.dice.between(0, 1_800, "renew", number, index)
        world.scheduler.at(when, lambda i=index: renew(i))  # type: ignore[misc] # bound now
