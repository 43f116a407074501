"""Spans, sizes and hours as a loop file spells them, and as the program counts with them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

_SPANS = {
    "s": "seconds",
    "second": "seconds",
    "min": "minutes",
    "minute": "minutes",
    "hour": "hours",
    "day": "days",
    "week": "weeks",
}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=3_650)  # a moment so long before or after another is one that a calendar has


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of the day that comes back on some days of the week, in UTC.

    Args:
        days: Weekdays on which it begins; Monday is 0.
        start: Since midnight.
        end: Since midnight of the same day; beyond a day if it ends on the next.
    """

    days: frozenset[int]
    start: timedelta
    end: timedelta

    def until(self, now: datetime) -> datetime | None:
        """When the stretch that `now` lies in ends; None outside of it."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for begun in (midnight - _DAY, midnight):
            if begun.weekday() in self.days and begun + self.start <= now < begun + self.end:
                return begun + self.end
        return None


def span(text: object) -> timedelta:
    """Read "30 s", "10 min", "1 hour", "2 days" or "1 week"; at most ten years."""
    match = re.fullmatch(rf"(\d+(?:\.\d+)?) ?({'|'.join(_SPANS)})s?", text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is not a span such as '30 s', '10 min', '1 hour', '2 days' or '1 week'")
    if float(match[1]) > _LONGEST / timedelta(**{_SPANS[match[2]]: 1}):
        raise ValueError(f"{text:.40} is longer than {_LONGEST.days} days, ten years")
    return timedelta(**{_SPANS[match[2]]: float(match[1])})


def size(text: object) -> int:
    """Read "64 MB" as bytes; a kB is 1,000 of them."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(B|KB|MB|GB)", text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is not a size such as '500 KB', '64 MB' or '2 GB'")
    return round(float(match[1]) * _SIZES[match[2]])


def hours(text: object) -> Hours:
    """Read "Mon-Fri 08:00-18:00", "Sun 00:00-24:00", or "22:00-06:00" for every day."""
    day = f"({'|'.join(_DAYS)})"
    pattern = rf"(?:{day}(?:-{day})? )?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)"
    match = re.fullmatch(pattern, text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is no stretch such as 'Mon-Fri 08:00-18:00', 'Sun 00:00-24:00' or '22:00-06:00'")
    start, end = (timedelta(hours=int(match[n]), minutes=int(match[n + 1])) for n in (3, 5))
    if end > _DAY or start == end:
        raise ValueError(f"{text!r}: a day ends at 24:00, and a stretch does not end where it begins")
    return Hours(_weekdays(match[1], match[2]), start, end if end > start else end + _DAY)


def spelled(size_bytes: int) -> str:
    """Write bytes as a person reads them."""
    unit = next((unit for unit in reversed(_SIZES) if size_bytes >= _SIZES[unit]), "B")
    return f"{size_bytes / _SIZES[unit]:.4g} {unit}"


def lasting(length: timedelta) -> str:
    """A span as people are told of it: "26 hours", "40 s"."""
    hours = length.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours >= 1 else f"{length.total_seconds():.0f} s"


def _weekdays(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return frozenset((begin + n) % 7 for n in range((end - begin) % 7 + 1))


def _many_hours(texts: object) -> Sequence[Hours]:
    if not isinstance(texts, list):
        raise ValueError(f"{texts!r} is no list of stretches such as ['Mon-Fri 08:00-18:00']")  # noqa: TRY004  # pydantic reports a ValueError
    return tuple(hours(text) for text in texts)


Span = Annotated[timedelta, BeforeValidator(span)]
Size = Annotated[int, BeforeValidator(size)]
ManyHours = Annotated[tuple[Hours, ...], BeforeValidator(_many_hours)]
