"""A simulated cloud and the app in it: instances that race, events that go astray, and time that a seed decides."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

from azure.functions import Blueprint
from greenlet import getcurrent, greenlet

import functions.drift.trigger
import functions.operator.trigger
import functions.promotion.trigger
import functions.retraining.trigger
import functions.rollout.trigger
from functions.errors import LoopError
from functions.loops import Loop
from functions.wiring import Cloud, using
from tests.fakes.cloud import FakeCloud
from tests.sim.faults import DELAY, DROP, REPEAT, RESTART, SKIP, TWICE, Crash, Dice, Plan
from tests.sim.ports import Faulty
from tests.sim.scheduler import Scheduler

START = datetime(2026, 3, 2, tzinfo=UTC)
INSTANCES = 3
PATIENCE = 30.0  # seconds that Event Grid waits for an answer
BACK_OFF = (10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0)  # seconds between its tries, then it gives up
HOUR, DAY = 3_600.0, 86_400.0
SLICES = (
    functions.retraining.trigger,
    functions.promotion.trigger,
    functions.rollout.trigger,
    functions.drift.trigger,
    functions.operator.trigger,
)


class Violation(AssertionError):
    """An invariant does not hold."""


def need(holds: object, invariant: str) -> None:
    """Fail unless something holds; begins with the invariant's name."""
    if not holds:
        raise Violation(invariant)


def timers() -> dict[str, Callable[[object], None]]:
    """Every timer of the app by its name, as the host finds them."""
    found = {}
    for module in SLICES:
        blueprint: Blueprint = module.blueprint
        for builder in blueprint._function_builders:
            function = builder._function
            trigger = function.get_trigger()
            if trigger and trigger.get_dict_repr()["type"] == "timerTrigger":
                found[str(function.get_function_name())] = function.get_user_function()
    return found


TIMERS = timers()


@dataclass
class Invocation:
    """One run of one function on one instance."""

    name: str
    instance: "Instance"
    calls: int = 0
    ended: str = ""


class SimSettings:
    """Settings of the fake app, with loops that the simulation replaces."""

    def __init__(self, fake: FakeCloud, loops: dict[str, Loop]) -> None:
        self._settings, self.loops = fake.settings, loops
        self.requests_at_once = 1  # no threads: the schedule is the seed's

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # it stands for every setting
        return getattr(self._settings, name)


class Instance:
    """One instance of the app: its clock is a little wrong, and its loop files may be older than its neighbours'.

    Args:
        world: Where it runs.
        number: Which one it is.
        skew_s: Seconds that its clock is ahead.
        loops: The loop files it was deployed with.
    """

    def __init__(self, world: "World", number: int, *, skew_s: float, loops: dict[str, Loop]) -> None:
        self.world, self.number, self.skew_s = world, number, skew_s
        self.settings = SimSettings(world.fake, loops)
        ports = [one.name for one in fields(FakeCloud) if one.name not in ("settings", "clock")]
        self.ports = {name: Faulty(world, name, world.fake) for name in ports}

    def __getattr__(self, name: str) -> Faulty | None:
        return None if getattr(self.world.fake, name) is None else self.ports[name]

    def now(self) -> datetime:
        return self.world.time(self.skew_s)


@dataclass
class Trace:
    """What happened, one line each; its hash says whether two runs were the same."""

    lines: list[str] = field(default_factory=list)
    digest: Any = field(default_factory=sha256)

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.digest.update(line.encode())


class World:
    """Everything outside the handlers.

    Args:
        seed: Decides the schedule, and whatever the plan leaves to dice.
        plan: Decides which faults strike.
        loop: The loop file at the start.
        fake: The cloud in memory.
    """

    def __init__(self, seed: int, plan: Plan, loop: Loop, *, fake: FakeCloud) -> None:
        self.dice, self.plan, self.fake, self.loop = Dice(seed), plan, fake, loop
        self.scheduler, self.trace = Scheduler(), Trace()
        self.seen: Counter[str] = Counter()  # what "sometimes" happened
        self.places: list[tuple[str, str]] = []  # every call: where, and what
        self.dead: list[tuple[str, Callable[[], object], Callable[[], object]]] = []  # given up by Event Grid
        self.meddler: Callable[[], object] = lambda: None  # what somebody else does, at the worst of times
        self.calm = False  # no faults any more
        self.watchers: list[Callable[[str, tuple[Any, ...], object], None]] = []
        self._running: dict[greenlet, Invocation] = {}
        self.lag_s = 0.0
        skews = [self.dice.between(-300, 300, "skew", n) if self.dice.roll("skewed") < 0.5 else 0 for n in range(3)]
        self.instances = [
            Instance(self, number, skew_s=skews[number], loops={loop.name: loop}) for number in range(INSTANCES)
        ]

    # What failing ports ask

    def place(self, operation: str) -> str:
        run = self._running[getcurrent()]
        run.calls += 1
        place = f"{run.name}/{run.calls}"
        if not self.calm:
            self.places.append((place, operation))
        return place

    def strikes(self, place: str, kinds: tuple[str, ...]) -> str | None:
        fault = None if self.calm else self.plan.strikes(place, kinds)
        if fault:
            self.seen[fault] += 1
        return fault

    def meddle(self) -> None:
        self.meddler()

    def pause(self, seconds: float) -> None:
        if not self.calm:
            self.scheduler.pause(seconds)

    def said(self, place: str, operation: str, outcome: str) -> None:
        self.trace.add(f"{self.scheduler.now:>12.3f}  {place}  {operation}  {outcome}")

    def done(self, operation: str, arguments: tuple[Any, ...], named: dict[str, Any], answer: object) -> None:
        for watch in self.watchers:
            watch(operation, (*arguments, *named.values()), answer)

    # What happens to the app

    def time(self, skew_s: float = 0.0) -> datetime:
        return START + timedelta(seconds=self.scheduler.now + skew_s)

    def running(self) -> Invocation | None:
        """The invocation that is calling; None outside of all."""
        return self._running.get(getcurrent())

    def invoke(self, name: str, act: Callable[[], object], *, when: float, ended: Callable[[str], None]) -> Invocation:
        """Run a function on some instance; `ended` hears "done", "failed" or "crashed"."""
        run = Invocation(name, self.instances[int(self.dice.roll("instance", name) * INSTANCES)])

        def work() -> None:
            self._running[getcurrent()] = run
            try:
                with using(cast("Cloud", run.instance)):
                    act()
                run.ended = "done"
            except Crash:
                run.ended = "crashed"
            except (LoopError, ExceptionGroup) as problem:
                _, others = ExceptionGroup("", [problem]).split(LoopError)
                need(not others, f"{name} raised {problem!r}")
                run.ended = f"failed: {problem}".splitlines()[0]
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as bug:
                raise Violation(f"{name} raised {bug!r}") from bug
            finally:
                self._running.pop(getcurrent(), None)
            self.trace.add(f"{self.scheduler.now:>12.3f}  {name}  {run.ended} on {run.instance.number}")
            ended(run.ended.partition(":")[0])

        self.scheduler.begin(work, when)
        return run

    def restart(self, instance: Instance) -> None:
        """Everything that runs on an instance dies where it stands."""
        for thread, run in list(self._running.items()):
            if run.instance is instance:
                self.seen["died in a restart"] += 1
                self.scheduler.kill(thread, Crash("restart"))

    def tick(self, when: float, name: str, timer: Callable[[object], None]) -> None:
        """A timer fires: usually on one instance."""
        label = f"{name}@{when:.0f}"
        if self.strikes(label, (SKIP,)):
            return
        for copy in ("", "b")[: 2 if self.strikes(f"{label} b", (TWICE,)) else 1]:
            start = when + self.dice.between(0, 0.4, "start", label, copy)
            self.invoke(f"{label}{copy}", lambda: timer(None), when=start, ended=lambda _: None)

    def deliver(self, label: str, act: Callable[[], object], *, heard: Callable[[], object] = lambda: None) -> bool:
        """Event Grid: at least once, in no order, with patience; or, as seldom as a fault wants it, never.

        Args:
            label: Names the event; the same in every run of a seed.
            act: Calls the handler with the message.
            heard: Hears that some delivery was acknowledged.

        Returns:
            Whether it will be delivered.
        """
        now = self.scheduler.now
        if self.strikes(f"{label} lost", (DROP,)):
            return False
        wait = 6 * HOUR if self.strikes(f"{label} late", (DELAY,)) else 20.0
        self._try(label, act, now + self.dice.between(0, wait, "delivery", label), heard=heard, tries=1)
        if self.strikes(f"{label} again", (REPEAT,)):
            when = now + self.dice.between(0, 6 * HOUR, "repetition", label)
            self._try(f"{label} again", act, when, heard=heard, tries=1)
        return True

    def replay(self) -> None:
        """An operator sends what was dead-lettered once more."""
        dead, self.dead = self.dead, []
        for label, act, heard in dead:
            self._try(f"{label} replayed", act, self.scheduler.now, heard=heard, tries=1)

    def _try(
        self, label: str, act: Callable[[], object], when: float, *, heard: Callable[[], object], tries: int
    ) -> None:
        asked: list[str] = []  # whether the next try was arranged

        def again() -> None:
            if asked:
                return
            asked.append("again")
            if tries > len(BACK_OFF):
                self.seen["dead-lettered"] += 1
                self.dead.append((label, act, heard))
                return
            self.seen["redelivered"] += 1
            self._try(label, act, self.scheduler.now + BACK_OFF[tries - 1], heard=heard, tries=tries + 1)

        def ended(how: str) -> None:
            if how == "done":
                heard()
                if self.scheduler.now - when > PATIENCE:
                    self.seen["answered too late"] += 1
            else:
                again()

        run = self.invoke(f"{label}~{tries}", act, when=when, ended=ended)
        self.scheduler.at(when + PATIENCE, lambda: None if run.ended else again())

    def maybe_restart(self, when: float) -> None:
        """Some instance may be restarted at a time."""
        if self.strikes(f"restart@{when:.0f}", (RESTART,)):
            self.restart(self.dice.pick(tuple(self.instances), "victim", when))

    def every_timer(self, moments: Sequence[float], names: Collection[str] = ()) -> None:
        """Let every timer, or those named, fire at each of some moments, in any order."""
        for moment in moments:
            for name, timer in TIMERS.items():
                if names and name not in names:
                    continue
                when = moment + self.dice.between(0, 20, "order", name, moment)
                self.scheduler.at(when, lambda name=name, timer=timer, when=when: self.tick(when, name, timer))  # type: ignore[misc] # bound now
