from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from laptop.flights import FEATURES, LABEL, SITES, WEATHER, day_tables, outcomes, requests

NEW_YEAR = date(2013, 1, 1)


def test_every_site_has_a_file_for_every_day_of_the_first_weeks() -> None:
    files = [(site, day) for site, day, _ in day_tables(NEW_YEAR, date(2013, 1, 28))]
    assert len(set(files)) == len(files) == 84
    assert files[:4] == [("ewr", NEW_YEAR), ("jfk", NEW_YEAR), ("lga", NEW_YEAR), ("ewr", date(2013, 1, 2))]


def test_the_year_is_whole() -> None:
    tables = [table for _, _, table in day_tables(date(2012, 12, 1), date(2014, 1, 31))]
    assert sum(table.num_rows for table in tables) == 336_776 - 9_430  # all flights, without those that never arrived


def test_a_file_has_the_features_and_the_label_and_nothing_else() -> None:
    _, _, table = next(day_tables(NEW_YEAR, NEW_YEAR))
    assert table.column_names == [*FEATURES, LABEL]
    assert table[LABEL].null_count == 0


def test_the_first_flight_of_the_year_is_joined_to_the_weather_at_its_airport_and_hour() -> None:
    _, _, table = next(day_tables(NEW_YEAR, NEW_YEAR))
    first = table.slice(0, 1).to_pylist()[0]
    # UA 1545 to Houston, due out of Newark at 5:15 on a Tuesday, came 11 minutes late; the observation is that of 5:00.
    timetable = {"weekday": 2, "hour": 5, "carrier": "UA", "dest": "IAH", "distance": 1400, "late": False}
    weather = {"temp": 39.02, "dewp": 28.04, "humid": 64.43, "wind_dir": 260, "pressure": 1011.9, "wind_gust": None}
    assert timetable.items() | weather.items() <= first.items()


def test_late_means_fifteen_minutes_or_more() -> None:
    _, _, jfk = list(day_tables(NEW_YEAR, NEW_YEAR))[1]
    assert (jfk.num_rows, sum(jfk[LABEL].to_pylist())) == (295, 71)


def test_weather_that_was_not_observed_is_missing_and_the_flight_stays() -> None:
    rows = [row for batch in requests("ewr", NEW_YEAR) for row in batch]
    unknown = [row for row in rows if row["temp"] is None]
    assert all(row[name] is None for row in unknown for name in WEATHER)
    assert any(row["wind_gust"] is None for row in rows)


@pytest.mark.parametrize("site", SITES)
def test_requests_ask_for_every_scheduled_flight_in_order_of_the_hour(site: str) -> None:
    batches = requests(site, date(2013, 2, 9))  # after a snow storm: many flights were cancelled
    hours = [{row["hour"] for row in batch} for batch in batches]
    assert all(len(hour) == 1 for hour in hours)
    assert _firsts(hours) == sorted(_firsts(hours))
    landed = [table for place, _, table in day_tables(date(2013, 2, 9), date(2013, 2, 9)) if place == site]
    assert sum(len(batch) for batch in batches) > sum(table.num_rows for table in landed)


def test_a_request_does_not_give_the_answer_away() -> None:
    assert set(requests("lga", NEW_YEAR)[0][0]) == set(FEATURES)


def test_what_comes_of_a_request_is_what_lands_the_day_after() -> None:
    asked = [row for batch in requests("lga", NEW_YEAR) for row in batch]
    came = outcomes("lga", NEW_YEAR)
    ((_, _, landed),) = [file for file in day_tables(NEW_YEAR, NEW_YEAR) if file[0] == "lga"]
    assert len(came) == len(asked) > landed.num_rows
    kept = [{**row, LABEL: late} for row, late in zip(asked, came, strict=True) if late is not None]
    assert kept == landed.to_pylist()


def test_a_day_outside_the_year_has_no_flights() -> None:
    assert requests("lga", date(2014, 1, 1)) == []
    assert list(day_tables(date(2014, 1, 1), date(2014, 1, 2))) == []


def test_the_kept_table_gives_the_same_files(tmp_path: Path) -> None:
    joined = list(day_tables(NEW_YEAR, date(2013, 1, 3)))
    kept = list(day_tables(NEW_YEAR, date(2013, 1, 3), cache_folder=tmp_path / "cache"))
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["flights-2013.parquet"]
    assert [(site, day) for site, day, _ in joined] == [(site, day) for site, day, _ in kept]
    assert all(one.equals(other) for (_, _, one), (_, _, other) in zip(joined, kept, strict=True))


def _firsts(hours: Sequence[set[object]]) -> list[int]:
    return [int(str(next(iter(hour)))) for hour in hours]
