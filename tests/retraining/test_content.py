import io
import pickle
import zipfile
from collections.abc import Mapping

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as pq

from functions.errors import Poison
from functions.loops import Data
from functions.retraining import content
from functions.retraining.content import look_into
from functions.retraining.schema import File, check
from tests.files import comma_separated, parquet

COLUMNS: Mapping[str, object] = {
    "hour": {"type": "number", "whole": True, "min": 0, "max": 23, "nulls": 0.0},
    "temp": {"type": "number", "min": -40, "max": 60, "nulls": 0.4},
    "carrier": {"type": "category", "values": ["UA", "AA"]},
    "late": {"type": "label"},
}
SOUND: Mapping[str, list[object]] = {
    "hour": [3, 14, 23],
    "temp": [-3.5, None, 21.25],
    "carrier": ["UA", "AA", None],
    "late": [True, False, None],
}


def declared(**data: object) -> Data:
    return Data.model_validate({"columns": COLUMNS, "formats": ["parquet", "csv"], **data})


def judged(name: str, file: bytes, data: Data | None = None) -> File | None:
    data = data or declared()
    found = look_into(name, len(file), lambda start, length: file[start : start + length], data=data)
    if found:
        check(name, found, data)
    return found


def refused(name: str, file: bytes, data: Data | None = None) -> Poison:
    with pytest.raises(Poison) as told:
        judged(name, file, data)
    assert told.value.fix
    return told.value


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("day.parquet", b"0" * 10_000_000)
    return packed.getvalue()


WHOLE = parquet(**SOUND)
STRANGE = {
    "a pickle": pickle.dumps(SOUND),
    "a web page": b"<!DOCTYPE html><html><body>401 Unauthorized</body></html>",
    "a zip bomb": zip_bomb(),
    "cut in half": WHOLE[: len(WHOLE) // 2],
    "four bytes": b"PAR1",
    "only its frame": b"PAR1" * 3,
    "damaged inside": WHOLE[:20] + bytes(100) + WHOLE[120:],
    "nothing": b"",
}


@pytest.mark.parametrize("write", [parquet, comma_separated], ids=["parquet", "csv"])
def test_a_sound_file_is_accepted_with_its_rows(write: object) -> None:
    assert callable(write)
    name = "day.parquet" if write is parquet else "day.csv"
    found = judged(name, write(**SOUND, note=["x", "y", "z"]))
    assert found is not None
    assert (found.rows, found.exact) == (3, True)


@pytest.mark.parametrize("what", STRANGE)
def test_what_only_bears_the_name_of_a_parquet_file_is_refused(what: str) -> None:
    problem = refused("site/day.parquet", STRANGE[what])
    assert problem.code == "DATA_FORMAT"
    assert "site/day.parquet" in problem.what


@pytest.mark.parametrize("what", ["a pickle", "a zip bomb", "a web page", "nothing"])
def test_what_only_bears_the_name_of_a_csv_file_is_refused(what: str) -> None:
    assert refused("day.csv", STRANGE[what]).code in ("DATA_FORMAT", "DATA_SCHEMA", "DATA_ROWS")


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"hour": [3, 14, 24]}, "DATA_RANGE", "column hour: expected whole numbers from 0 to 23, found 3 to 24"),
        ({"hour": [3.0, 14.5, 23.0]}, "DATA_RANGE", "found 3 to 23, not all whole"),
        ({"temp": [-3.5, None, float("inf")]}, "DATA_RANGE", "from -40 to 60, found -3.5 to inf"),
        ({"temp": [None, None, 1.0]}, "DATA_NULLS", "expected at most 40.0% of the rows without a value, found 66.7%"),
        ({"temp": [float("nan"), None, 1.0]}, "DATA_NULLS", "found 66.7%"),
        ({"carrier": ["UA", "ZZ", None]}, "DATA_VALUES", "expected one of 'AA', 'UA', found 'ZZ'"),
        ({"carrier": [1, 2, 3]}, "DATA_SCHEMA", "expected one that holds a category, found int64"),
        ({"hour": ["3", "14", "23"]}, "DATA_SCHEMA", "expected one that holds a number, found string"),
        ({"late": [0, 1, 2]}, "DATA_SCHEMA", "expected one that holds a label, found int64"),
        ({"late": None}, "DATA_SCHEMA", "found only 'carrier', 'hour', 'temp'"),
        ({name: [] for name in SOUND}, "DATA_ROWS", "expected 1 to 1,000,000 rows, found 0"),
    ],
)
def test_a_refusal_names_column_expected_and_found(changes: dict[str, object], code: str, said: str) -> None:
    columns = {name: values for name, values in {**SOUND, **changes}.items() if values is not None}
    problem = refused("day.parquet", parquet(**columns))
    assert problem.code == code
    assert said in problem.why


def test_a_csv_file_is_held_to_the_same_schema() -> None:
    hot = comma_separated(**{**SOUND, "temp": [-3.5, 99.5, 21.25]})
    assert "found -3.5 to 99.5" in refused("day.csv", hot).why
    text = b"hour,temp,carrier,late\n3,warm,UA,true\n"
    problem = refused("day.csv", text)
    assert (problem.code, "'warm'" in problem.why) == ("DATA_FORMAT", True)
    assert refused("day.csv", b"hour,temp,carrier\n3,1,UA\n").code == "DATA_SCHEMA"


def test_a_column_that_comes_twice_is_refused() -> None:
    sink = io.BytesIO()
    arrays = [pa.array(values) for values in SOUND.values()]
    pq.write_table(pa.Table.from_arrays([*arrays, arrays[0]], names=[*SOUND, "hour"]), sink)
    assert refused("day.parquet", sink.getvalue()).what == "day.parquet has 2 columns hour"


def test_numbers_zero_and_one_are_a_label_and_names_by_index_are_a_category() -> None:
    columns = {**SOUND, "late": [0, 1, None], "carrier": pa.array(["UA", "AA", "UA"]).dictionary_encode()}
    assert judged("day.parquet", parquet(**columns))


def test_a_file_of_a_format_that_the_loop_does_not_take_is_refused_unless_it_takes_any() -> None:
    problem = refused("day.npz", b"numbers", declared())
    assert (problem.code, "['parquet', 'csv']" in problem.why) == ("DATA_FORMAT", True)
    assert judged("day.npz", b"numbers", declared(formats=["any"])) is None
    assert judged("day.parquet", b"not looked into", declared(formats=["any"])) is None


def test_a_file_with_too_many_rows_is_refused_before_they_are_read() -> None:
    many = parquet(**{name: values * 400 for name, values in SOUND.items()})
    assert "found 1,200" in refused("day.parquet", many, declared(at_most_rows=1_000)).why


def test_of_a_large_file_only_footer_and_first_rows_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [{**SOUND, "hour": [number % 24] * 3} for number in range(60)]
    sink, fetched = io.BytesIO(), list[int]()
    with pq.ParquetWriter(sink, pa.table(groups[0]).schema) as writer:
        for group in groups:
            writer.write_table(pa.table({**group, "temp": [-3.5, 7.25, 21.25]}))
        writer.write_table(pa.table({**SOUND, "hour": [3, 14, 24], "temp": [1.0, 2.0, 3.0]}))
    file = sink.getvalue()
    monkeypatch.setattr(content, "WHOLE_BYTES", 1)

    def read(start: int, length: int) -> bytes:
        fetched.append(length)
        return file[start : start + length]

    found = look_into("day.parquet", len(file), read, data=declared())
    assert found is not None
    assert found.rows == 183
    assert (found.columns["hour"].most, found.columns["hour"].rows) == (24.0, 183)
    with pytest.raises(Poison, match="found 0 to 24"):
        check("day.parquet", found, declared())


def test_the_head_of_a_large_csv_file_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "WHOLE_BYTES", 1)
    monkeypatch.setattr(content, "HEAD_BYTES", 2_000)
    file = b"hour,temp,carrier,late\n" + b"13,21.5,UA,true\n" * 1_000
    found = judged("day.csv", file)
    assert found is not None
    assert not found.exact
    assert 950 <= found.rows <= 1_050


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(WHOLE)))
def test_a_damaged_file_is_accepted_or_refused_and_nothing_else(at: int, byte: int, cut: int) -> None:
    damaged = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    for file in (damaged, damaged[:cut]):
        try:
            judged("day.parquet", file)
        except Poison as problem:
            assert problem.code.startswith("DATA_")  # noqa: PT017 # most files are refused, some are not
