"""What can go wrong, where, and how often: every choice is a number that a seed and a place give."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol


class Crash(BaseException):
    """The process dies here: no handler can catch it."""


# Of a call of a port
ERROR = "error"  # 429, 503 or a timeout: it was not done
LOST = "lost"  # it was done, and the answer was lost
DENIED = "taken for another's"  # it was done, the SDK tried again, and the second try met the first one's work
CONFLICT = "conflict"  # a compare-and-swap is refused although nothing that matters changed
CRASH_BEFORE = "crash before"
CRASH_AFTER = "crash after"
SLOW = "slow"  # minutes pass before it is done
LATE = "slow answer"  # it was done, and minutes pass before the answer comes
TORN = "torn list"  # a list's pages are of different moments
MEDDLED = "number taken"  # somebody else takes the name just before
THROTTLED = "throttled"  # the hub answers so many requests a minute
STALE = "stale"  # an answer of some minutes ago, from what the service calls eventually consistent

# Of the world
DROP = "event dropped"
REPEAT = "event repeated"
DELAY = "event delayed"
RESTART = "host restarted"
TWICE = "timer on two instances"
SKIP = "timer skipped"
REDEPLOY = "loop file changed"

OF_READS = (ERROR, CRASH_BEFORE, CRASH_AFTER, SLOW)
OF_LISTS = (*OF_READS, TORN)
OF_EFFECTS = (ERROR, LOST, CRASH_BEFORE, CRASH_AFTER, SLOW, LATE)
OF_CONDITIONAL = (*OF_EFFECTS, DENIED)
KINDS: Mapping[str, tuple[str, ...]] = {  # what is not named here is an effect
    "rows.get": OF_READS,
    "rows.find": OF_LISTS,
    "rows.columns": OF_LISTS,
    "rows.insert": OF_CONDITIONAL,
    "rows.replace": (*OF_CONDITIONAL, CONFLICT),
    "rows.write_all": (*OF_CONDITIONAL, CONFLICT),
    "blobs.create": OF_CONDITIONAL,
    "blobs.read": OF_READS,
    "blobs.facts": OF_READS,
    "blobs.list": OF_LISTS,
    "trainer.outcome": OF_READS,
    "registry.get": OF_READS,
    "registry.versions": (*OF_LISTS, STALE),
    "registry.register": (*OF_EFFECTS, MEDDLED),
    "fleet.progress": (*OF_READS, STALE, THROTTLED),
    "fleet.apply": (*OF_EFFECTS, THROTTLED),
    "fleet.delete": (*OF_EFFECTS, THROTTLED),
    "fleet.deployments": (*OF_READS, THROTTLED),
    "fleet.devices": (*OF_READS, THROTTLED),
    "fleet.sites": (*OF_READS, THROTTLED),
}
OF_THE_WORLD = (DROP, REPEAT, DELAY, RESTART, TWICE, SKIP, REDEPLOY)
FREQUENCY = {
    DROP: 5.0,
    REPEAT: 5.0,
    DELAY: 5.0,
    RESTART: 10.0,
    TWICE: 25.0,
    SKIP: 3.0,
    REDEPLOY: 8.0,
    CONFLICT: 8.0,
    MEDDLED: 100.0,
    STALE: 15.0,
    THROTTLED: 15.0,
}
OF_CALLS = tuple(dict.fromkeys(kind for kinds in (*KINDS.values(), OF_EFFECTS) for kind in kinds))


def kinds(operation: str) -> tuple[str, ...]:
    """The faults that a call may meet."""
    return KINDS.get(operation, OF_EFFECTS)


@dataclass(frozen=True, slots=True)
class Dice:
    """Numbers in [0, 1) that depend on the seed and on what they are for: leaving one fault out moves no other."""

    seed: int

    def roll(self, *place: object) -> float:
        """A number for a place, the same whenever it is asked for."""
        return self.rolls(*place)[0]

    def rolls(self, *place: object) -> tuple[float, float]:
        """Two numbers for a place."""
        number = int.from_bytes(blake2b(f"{self.seed}{place}".encode(), digest_size=12).digest())
        return (number >> 48) / 2**48, (number & (2**48 - 1)) / 2**48

    def pick[T](self, options: tuple[T, ...], *place: object) -> T:
        """One of several."""
        return options[int(self.roll(*place) * len(options))]

    def between(self, low: float, high: float, *place: object) -> float:
        """A number of a range."""
        return low + (high - low) * self.roll(*place)


class Plan(Protocol):
    """Which faults strike."""

    injected: dict[str, str]

    def strikes(self, place: str, kinds: tuple[str, ...]) -> str | None:
        """The fault that strikes at a place, of the kinds possible there."""
        ...


@dataclass
class Swarm:
    """Some kinds of faults, each at a rate of its own: both are the seed's choice."""

    dice: Dice
    rates: Mapping[str, float] = field(default_factory=dict)
    injected: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        intensity = self.dice.pick((0.003, 0.01, 0.03, 0.1), "intensity")
        chosen = [kind for kind in OF_CALLS + OF_THE_WORLD if self.dice.roll("chosen", kind) < 0.5]
        rates = {kind: intensity * self.dice.between(0.2, 1.0, "rate", kind) for kind in chosen}
        self.rates = {kind: rate * FREQUENCY.get(kind, 1.0) for kind, rate in rates.items()}

    def strikes(self, place: str, kinds: tuple[str, ...]) -> str | None:
        left = self.dice.roll("fault", place)
        for kind in kinds:
            left -= self.rates.get(kind, 0.0)
            if left < 0:
                self.injected[place] = kind
                return kind
        return None


@dataclass
class Script:
    """Exactly these faults."""

    faults: Mapping[str, str] = field(default_factory=dict)
    injected: dict[str, str] = field(default_factory=dict)

    def strikes(self, place: str, kinds: tuple[str, ...]) -> str | None:
        kind = self.faults.get(place)
        if kind in kinds:
            self.injected[place] = kind
            return kind
        return None
