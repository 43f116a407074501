"""Small stories, told again with every single fault at every call, and with every pair where something changes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from tests.fakes.cloud import FakeCloud
from tests.sim import invariants
from tests.sim.faults import CRASH_AFTER, DENIED, ERROR, KINDS, LOST, MEDDLED, OF_EFFECTS, Plan, Script, kinds
from tests.sim.fleet import Field
from tests.sim.plant import GOOD, SITES, Plant, loop
from tests.sim.story import Told, finish
from tests.sim.workspace import BETTER, HARMFUL, Workspace
from tests.sim.world import HOUR, World

PAIRED = (LOST, CRASH_AFTER, DENIED, ERROR, MEDDLED)  # to crash before a call is to crash after the one before it
SETTLING = (0, 0.2, 12, 26, 38, 52)
TIMERS = ("retrain_on_timer", "count_overlooked_on_timer", "judge_on_timer")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story without dice.

    Args:
        name: What happens.
        tell: Tells it under a plan.
        concerns: How the names of the invocations begin in which faults strike.
    """

    name: str
    tell: Callable[[Plan], Told]
    concerns: tuple[str, ...]

    def singles(self, told: Told) -> Iterator[tuple[str, str]]:
        """Every fault at every call of a telling."""
        return ((place, kind) for place, operation in self._calls(told) for kind in kinds(operation))

    def seconds(self, told: Told, first: str) -> Iterator[tuple[str, str]]:
        """Every fault that matters at every later call that changes something."""
        calls = list(self._calls(told))
        after = next((n for n, (place, _) in enumerate(calls) if place == first), len(calls)) + 1
        for place, operation in calls[after:]:
            if changes(operation):
                yield from ((place, kind) for kind in kinds(operation) if kind in PAIRED)

    def _calls(self, told: Told) -> Iterator[tuple[str, str]]:
        return (call for call in told.world.places if call[0].startswith(self.concerns))


def changes(operation: str) -> bool:
    """Whether a call may change something."""
    return ERROR in KINDS.get(operation, OF_EFFECTS) and LOST in kinds(operation)


def launch(plan: Plan) -> Told:
    """Three files and a wish land while a timer looks five times; a job starts, and is not judged."""
    told = _begin(1, plan, (BETTER,), minutes=(600, 700))
    _upload(told, {0: (10.0, "ewr/1.csv"), 1: (70.0, "jfk/1.csv"), 2: (145.0, "ewr/1.csv")})
    told.world.scheduler.at(20.0, lambda: told.plant.drift("edge-1", 0))
    told.world.every_timer([120, 300, 480, 660, 840], ("retrain_on_timer",))
    told.world.every_timer([500], ("count_overlooked_on_timer",))
    return finish(told, 1_800, SETTLING, TIMERS, checks=(invariants.accounts,))


def verdicts(plan: Plan, seed: int = 1) -> Told:
    """Two jobs end at about the same time, and each is judged by its event and by a timer."""
    told = _begin(seed, plan, (BETTER,), minutes=(60, 61))
    told.workspace.round_s = 2_000
    _upload(told, {0: (0.0, "ewr/0.csv"), 1: (52.0, "ewr/1.csv")})
    told.world.every_timer([30, 76], ("retrain_on_timer",))
    told.world.every_timer([4_300, 4_900], ("judge_on_timer",))
    return finish(told, 2 * HOUR, SETTLING, (*TIMERS, "advance_on_timer"))


def pinned(plan: Plan) -> Told:
    """An operator pins a version, and lifts the pin after one turn, however that ended; then another is rolled out."""
    told = _begin(1, plan, (), minutes=(10, 11))
    told.world.scheduler.at(0.0, partial(told.workspace.have, 1, BETTER))
    told.world.scheduler.at(10_900, partial(told.field.pin, 1, "an inspection"))
    told.world.scheduler.at(12_000, partial(told.field.pin, 0, "all is well"))
    told.world.scheduler.at(13_000, partial(told.workspace.have, 2, BETTER))
    told.field.visits(4 * HOUR, between=(550.0, 700.0))
    told.world.every_timer([600, 7_800, 8_400, 9_000, 9_600, 10_200, 11_400, 13_200], ("advance_on_timer",))
    moments = (0, 0.5, 3, 6, 9, 12, 130)  # by then whoever was away is back
    return finish(told, 4 * HOUR, moments, ("advance_on_timer",), checks=(invariants.fleet,))


def second_attempt(plan: Plan) -> Told:
    """The platform fails a job, and then its second attempt."""
    told = _begin(1, plan, ("failed by the platform",), minutes=(10, 11))
    _upload(told, {0: (0.0, "ewr/0.csv")})
    told.world.every_timer([30, 1_000, 1_200, 1_400], ("retrain_on_timer",))
    told.world.every_timer([900, 1_100, 2_000], ("judge_on_timer",))
    return finish(told, HOUR, SETTLING, TIMERS, checks=(invariants.accounts,))


def _begin(seed: int, plan: Plan, ends: tuple[str, ...], *, minutes: tuple[float, float]) -> Told:
    policy = {"at_least_files": 1, "quiet_for": "1 s", "cool_down": "0 s", "jobs_per_day": 3}
    world = World(seed, plan, loop(**policy), fake=FakeCloud())
    workspace = Workspace(world, ends, minutes)
    told = Told(seed, world, Plant(world), workspace, Field(world, workspace))
    invariants.watch(world)
    return told


def _upload(told: Told, files: Mapping[int, tuple[float, str]]) -> None:
    for number, (when, name) in files.items():
        told.world.scheduler.at(when, partial(told.plant.upload, number, name, GOOD))


def takeback(plan: Plan) -> Told:
    """The second version does harm on the canaries and is taken back; then both are told of again."""
    told = _begin(1, plan, (), minutes=(10, 11))
    told.world.scheduler.at(0.0, partial(told.workspace.have, 1, BETTER))
    told.world.scheduler.at(3 * HOUR, partial(told.workspace.have, 2, HARMFUL))
    told.world.scheduler.at(7 * HOUR, told.workspace.tell_again)
    told.field.visits(8 * HOUR, between=(550.0, 700.0))
    told.world.every_timer(
        [600, 7_800, 8_400, 9_000, 9_600, 10_200, *range(11_400, 26_000, 1_800)], ("advance_on_timer",)
    )
    return finish(
        told, 8 * HOUR, (0, 0.5, 1, 80), ("advance_on_timer",), checks=(invariants.fleet, invariants.taken_back)
    )


def drift(plan: Plan) -> Told:
    """One site's devices drift, a minute later everybody's; two timers look at once; hours later all are calm."""
    told = _begin(1, plan, (), minutes=(10, 11))
    field, at = told.field, told.world.scheduler.at
    for device in field.devices:
        device.serves, device.away = 1, (0.0, 0.0)
    for when, sites in ((0.0, ()), (60.0, ("lga",)), (140.0, SITES), (7_000.0, ())):
        at(when, partial(field.drift, sites))
        for device in field.devices:
            at(when + 5, partial(field.visit, device))
            at(when + 6, partial(field.visit, device))
    told.world.every_timer([80, 81, 150, 155, 900, 7_100, 7_105, 7_400], ("judge_drift_on_timer",))
    checks = (invariants.episodes, invariants.one_episode)
    return finish(told, 2.5 * HOUR, (0, 0.2), ("judge_drift_on_timer",), checks=checks)


def canary_drifts(plan: Plan) -> Told:
    """Only where the second version is tried does something drift, for hours: it is held there, and goes on then."""
    told = _begin(1, plan, (), minutes=(10, 11))
    told.world.scheduler.at(0.0, partial(told.workspace.have, 1, BETTER))
    told.world.scheduler.at(3 * HOUR, partial(told.workspace.have, 2, BETTER))
    told.world.scheduler.at(3.1 * HOUR, partial(told.field.drift, ("lga",)))
    told.world.scheduler.at(6.2 * HOUR, partial(told.field.drift, ()))
    told.field.visits(8 * HOUR, between=(550.0, 700.0))
    told.world.every_timer([600, 7_800, 8_400, 9_000, *range(11_400, 28_000, 1_800)], ("advance_on_timer",))
    checks = (invariants.fleet, invariants.held_for_drift)
    return finish(told, 8 * HOUR, (0, 0.5, 80), ("advance_on_timer",), checks=checks)


SCENARIOS = (
    Scenario("launch", launch, ("upload", "drift", "retrain", "count")),
    Scenario("verdicts", verdicts, ("ended", "judge")),
    Scenario(
        "takeback",
        takeback,
        ("registered 2", *(f"advance_on_timer@{hour}" for hour in (11, 13, 15, 17, 18, 20, 22, 24))),
    ),
    Scenario("pinned", pinned, ("registered 2", "advance_on_timer@11", "advance_on_timer@13")),
    Scenario("drift", drift, ("told", *(f"judge_drift_on_timer@{when}" for when in (9, 15, 7109)))),
    Scenario("canary drifts", canary_drifts, ("advance_on_timer@18",)),
    Scenario("second attempt", second_attempt, ("ended", "judge", "retrain")),
)


def single_faults(scenario: Scenario) -> Iterator[tuple[dict[str, str], Told]]:
    """The story under each single fault."""
    for place, kind in scenario.singles(scenario.tell(Script())):
        yield {place: kind}, scenario.tell(Script({place: kind}))


def pairs(scenario: Scenario, *, part: int = 0, parts: int = 1) -> Iterator[tuple[dict[str, str], Told]]:
    """The story under each pair of faults, or under each of a part of them."""
    calls = [call for call in scenario.tell(Script()).world.places if changes(call[1])]
    firsts = [(p, k) for p, op in calls for k in kinds(op) if k in PAIRED and p.startswith(scenario.concerns)]
    for place, kind in firsts[part::parts]:
        for other, second in scenario.seconds(scenario.tell(Script({place: kind})), place):
            faults = {place: kind, other: second}
            yield faults, scenario.tell(Script(faults))
