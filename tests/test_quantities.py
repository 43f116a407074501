"""Spans, sizes and hours as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.quantities import hours, lasting, size, span, spelled

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(("text", "means"), [("64 MB", 64_000_000), ("1.5 KB", 1_500), ("2GB", 2 * 10**9), ("7 B", 7)])
def test_a_size_reads_as_written(text: str, means: int) -> None:
    assert size(text) == means


@pytest.mark.parametrize("text", ["64", "64 mb", "-1 MB", "many MB", 65, None, "1 TB"])
def test_what_is_no_size_says_what_is_one(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size such as"):
        size(text)


def test_bytes_are_spelled_as_a_person_reads_them() -> None:
    assert [spelled(n) for n in (0, 999, 1_000, 12_345_678, 3 * 10**9)] == ["0 B", "999 B", "1 KB", "12.35 MB", "3 GB"]


def test_spans_are_told_in_hours_or_seconds() -> None:
    assert [lasting(timedelta(seconds=n)) for n in (0, 59, 3_600, 2 * 86_400)] == ["0 s", "59 s", "1 hours", "48 hours"]


def test_a_span_reads_as_written() -> None:
    assert (span("10 min"), span("1.5 hours")) == (timedelta(minutes=10), timedelta(minutes=90))
    assert (span("1 minute"), span("30 seconds"), span("2 weeks")) == (
        timedelta(minutes=1),
        timedelta(seconds=30),
        timedelta(days=14),
    )


@pytest.mark.parametrize(
    ("text", "at", "until"),
    [
        ("Mon-Fri 08:00-18:00", timedelta(days=1, hours=8), timedelta(days=1, hours=18)),
        ("Mon-Fri 08:00-18:00", timedelta(days=1, hours=18), None),
        ("Mon-Fri 08:00-18:00", timedelta(days=6, hours=12), None),
        ("Fri-Mon 08:00-18:00", timedelta(hours=9), timedelta(hours=18)),
        ("Fri-Mon 08:00-18:00", timedelta(days=3, hours=9), None),
        ("22:00-06:00", timedelta(hours=5), timedelta(hours=6)),
        ("22:00-06:00", timedelta(hours=23), timedelta(days=1, hours=6)),
        ("Sat 22:00-06:00", timedelta(hours=5), timedelta(hours=6)),
        ("Sun 22:00-06:00", timedelta(hours=5), None),
        ("Sun 00:00-24:00", timedelta(hours=23, minutes=59), timedelta(days=1)),
    ],
)
def test_hours_end_when_they_say_also_over_midnight_and_over_the_weekend(
    text: str, at: timedelta, until: timedelta | None
) -> None:
    assert hours(text).until(SUNDAY + at) == (None if until is None else SUNDAY + until)


@pytest.mark.parametrize("text", ["8-18", "Mon 08:00", "Mon-Fry 08:00-18:00", "08:00-08:00", "20:00-24:30", "", None])
def test_what_is_no_stretch_of_hours_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="stretch"):
        hours(text)
