"""Files as sites upload them, small and sound; a test breaks what it needs broken."""

import io
from collections.abc import Mapping
from functools import cache

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

NUMBERS = ("weekday", "hour", "distance", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip")
FLIGHTS: Mapping[str, list[object]] = {
    **{name: [1.0, 2.0, 3.0] for name in (*NUMBERS, "pressure", "visib")},
    "carrier": ["UA", "AA", None],
    "dest": ["IAH", "MIA", "IAH"],
    "late": [True, False, None],
}


@cache
def flights(rows: int = 3) -> bytes:
    """A day of the loop flight-delays."""
    return parquet(**{name: (values * rows)[:rows] for name, values in FLIGHTS.items()})


def parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def comma_separated(**columns: object) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(pa.table(columns), sink)
    return sink.getvalue()
