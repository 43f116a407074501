import json
import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from laptop.flights import LABEL, day_tables
from tests.training.landing import SCHEMA, land, list_in_manifest, manifest, prepare, step, upload
from training.prepare import prepare as prepare_here
from training.schema import DAY, SEGMENT

FIRST, LAST = date(2013, 1, 1), date(2013, 1, 5)


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    land(tmp_path, FIRST, LAST)
    return tmp_path


def in_process(folder: Path) -> None:
    prepare_here(folder / "landing", folder / "training_set", schema=SCHEMA, data=folder / "data")


def swapped(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def days_of(folder: Path, name: str) -> list[str]:
    return sorted(set(pq.read_table(folder / "data" / name)[DAY].to_pylist()))


def test_the_newest_days_are_held_out_at_least_three_and_the_frozen_ones_for_ever(landed: Path) -> None:
    in_process(landed)
    assert days_of(landed, "train.parquet") == ["2013-01-02"]
    assert days_of(landed, "test.parquet") == ["2013-01-01", "2013-01-03", "2013-01-04", "2013-01-05"]
    slices = json.loads((landed / "data" / "split.json").read_text())["slices"]
    assert slices == {"frozen": ["2013-01-01"], "newest": ["2013-01-03", "2013-01-04", "2013-01-05"]}


def test_no_day_is_trained_on_and_held_out(trained: Path) -> None:
    held_out = ["2013-01-09", "2013-01-11", "2013-01-19", "2013-01-20", "2013-01-21"]
    assert days_of(trained, "test.parquet") == held_out
    assert days_of(trained, "train.parquet") == [
        day.isoformat() for n in range(8, 19) if (day := date(2013, 1, n)).isoformat() not in held_out
    ]


def test_exactly_the_files_of_the_manifest_are_read(landed: Path) -> None:
    list_in_manifest(landed, [blob for blob in manifest(landed) if blob["site"] == "lga"])
    in_process(landed)
    expected = sum(table.num_rows for site, _, table in day_tables(FIRST, LAST) if site == "lga")
    tables = [pq.read_table(landed / "data" / name) for name in ("train.parquet", "test.parquet")]
    assert sum(table.num_rows for table in tables) == expected
    assert {segment for table in tables for segment in table[SEGMENT].to_pylist()} == {"lga"}


def test_a_day_that_cannot_be_used_is_skipped_with_the_reason_and_the_others_train(landed: Path) -> None:
    blobs = manifest(landed)
    good = next(day_tables(FIRST, FIRST))[2]
    label = pa.nulls(good.num_rows, pa.bool_())
    blobs += [
        upload(landed, "ewr", "2013-02-01.parquet", good.drop_columns(["temp"])),
        upload(landed, "ewr", "2013-02-02.parquet", good.drop_columns([LABEL])),
        upload(landed, "ewr", "2013-02-03.parquet", swapped(good, LABEL, label)),
        upload(landed, "ewr", "2013-02-04.parquet", swapped(good, "weekday", pc.cast(good["weekday"], pa.string()))),
        upload(landed, "ewr", "2013-02-05.parquet", swapped(good, "weekday", pa.repeat(float("inf"), len(good)))),
        upload(landed, "ewr", "2013-02-06.parquet", swapped(good, LABEL, pa.repeat(float("nan"), len(good)))),
        upload(landed, "ewr", "2013-02-07.parquet", swapped(good, LABEL, pa.repeat(2, len(good)))),
        upload(landed, "ewr", "2013-02-11.parquet", good.append_column("temp", good["dewp"])),
        upload(landed, "ewr", "someday.parquet", good),
        {"name": "flights/ewr/2013-02-08.parquet", "etag": "0x1", "size_bytes": 5, "site": "ewr"},
        {"name": "flights/ewr/../../training_set/2013-02-09.parquet", "etag": "0x1", "size_bytes": 5, "site": "ewr"},
        {"name": "other/ewr/2013-02-10.parquet", "etag": "0x1", "size_bytes": 5, "site": "ewr"},
        {"name": "flights/ewr/2013-02-12.parquet", "path": "/etc/passwd", "size_bytes": 5, "site": "ewr"},
        {"name": "flights/ewr/2013-02-13.parquet", "path": "../training_set/x", "size_bytes": 5, "site": "ewr"},
    ]
    torn = landed / "landing" / "ewr" / "2013-01-02.parquet"
    torn.write_bytes(b"PAR1" + torn.read_bytes()[:-4][4:] + b"????")
    again = landed / "landing" / "jfk" / "2013-01-02.parquet"
    again.write_bytes(again.read_bytes() + b"more")
    list_in_manifest(landed, blobs)
    ran = prepare(landed)
    assert ran.returncode == 0, ran.stderr
    why = dict(line.removeprefix("skipped flights/").split(": ", 1) for line in ran.stdout.splitlines() if ": " in line)
    assert {name: reason.split(": ")[0] for name, reason in why.items() if "/" in name} == {
        "ewr/2013-01-02.parquet": "it is not readable as Parquet",
        "jfk/2013-01-02.parquet": "it was written again",
        "ewr/2013-02-01.parquet": "it has no column temp",
        "ewr/2013-02-02.parquet": "it has no column late",
        "ewr/2013-02-03.parquet": "no row has a 'late'",
        "ewr/2013-02-04.parquet": "weekday holds string, and should hold numbers",
        "ewr/2013-02-05.parquet": "weekday holds a number that is infinite or beyond 3.4e+38",
        "ewr/2013-02-06.parquet": "late holds double, and should hold true and false",
        "ewr/2013-02-07.parquet": "late holds int64, and should hold true and false",
        "ewr/2013-02-11.parquet": "it has 2 columns temp",
        "ewr/someday.parquet": "its name is not a day, such as 2013-02-18.parquet",
        "ewr/2013-02-08.parquet": "it is not there any more",
        "ewr/../../training_set/2013-02-09.parquet": "it is not in the folder flights/",
        "skipped other/ewr/2013-02-10.parquet": "it is not in the folder flights/",
        "ewr/2013-02-12.parquet": "it is not in the folder flights/",
        "ewr/2013-02-13.parquet": "it is not in the folder flights/",
    }


def test_a_file_is_read_where_the_manifest_says_its_version_is_kept(
    landed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_process(landed)
    told = capsys.readouterr().out
    for number, blob in enumerate(blobs := manifest(landed)):
        old, blob["path"] = landed / "landing" / str(blob["name"]).removeprefix("flights/"), f"{number}/kept.parquet"
        (landed / "landing" / str(number)).mkdir()
        old.rename(landed / "landing" / str(blob["path"]))
    list_in_manifest(landed, blobs)
    in_process(landed)
    assert capsys.readouterr().out == told


def test_rows_whose_label_is_still_to_come_are_left_out_and_counted(
    landed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, table = next(day_tables(FIRST, FIRST))
    known = pc.greater(table["hour"], 6)
    blob = upload(landed, "ewr", f"{FIRST}.parquet", swapped(table, LABEL, pc.if_else(known, table[LABEL], None)))
    list_in_manifest(landed, [blob if one["name"] == blob["name"] else one for one in manifest(landed)])
    in_process(landed)
    waiting = pc.sum(pc.invert(known)).as_py()
    assert f"left out {waiting} rows of ewr 2013-01-01: no 'late' yet" in capsys.readouterr().out


def test_a_training_set_without_one_usable_file_fails_and_says_so(landed: Path) -> None:
    shutil.rmtree(landed / "landing")
    ran = prepare(landed)
    assert ran.returncode == 1
    assert ran.stderr == "none of the 15 files of the training set is usable; see the lines above\n"


def test_files_without_the_label_fail_without_a_traceback(landed: Path) -> None:
    blobs = [
        upload(landed, site, f"{day}.parquet", table.drop_columns([LABEL]))
        for site, day, table in day_tables(FIRST, LAST)
    ]
    list_in_manifest(landed, blobs)
    ran = prepare(landed)
    assert ran.returncode == 1
    assert ran.stdout.count("it has no column late") == 15
    assert "Traceback" not in ran.stderr


def test_too_few_days_to_judge_a_model_fail(tmp_path: Path) -> None:
    land(tmp_path, FIRST, date(2013, 1, 3))
    with pytest.raises(SystemExit, match=r"3 days have usable files, and all are held out"):
        in_process(tmp_path)


def test_days_on_which_all_went_the_same_way_have_nothing_to_teach(landed: Path) -> None:
    blobs = [
        upload(landed, site, f"{day}.parquet", swapped(table, LABEL, pa.repeat(0, table.num_rows)))
        for site, day, table in day_tables(FIRST, LAST)
    ]
    list_in_manifest(landed, blobs)
    with pytest.raises(SystemExit, match=r"has the same 'late': there is nothing to learn"):
        in_process(landed)


@pytest.mark.parametrize("text", ["{", '{"blobs": []}', '{"loop": "flights", "blobs": [{}]}'])
def test_a_broken_manifest_fails_and_is_named(landed: Path, text: str) -> None:
    (landed / "training_set" / "manifest.json").write_text(text)
    with pytest.raises(SystemExit, match=r"no usable manifest\.json"):
        in_process(landed)


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "[]",
        '{"label": "late", "features": [], "segment": "site"}',
        '{"label": "late", "features": [{"name": "temp", "kind": "text"}], "segment": "site"}',
        '{"label": "late", "features": [{"name": "late", "kind": "number"}], "segment": "site"}',
        '{"label": "late", "features": [{"name": "a", "kind": "number"}, {"name": "a", "kind": "number"}]}',
        '{"label": "late", "features": [{"name": "a", "kind": "number"}], "segment": "site", "pairs": [["a"]]}',
        '{"label": "late", "features": [{"name": "a", "kind": "number"}], "segment": "site", "contexts": 7}',
    ],
)
def test_a_broken_schema_fails_and_is_named(schema: str) -> None:
    with pytest.raises(SystemExit, match=r"the schema is not usable"):
        SCHEMA.from_json(schema)


def test_a_step_without_its_arguments_says_which() -> None:
    ran = step("prepare", {})
    assert ran.returncode == 2
    assert "--landing, --training-set, --schema, --data" in ran.stderr


def test_the_schema_travels_with_the_rows(trained: Path) -> None:
    assert json.loads((trained / "data" / "schema.json").read_text()) == json.loads(SCHEMA.to_json())
