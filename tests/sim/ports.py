"""A port that fails: every method of a fake, behind a boundary at which others go on and faults strike."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from functions.errors import Throttled, Transient
from tests.sim.faults import (
    CONFLICT,
    CRASH_AFTER,
    CRASH_BEFORE,
    DENIED,
    ERROR,
    LATE,
    LOST,
    MEDDLED,
    SLOW,
    STALE,
    THROTTLED,
    TORN,
    Crash,
    Dice,
    kinds,
)

QUICK = (0.005, 0.2)  # seconds that a call takes
LONG = (20.0, 1_200.0)  # seconds that a slow one takes
LAG = 300.0  # seconds that eventually consistent answers are behind


class Boundary(Protocol):
    """What a failing port asks of the world."""

    dice: Dice
    calm: bool  # no faults any more, and nothing races
    lag_s: float  # how far behind the fakes of eventually consistent services answer just now

    def place(self, operation: str) -> str:
        """Name the call that is about to be made."""
        ...

    def meddle(self) -> None:
        """Somebody else does what is about to be done."""
        ...

    def strikes(self, place: str, kinds: tuple[str, ...]) -> str | None: ...

    def pause(self, seconds: float) -> None: ...

    def said(self, place: str, operation: str, outcome: str) -> None:
        """Note what came of a call."""
        ...

    def done(self, operation: str, arguments: tuple[Any, ...], named: dict[str, Any], answer: object) -> None:
        """Look at the world after a call took effect."""
        ...


class Faulty:
    """A port whose every call may fail in every way that its kind can.

    Args:
        world: Where time passes and faults are chosen.
        name: Of the port.
        fake: The cloud in memory that keeps the port's promises.
    """

    def __init__(self, world: Boundary, name: str, fake: object) -> None:
        self._world, self._name, self._fake = world, name, fake

    def __getattr__(self, method: str) -> Callable[..., Any]:
        act, operation = getattr(getattr(self._fake, self._name), method), f"{self._name}.{method}"

        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 # it stands for every method of every port
            def effect() -> object:
                answer = act(*arguments, **named)
                answer = list(answer) if isinstance(answer, Iterator) else answer
                self._world.done(operation, arguments, named, answer)
                return answer

            return self._call(operation, effect)

        return call

    def _call(self, operation: str, effect: Callable[[], object]) -> object:
        world, place = self._world, self._world.place(operation)
        fault = world.strikes(place, kinds(operation))
        before, after = (0.5, 0.5) if world.calm else world.dice.rolls(place)
        world.pause(_within(LONG if fault == SLOW else QUICK, before))
        if fault in (ERROR, CRASH_BEFORE, THROTTLED):
            world.said(place, operation, fault)
            raise _end(fault, operation)
        if fault == MEDDLED:
            world.meddle()
        world.lag_s = LAG if fault == STALE else 0.0
        answer: object = False if fault == CONFLICT else effect()
        world.lag_s = 0.0
        if fault == TORN:
            answer = self._torn(answer, effect, place)
        world.pause(_within(LONG if fault == LATE else QUICK, after))
        world.said(place, operation, fault or _brief(answer))
        if fault in (LOST, CRASH_AFTER):
            raise _end(fault, operation)
        return False if fault == DENIED else answer

    def _torn(self, first: object, again: Callable[[], object], place: str) -> list[Any]:
        """A list in two pages: the first as it was, the second as it is once others have gone on."""
        self._world.pause(self._world.dice.between(*LONG, "page", place))
        second = again()
        assert isinstance(first, Sequence)
        assert isinstance(second, Sequence)
        keys = sorted({_key(one) for one in (*first, *second)})
        border = keys[int(self._world.dice.roll("border", place) * len(keys))] if keys else ""
        return [one for one in first if _key(one) <= border] + [one for one in second if _key(one) > border]


def _within(span: tuple[float, float], part: float) -> float:
    return span[0] + (span[1] - span[0]) * part


def _end(fault: str, operation: str) -> BaseException:
    if fault in (CRASH_BEFORE, CRASH_AFTER):
        return Crash(operation)
    if fault == THROTTLED:
        return Throttled(operation, why="429001 ThrottlingException", fix="ask later", after_s=60)
    why = "the answer was lost" if fault == LOST else "429 Too Many Requests"
    return Transient(operation, why=why, fix="wait for the redelivery")


def _key(one: object) -> str:
    return str(getattr(one, "key", None) or getattr(one, "name", None) or getattr(one, "id", None) or one)


def _brief(answer: object) -> str:
    if isinstance(answer, bool) or answer is None:
        return str(answer)
    return f"{len(answer)} items" if isinstance(answer, list | bytes) else type(answer).__name__
