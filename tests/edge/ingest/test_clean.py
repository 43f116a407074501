import io
import json
from pathlib import Path

import pytest
from pyarrow import parquet as pq

from edge.errors import Misconfigured
from edge.ingest.clean import Unclean, clean
from edge.ingest.schema import Column, Schema, schema_from
from functions.loops import read
from functions.retraining.content import look_into
from functions.retraining.schema import check
from tests.files import comma_separated, flights, parquet

SCHEMA = Schema(
    {
        "hour": Column("number", whole=True, min=0, max=23, nulls=0.0),
        "temp": Column("number", min=-40, max=60, nulls=0.4),
        "carrier": Column("category", values=("UA", "AA")),
        "late": Column("label"),
    },
    at_most_rows=1_000,
)
SOUND: dict[str, list[object]] = {
    "late": [True, False, None],
    "note": ["a", "b", "c"],
    "carrier": ["UA", "AA", None],
    "temp": [-3.5, float("nan"), 21.25],
    "hour": [3, 14, 23],
}
CLEAN = {
    "hour": [3, 14, 23],
    "temp": [-3.5, None, 21.25],
    "carrier": ["UA", "AA", None],
    "late": [True, False, None],
}


@pytest.mark.parametrize("write", [parquet, comma_separated], ids=["parquet", "csv"])
def test_a_file_comes_out_with_the_loops_columns_in_its_order_and_of_its_types(write: object) -> None:
    assert callable(write)
    name = "day.parquet" if write is parquet else "day.csv"
    cleaned = clean(name, write(**SOUND), SCHEMA)
    assert cleaned == clean(name, write(**SOUND), SCHEMA)
    table = pq.read_table(io.BytesIO(cleaned.content))
    assert (table.to_pydict(), cleaned.rows) == (CLEAN, 3)
    assert [str(kind) for kind in table.schema.types] == ["int64", "double", "string", "bool"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hour": [3, 14, 24]}, "hour holds 3 to 24; 0 to 23 is taken"),
        ({"hour": [3.0, 14.5, 23.0]}, "hour holds numbers that are not whole"),
        ({"hour": [3, None, 23]}, "hour is missing in 33.3% of the rows; 0.0% may be"),
        ({"temp": [0.0, float("inf"), 1.0]}, "and nothing infinite"),
        ({"temp": ["warm", "cold", "mild"]}, "temp holds string, and should hold numbers"),
        ({"carrier": ["UA", "ZZ", None]}, "carrier holds 'ZZ'; UA, AA are taken"),
        ({"carrier": [1, 2, 3]}, "carrier holds int64, and should hold names"),
        ({"late": [0, 1, 2]}, "late holds int64, and should hold true and false, or 0 and 1"),
        ({"late": None}, "it has no column late; it has note, carrier, temp, hour"),
        ({name: [] for name in SOUND}, "it has 0 rows; 1 to 1,000 are taken"),
        ({name: values * 400 for name, values in SOUND.items()}, "it has 1,200 rows"),
    ],
)
def test_a_refusal_names_column_expected_and_found(changes: dict[str, list[object]], said: str) -> None:
    columns = {name: values for name, values in {**SOUND, **changes}.items() if values is not None}
    with pytest.raises(Unclean) as told:
        clean("day.parquet", parquet(**columns), SCHEMA)
    assert said in str(told.value)


@pytest.mark.parametrize("name", ["day.parquet", "day.csv", "day.xlsx"])
@pytest.mark.parametrize("content", [b"", b"<html>", b"PAR1" * 4, bytes(range(256)), parquet(**SOUND)[:200]])
def test_what_is_no_file_of_its_kind_is_unclean(name: str, content: bytes) -> None:
    with pytest.raises(Unclean):
        clean(name, content, SCHEMA)


def test_what_comes_out_is_admitted_by_the_cloud() -> None:
    loop = Path("tests/loops/flight-delays.toml")
    data = read(loop).data
    content = clean("day.parquet", flights(), schema_from(str(loop))).content
    found = look_into("day.parquet", len(content), lambda start, length: content[start : start + length], data=data)
    assert found is not None
    check("day.parquet", found, data)


def test_a_schema_is_read_from_a_loop_file_a_json_file_or_json(tmp_path: Path) -> None:
    text = json.dumps({"columns": {"hour": {"type": "number", "whole": True, "min": 0}}, "at_most_file_size": "2 MB"})
    (tmp_path / "schema.json").write_text(text)
    expected = Schema({"hour": Column("number", whole=True, min=0)}, 1_000_000, 2_000_000)
    assert schema_from(text) == schema_from(str(tmp_path / "schema.json")) == expected
    assert list(schema_from("tests/loops/flight-delays.toml").columns) == list(
        read(Path("tests/loops/flight-delays.toml")).data.columns
    )


@pytest.mark.parametrize(
    "given",
    [
        "absent.json",
        "{",
        "{}",
        '{"columns": {}}',
        '{"columns": {"a": {"type": "date"}}}',
        '{"columns": {"a": {"type": "number", "unit": "F"}}}',
        '{"columns": {"a": {"type": "number"}}, "at_most_file_size": "big"}',
    ],
)
def test_what_is_no_schema_ends_the_start(given: str) -> None:
    with pytest.raises(Misconfigured, match="INGEST_SCHEMA is no schema"):
        schema_from(given)
