"""NCRONTAB, the schedule language of timer triggers: six fields, seconds first, UTC.

Day of month and day of week must both match, unlike in cron. Source: github.com/atifaziz/NCrontab, six-part format.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Self

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (  # name, smallest, largest, names
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)
_HORIZON_DAYS = 8 * 366 + 1  # 29 February can be eight years away


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a timer fires.

    Args:
        times: Times of day, as (seconds, minutes, hours), each ascending.
        days: Days of the month.
        months: Months, 1 to 12.
        weekdays: Days of the week, 0 is Sunday.
    """

    times: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, expression: str) -> Self:
        """Read an expression such as `0 */5 * * * *`; five fields mean second 0.

        Raises:
            ValueError: It is not one, or it never fires.
        """
        fields = expression.split()
        if len(fields) == len(_FIELDS) - 1:
            fields.insert(0, "0")
        if len(fields) != len(_FIELDS):
            raise ValueError(
                f"{expression!r} has {len(fields)} fields instead of 6: second minute hour day month weekday"
            )
        seconds, minutes, hours, days, months, weekdays = (
            _numbers(text, *field) for text, field in zip(fields, _FIELDS, strict=True)
        )
        schedule = cls((seconds, minutes, hours), days, months, weekdays)
        if next(schedule._days(datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
            raise ValueError(f"{expression!r} names a day that never comes")
        return schedule

    def after(self, moment: datetime) -> datetime:
        """The first occurrence later than a moment, in UTC."""
        moment = moment.astimezone(UTC)
        for day in self._days(moment):
            for at in self._times(moment.time() if day.date() == moment.date() else time.min):
                due = datetime.combine(day, at, UTC)
                if due > moment:
                    return due
        raise ValueError("the schedule has no further occurrence")

    def shortest_gap(self, moment: datetime) -> timedelta:
        """The time between the next two occurrences."""
        first = self.after(moment)
        return self.after(first) - first

    def _days(self, moment: datetime) -> Iterator[datetime]:
        start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (start + timedelta(days=ahead) for ahead in range(_HORIZON_DAYS)):
            if day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays:
                yield day

    def _times(self, since: time) -> Iterator[time]:
        seconds, minutes, hours = self.times
        for hour, minute in itertools.product(hours, minutes):
            if (hour, minute) >= (since.hour, since.minute):
                yield from (time(hour, minute, second) for second in seconds)


def _numbers(text: str, name: str, smallest: int, largest: int, names: dict[str, int]) -> tuple[int, ...]:
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no {name}")
        first = smallest if match["first"] is None else _number(match["first"], names)
        open_ended = match["first"] is None or match["step"]
        last = _number(match["last"], names) if match["last"] else largest if open_ended else first
        if not smallest <= first <= last <= largest or match["step"] == "0":
            raise ValueError(f"{part!r} is no {name} between {smallest} and {largest}")
        numbers.update(range(first, last + 1, int(match["step"] or 1)))
    return tuple(sorted(numbers))


def _number(text: str, names: dict[str, int]) -> int:
    number = names.get(text.lower()[:3], None if not text.isdecimal() else int(text))
    if number is None:
        raise ValueError(f"{text!r} is neither a number nor a name")
    return number
