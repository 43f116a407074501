"""Which events a subscription wants: event types, subject, and Azure's advanced filters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from laptop.event_grid.envelope import Published

type Value = str | float | bool  # what a filter compares with; float includes int

FILTERS_MAX = 25
VALUES_MAX = 25  # over all filters of a subscription
TEXT_MAX = 512  # characters of one value


def _texts(compare: Callable[[str, str], bool]) -> Callable[[object, Value], bool]:
    return lambda found, wanted: isinstance(found, str) and compare(found.lower(), str(wanted).lower())


def _numbers(compare: Callable[[float, float], bool]) -> Callable[[object, Value], bool]:
    def holds(found: object, wanted: Value) -> bool:
        return isinstance(found, int | float) and not isinstance(found, bool) and compare(found, float(wanted))

    return holds


_OPERATORS: Mapping[str, Callable[[object, Value], bool]] = {
    "StringIn": _texts(lambda found, wanted: found == wanted),
    "StringBeginsWith": _texts(lambda found, wanted: found.startswith(wanted)),
    "StringEndsWith": _texts(lambda found, wanted: found.endswith(wanted)),
    "StringContains": _texts(lambda found, wanted: wanted in found),
    "NumberIn": _numbers(lambda found, wanted: found == wanted),  # codespell:ignore
    "NumberGreaterThan": _numbers(lambda found, wanted: found > wanted),
    "NumberGreaterThanOrEquals": _numbers(lambda found, wanted: found >= wanted),
    "NumberLessThan": _numbers(lambda found, wanted: found < wanted),
    "NumberLessThanOrEquals": _numbers(lambda found, wanted: found <= wanted),
    "BoolEquals": lambda found, wanted: isinstance(found, bool) and found is wanted,
}
_NEGATIONS: Mapping[str, str] = {
    "StringNotIn": "StringIn",
    "StringNotBeginsWith": "StringBeginsWith",
    "StringNotEndsWith": "StringEndsWith",
    "StringNotContains": "StringContains",
    "NumberNotIn": "NumberIn",  # codespell:ignore
}
_ENVELOPE_KEYS: Mapping[str, str] = {  # filter key → name in Event Grid's schema, name in CloudEvents
    "id": "id id",
    "topic": "topic source",
    "source": "topic source",
    "subject": "subject subject",
    "eventtype": "eventType type",
    "type": "eventType type",
    "dataversion": "dataVersion dataschema",
}


@dataclass(frozen=True, slots=True)
class Advanced:
    """One advanced filter: it holds when any of its values does; a negated one, when none does.

    Texts compare without regard to case. A key that an event lacks fails every operator but the negated ones.

    Args:
        operator: One of Azure's operators, such as ``StringIn``.
        key: An envelope field (``subject``, ``eventType``) or a path into the data (``data.api``, two levels at most).
        values: What to compare with.

    Raises:
        ValueError: The service would refuse it, or this relay does not know the operator.
    """

    operator: str
    key: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        root, *path = self.key.lower().split(".")
        if self.operator not in _OPERATORS and self.operator not in _NEGATIONS:
            raise ValueError(
                f"advanced filter operator {self.operator!r} is not supported by this relay; "
                f"use one of {', '.join(sorted([*_OPERATORS, *_NEGATIONS]))}"
            )
        if not (root == "data" and 1 <= len(path) <= 2) and (path or root not in _ENVELOPE_KEYS):  # noqa: PLR2004 - the service's two levels
            raise ValueError(
                f"advanced filter key {self.key!r} is neither an envelope field nor at most two levels into data; "
                "use a key such as subject, data.api or data.runTags.loop"
            )
        if not self.values or any(len(str(value)) > TEXT_MAX for value in self.values):
            raise ValueError(f"advanced filter on {self.key!r} needs values of at most {TEXT_MAX} characters")

    def holds(self, event: Published) -> bool:
        """Whether an event passes."""
        found = _look_up(event, self.key)
        positive = _NEGATIONS.get(self.operator, self.operator)
        any_holds = any(_OPERATORS[positive](found, value) for value in self.values)
        return any_holds is (positive == self.operator)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscription selects; an empty part selects everything. Texts compare without regard to case.

    Args:
        event_types: Types wanted.
        subject_begins_with: What the subject must start with.
        subject_ends_with: What it must end with.
        advanced: All of these must hold.

    Raises:
        ValueError: There are more advanced filters or values than the service takes.
    """

    event_types: tuple[str, ...] = ()
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    advanced: tuple[Advanced, ...] = ()

    def __post_init__(self) -> None:
        if len(self.advanced) > FILTERS_MAX or sum(len(one.values) for one in self.advanced) > VALUES_MAX:
            raise ValueError(
                f"a subscription takes at most {FILTERS_MAX} advanced filters with {VALUES_MAX} values in all; "
                "split it into several subscriptions"
            )

    def selects(self, event: Published) -> bool:
        """Whether the subscription wants this event."""
        subject = event.subject.lower()
        return (
            (not self.event_types or event.type.lower() in {wanted.lower() for wanted in self.event_types})
            and subject.startswith(self.subject_begins_with.lower())
            and subject.endswith(self.subject_ends_with.lower())
            and all(one.holds(event) for one in self.advanced)
        )


def _look_up(event: Published, key: str) -> object:
    """The value under a filter key, or None; data keys, too, match without regard to case."""
    root, *path = key.lower().split(".")
    if root != "data":
        event_grid_name, cloud_name = _ENVELOPE_KEYS[root].split()
        name = event_grid_name if event.schema == "eventgrid" else cloud_name
        return event.topic if name == "topic" else event.body.get(name)
    found: object = event.body.get("data")
    for step in path:
        if not isinstance(found, Mapping):
            return None
        found = next((value for name, value in found.items() if str(name).lower() == step), None)
    return found
