"""NCRONTAB: what the real scheduler does, by example, and what must hold for every expression."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.host.ncrontab import Schedule

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("expression", "first", "second"),
    [
        ("0 */5 * * * *", "2026-11-22T12:05:00", "2026-11-22T12:10:00"),
        ("*/15 * * * * *", "2026-11-22T12:00:15", "2026-11-22T12:00:30"),
        ("0 30 9 * * *", "2026-11-23T09:30:00", "2026-11-24T09:30:00"),
        ("0 0 0 * * Mon-Fri", "2026-11-23T00:00:00", "2026-11-24T00:00:00"),
        ("0 0 0 1 Jan *", "2027-01-01T00:00:00", "2028-01-01T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00", "2032-02-29T00:00:00"),
        ("5,10 0 12-13 * * *", "2026-11-22T12:00:05", "2026-11-22T12:00:10"),
        ("0 10/20 * * * *", "2026-11-22T12:10:00", "2026-11-22T12:30:00"),
        ("*/5 * * * *", "2026-11-22T12:05:00", "2026-11-22T12:10:00"),
        ("0 0 0 13 * Fri", "2027-08-13T00:00:00", "2028-10-13T00:00:00"),  # both days must match, unlike in cron
    ],
)
def test_a_schedule_fires_when_the_real_one_does(expression: str, first: str, second: str) -> None:
    schedule = Schedule.parse(expression)
    one = schedule.after(NOON)
    assert [one, schedule.after(one)] == [datetime.fromisoformat(f"{at}+00:00") for at in (first, second)]


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "60 * * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 31 2 *", "* * * * * 7", "*/0 * * * * *",
     "5-1 * * * * *", "x * * * * *", "@hourly", "0 0 0 L * *", "1, * * * * *", "-1 * * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Schedule.parse(expression)


FIELDS = [(0, 59), (0, 59), (0, 23), (1, 28), (1, 12)]


@st.composite
def expressions(draw: st.DrawFn) -> str:
    fields = []
    for smallest, largest in FIELDS:
        first = draw(st.integers(smallest, largest))
        last = draw(st.integers(first, largest))
        step = draw(st.integers(1, 30))
        fields.append(
            draw(st.sampled_from(["*", f"*/{step}", str(first), f"{first}-{last}", f"{first}-{last}/{step}"]))
        )
    return " ".join([*fields, "*"])


@given(expression=expressions(), moment=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)))  # noqa: DTZ001 - aware below
def test_the_next_occurrence_is_later_and_none_lies_between(expression: str, moment: datetime) -> None:
    schedule, at = Schedule.parse(expression), moment.replace(tzinfo=UTC)
    due = schedule.after(at)
    assert due > at
    assert due.microsecond == 0
    assert schedule.after(due - timedelta(microseconds=1)) == due
    halfway = at + (due - at) / 2
    assert schedule.after(halfway) == due
