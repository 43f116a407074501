"""`refluent drift` on files as strangers have them: what it finds, what it leaves out, and how it refuses."""

import bz2
import gzip
import json
import os
import re
import threading
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from functions.drift.policy import DriftSettings
from functions.errors import Refused
from functions.operator.cli import app
from functions.operator.drift import picture, samples, windows
from functions.operator.drift.columns import Wish
from functions.operator.drift.compare import compare
from functions.operator.drift.source import open_source
from sketch.features import NumberFeature

SECONDS = np.datetime64("2026-03-01T00:00:00", "s")


def rows(seed: int, count: int = 4_000, *, warmer: float = 0.0, late: float = 0.0) -> dict[str, Any]:
    """Readings of a plant, one a minute: a number, a related one, a category and a time."""
    rng = np.random.default_rng(seed)
    temp = rng.normal(20 + warmer, 3, count)
    return {
        "at": SECONDS + np.arange(count) * np.timedelta64(60, "s"),
        "temp": np.where(rng.random(count) < late, np.nan, temp),
        "dewp": temp - rng.gamma(2, 1, count),
        "line": rng.choice(["A", "B", "C"], count, p=[0.6, 0.3, 0.1]),
    }


def parquet(path: Path, content: dict[str, Any]) -> Path:
    pq.write_table(pa.table(content), path)
    return path


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_text(content, encoding=encoding)
    return path


def csv_of(content: dict[str, Any], delimiter: str = ",") -> str:
    names = list(content)
    lines = [delimiter.join(str(value) for value in row) for row in zip(*content.values(), strict=True)]
    return "\n".join([delimiter.join(names), *lines]) + "\n"


def drift(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["drift", *map(str, arguments)], env={"COLUMNS": "200"})


def told(*arguments: object) -> dict[str, Any]:
    result = drift(*arguments, "--json")
    assert result.exit_code in {0, 3, 4}, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["verdict"] == {0: "steady", 3: "drift", 4: "too few"}[result.exit_code]
    return found


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parquet(tmp_path_factory.mktemp("drift") / "usual.parquet", rows(1))


def test_the_same_source_is_steady_and_a_warmer_one_has_drifted_in_temperature(usual: Path, tmp_path: Path) -> None:
    steady = told(usual, parquet(tmp_path / "now.parquet", rows(2)))
    assert (steady["verdict"], steady["explanation"]) == ("steady", None)
    assert (steady["since"], steady["found_at"]) == (None, None)
    found = told(usual, parquet(tmp_path / "warm.parquet", rows(3, warmer=3.0)))
    assert found["feature"] in {"temp", "dewp", "dewp × temp", "temp × dewp"}  # noqa: RUF001 - a multiplication sign
    assert "→" in found["explanation"]
    assert found["features"][0]["name"] in {"temp", "dewp"}
    assert found["features"][0]["deviations"] == pytest.approx(1, abs=0.1)


def test_what_is_printed_names_the_drift_its_windows_and_the_ranking(usual: Path, tmp_path: Path) -> None:
    result = drift(usual, parquet(tmp_path / "gaps.parquet", rows(3, late=0.4)), "--window", 200)
    assert result.exit_code == 3
    assert "drift: temp, share missing: 0 % → 38 %, since row 1" in result.stdout
    assert "0.0 → 39.9 %" in result.stdout
    assert "left out at: it holds times" in result.stdout


def test_windows_may_go_by_time_and_are_named_by_it(usual: Path, tmp_path: Path) -> None:
    content = rows(4, warmer=0.0)
    content["temp"][2_000:] += 6
    found = told(usual, parquet(tmp_path / "now.parquet", content), "--window", "6 hours")
    assert [window["rows"] for window in found["windows"]] == [360] * 11 + [40]
    assert found["since"] >= "2026-03-02T06:00:00"
    assert "since 2026-03-02" in found["explanation"]


@pytest.mark.parametrize(
    ("window", "first", "second"),
    [
        ("1 week", "2026-03-01", "2026-03-08"),
        ("2 days", "2026-03-01", "2026-03-03"),
        ("6 hours", "2026-03-01T06:00:00", "2026-03-01T12:00:00"),
        ("7 hours", "2026-03-01T10:00:00", "2026-03-01T17:00:00"),
        ("45 minutes", "2026-03-01T10:30:00", "2026-03-01T11:15:00"),
        ("month", "2026-03", "2026-04"),
    ],
)
def test_windows_by_time_begin_with_the_file(tmp_path: Path, window: str, first: str, second: str) -> None:
    content = rows(1, 2_000)
    content["at"] = SECONDS + np.timedelta64(40, "m") * np.arange(15, 2_015)  # from 10:00 of a Sunday
    content["at"][0] += np.timedelta64(30, "m")  # the first row is at 10:30, though the second is at 10:40
    found = told(parquet(tmp_path / "a.parquet", content), tmp_path / "a.parquet", "--window", window)
    assert [one["from"] for one in found["windows"][:2]] == [first, second]


def test_json_tells_since_when_and_when_that_was_found(usual: Path, tmp_path: Path) -> None:
    found = told(usual, parquet(tmp_path / "now.parquet", rows(3, warmer=1.0)), "--window", 60)
    assert found["explanation"].endswith(f"since {found['since']}")
    alarms = [window["from"] for window in found["windows"] if window["alarm"]]
    assert (found["since"], found["found_at"]) == ("row 1", alarms[0])
    assert found["found_at"] != "row 1"


def test_a_context_tells_a_warm_night_from_a_day(tmp_path: Path) -> None:
    """Without it the hours make rows resemble each other, and a shift of half their swing is no news."""

    def day(seed: int, count: int, *, warmer: float = 0.0) -> Path:
        content, hour = rows(seed, count), np.arange(count) // 60 % 24
        temp = content["temp"] + 10 * np.sin(hour / 24 * 2 * np.pi) + warmer
        return parquet(tmp_path / f"{seed}.parquet", {**content, "temp": temp, "dewp": hour * 0.0})

    reference, same, warmer = day(1, 20_000), day(2, 6_000), day(3, 6_000, warmer=1.5)
    assert told(reference, same, "--window", 120, "--context", "hour")["verdict"] == "steady"
    assert told(reference, same, "--window", 120)["verdict"] == "steady"
    found = told(reference, warmer, "--window", 120, "--context", "hour")
    assert (found["verdict"], found["feature"]) == ("drift", "temp")
    assert told(reference, warmer, "--window", 120)["verdict"] == "steady"


def test_a_large_file_is_sampled_for_its_grids_and_counted_whole(
    usual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "SAMPLE_ROWS", 700)
    found = told(usual, parquet(tmp_path / "now.parquet", rows(2)))
    assert (found["verdict"], found["reference"]["rows"], found["current"]["rows"]) == ("steady", 4_000, 4_000)


WRITERS: dict[str, Callable[[Path, str], object]] = {
    "plain.csv": lambda path, content: path.write_text(content, encoding="utf-8"),
    "bom.csv": lambda path, content: path.write_text(content, encoding="utf-8-sig"),
    "utf16.csv": lambda path, content: path.write_text(content, encoding="utf-16"),
    "windows.csv": lambda path, content: path.write_bytes(content.replace("\n", "\r\n").encode()),
    "packed.csv.gz": lambda path, content: path.write_bytes(gzip.compress(content.encode())),
    "packed.csv.bz2": lambda path, content: path.write_bytes(bz2.compress(content.encode())),
    "semicolons.csv": lambda path, content: path.write_text(content.replace(",", ";"), encoding="utf-8"),
    "commas.csv": lambda path, content: path.write_text(content.replace(",", ";").replace(".", ","), encoding="utf-8"),
    "tabs.tsv": lambda path, content: path.write_text(content.replace(",", "\t"), encoding="utf-8"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_rows_in_any_spelling_are_the_same_rows(usual: Path, tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, csv_of(rows(1)))
    found = told(usual, tmp_path / name)
    assert found["verdict"] == "steady"
    assert max(one["jensen_shannon"] for one in found["features"]) < 1e-6
    assert {one["name"] for one in found["features"]} >= {"temp", "dewp", "line"}
    again = told(tmp_path / name, usual)
    assert {one["name"]: one["kind"] for one in again["features"]} == {
        one["name"]: one["kind"] for one in found["features"]
    }


def test_a_zip_archive_of_one_file_is_read_and_one_of_two_is_not(usual: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("rows.csv", csv_of(rows(1)))
    assert told(usual, tmp_path / "one.zip")["verdict"] == "steady"
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "x\n1\n")
        archive.writestr("b.csv", "x\n1\n")
    refused = drift(usual, tmp_path / "two.zip").exception
    assert isinstance(refused, Refused)
    assert "several files" in refused.why


def test_columns_of_every_kind_are_compared_or_left_out_with_the_reason(tmp_path: Path) -> None:
    count = 300
    odd = {
        "id": np.arange(count),
        "name": [f"{place:032x}" for place in range(count)],
        "nested": [{"a": 1}] * count,
        "listed": [[1, 2]] * count,
        "bytes": [b"x"] * count,
        "day": [datetime(2026, 3, 1, tzinfo=UTC).date()] * count,
        "nothing": pa.nulls(count),
        "all_missing": pa.array([None] * count, pa.float64()),
        "constant": [7] * count,
        "flag": [True, False, None] * (count // 3),
        "price": [Decimal("1.25"), Decimal("2.50"), None] * (count // 3),
        "coded": pa.array(["x", "y", None] * (count // 3)).dictionary_encode(),
        "huge": [1e308, -1e308, float("inf")] * (count // 3),
        "odd $name_": ["1", "2", "three"] * (count // 3),
        "mine": [1.0] * count,
    }
    theirs = {name: values for name, values in odd.items() if name != "mine"} | {"theirs": [1] * count}
    found = told(
        parquet(tmp_path / "a.parquet", odd), parquet(tmp_path / "b.parquet", theirs), "--plot", tmp_path / "x.png"
    )
    assert found["verdict"] == "steady"
    reasons = {one["column"]: one["reason"] for one in found["left_out"]}
    assert reasons.keys() == {"id", "name", "nested", "listed", "bytes", "day", "mine", "theirs"}
    assert reasons["mine"] == "only the reference has it"
    assert reasons["theirs"] == "only the current file has it"
    assert "rises from row to row" in reasons["id"]
    kinds = {one["name"]: one["kind"] for one in found["features"]}
    assert kinds["flag"] == kinds["coded"] == kinds["odd $name_"] == "category"
    assert kinds["price"] == kinds["nothing"] == "number"
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    asked = told(tmp_path / "a.parquet", tmp_path / "b.parquet", "--column", "id", "--column", "name")
    assert {one["name"] for one in asked["features"]} == {"id", "name"}


def test_text_that_is_mostly_numbers_is_numbers_and_says_so(tmp_path: Path) -> None:
    values = [f"{place % 50}.5" for place in range(1_000)]
    np.random.default_rng(1).shuffle(values)
    mixed = [*values[:-3], "n.n.", "broken", "n.n."]
    found = told(
        text(tmp_path / "a.csv", "x\n" + "\n".join(mixed)), text(tmp_path / "b.csv", "x\n" + "\n".join(values))
    )
    assert found["features"][0]["kind"] == "number"
    assert found["notes"] == ["0.3 % of x's values are no numbers, and count as missing"]


def test_a_column_that_changed_its_type_has_gone_missing(usual: Path, tmp_path: Path) -> None:
    found = told(usual, parquet(tmp_path / "now.parquet", {**rows(2), "temp": ["warm"] * 4_000}))
    temp = next(one for one in found["features"] if one["name"] == "temp")
    assert (found["verdict"], temp["missing"]) == ("drift", [0.0, 1.0])
    assert found["notes"] == ["no value of temp in now.parquet is a number: all count as missing"]


def test_repeated_and_empty_names_ragged_lines_and_no_header_are_read_and_told(tmp_path: Path) -> None:
    ragged = "a,a,\n" + "1,2,3\n" * 60 + "1,2\n" + "4,5,6\n" * 60
    found = told(text(tmp_path / "a.csv", ragged), text(tmp_path / "b.csv", "a,a,\n" + "1,2,3\n4,5,6\n" * 60))
    assert {one["name"] for one in found["features"]} >= {"a", "a (2)", "column 3"}
    assert found["notes"][0] == "1 lines of a.csv are left out: they have not 3 values"
    folded = text(tmp_path / "folded.csv", '"x, y","a\nb"\n' + '"1","he said\n""no"""\n' * 60)
    found = told(folded, folded)
    assert ({one["name"] for one in found["features"]}, found["notes"]) == ({"x, y", "a b"}, [])
    assert told(folded, parquet(tmp_path / "folded.parquet", {"x, y": [1], "a\nb": ["it"]}))["left_out"] == []
    bare = told(text(tmp_path / "c.csv", "1,2\n" * 50), text(tmp_path / "d.csv", "1,2\n" * 50))
    assert "c.csv has no header: its columns are called column 1 to column 2" in bare["notes"]


ABOVE: dict[str, tuple[str, str, int]] = {
    "empty lines": ("\n\n", "x,y\n", 0),
    "comments": ("# by a tool\n# of ours, lately\n", "x,y\n", 2),
    "titles": ("Readings of 2026\nof ours\n\n", "x,y\n", 3),
    "comments like rows": ("# by a tool, lately\n# of, ours\n", "x,y\n", 2),
    "a header that looks like a comment": ("", "#x,y\n", 0),
}


@pytest.mark.parametrize("name", ABOVE)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_may_begin_below_other_lines(tmp_path: Path, name: str, end: str) -> None:
    above, header, told_of = ABOVE[name]
    path = tmp_path / "a.csv"
    path.write_bytes((above + header + "1.5,a\n2.5,b\n" * 60).replace("\n", end).encode())
    found = told(path, path)
    assert ({one["name"].strip("#") for one in found["features"]}, found["current"]["rows"]) == ({"x", "y"}, 120)
    lines = f"what is above the table in a.csv is left out: {told_of} lines"
    assert found["notes"] == ([lines] if told_of else [])


def test_thousands_are_thousands_however_a_file_parts_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole, prices = rng.lognormal(6.5, 1.2, 800).astype(int), rng.lognormal(6, 1.2, 800)

    def written(name: str, number: str) -> Path:
        lines = [f'"{format(whole[place], number)}";"{prices[place]:{number}.2f}"' for place in rng.permutation(800)]
        return text(tmp_path / name, "\n".join(["jobs;price", *lines]))

    plain, parted = written("plain.csv", ""), written("parted.csv", ",")
    assert told(plain, plain)["notes"] == []
    for files in ((plain, parted), (parted, plain)):
        found = told(*files)
        assert (found["verdict"], [one["missing"] for one in found["features"]]) == ("steady", [[0, 0]] * 2)
        (note,) = found["notes"]
        assert note.startswith("in parted.csv commas in jobs are taken to part thousands, ")
        assert note.endswith("; if that is wrong, write decimals with a point")


def test_commas_that_say_nothing_are_what_the_other_file_has(tmp_path: Path) -> None:
    clear = text(tmp_path / "clear.csv", "x\n" + '"1,5"\n"2,75"\n' * 60)
    unclear = text(tmp_path / "unclear.csv", "x\n" + '"1,525"\n"2,775"\n' * 60)
    found = told(clear, unclear)
    assert found["features"][0]["wasserstein"] < 0.1
    (note,) = found["notes"]
    assert (
        "commas in x are taken to part decimals, 1,525 to be 1.525; if that is wrong, write thousands without" in note
    )


def test_times_with_and_without_a_zone_are_compared_and_told(usual: Path, tmp_path: Path) -> None:
    zoned = {**rows(2), "at": pa.array(rows(2)["at"]).cast(pa.timestamp("s", "America/New_York"))}
    now = parquet(tmp_path / "now.parquet", zoned)
    spelled = text(tmp_path / "now.csv", "temp,at\n" + "20.5,2026-03-01 00:00:00+01:00\n" * 60)
    note = "times have a time zone in {}, and none in usual.parquet: those without are taken as UTC"
    assert told(usual, now, "--context", "hour")["notes"] == [note.format("now.parquet")]
    assert told(now, usual, "--window", "6 hours")["notes"] == [note.format("now.parquet")]
    assert told(usual, spelled, "--context", "hour")["notes"] == [note.format("now.csv")]
    assert told(now, spelled, "--context", "hour")["notes"] == []
    assert told(usual, now)["notes"] == []


def test_a_column_that_was_all_missing_and_is_no_more_has_drifted(tmp_path: Path) -> None:
    for name, values in {"names": ["A", "B"] * 200, "numbers": np.arange(400.0) % 7, "ids": np.arange(400)}.items():
        without = parquet(tmp_path / "without.parquet", {"x": pa.nulls(400, pa.string())})
        found = told(without, parquet(tmp_path / f"{name}.parquet", {"x": values}))
        assert (found["verdict"], found["features"][0]["missing"], found["notes"]) == ("drift", [1, 0], []), name


def test_a_delimiter_at_the_end_of_every_row_makes_no_column(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "x,y\n" + "1.5,a,\n2.5,b,\n" * 60)
    found = told(path, path)
    assert ({one["name"] for one in found["features"]}, found["current"]["rows"]) == ({"x", "y"}, 120)
    assert found["notes"] == []


def test_truth_is_truth_however_a_file_spells_it(tmp_path: Path) -> None:
    truth = np.random.default_rng(1).random(400) < 0.6
    spelled = {
        "flags.parquet": truth,
        "whole.parquet": truth.astype(int),
        "halves.parquet": pa.array([None, *map(float, truth[1:])]),
        "text.parquet": np.where(truth, "True", "FALSE"),
    }
    paths = [parquet(tmp_path / name, {"late": values}) for name, values in spelled.items()]
    for reference in (paths[0], paths[3]):
        for current in paths:
            assert told(reference, current)["features"][0]["jensen_shannon"] < 0.05
    found = told(paths[0], parquet(tmp_path / "other.parquet", {"late": ["maybe"] * 400}))
    assert (found["verdict"], found["features"][0]["unseen"]) == ("drift", [0.0, 1.0])


def test_texts_as_newer_writers_store_them_are_texts(tmp_path: Path) -> None:
    views = pa.table({"line": pa.array(["A", "B"] * 100, pa.string_view()), "x": range(0, 400, 2)})
    pq.write_table(views, tmp_path / "views.parquet")
    assert told(tmp_path / "views.parquet", tmp_path / "views.parquet")["features"][0]["kind"] == "category"


def test_a_pipe_is_read_like_a_file(usual: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(usual.read_bytes()))
    writer.start()
    found = told(usual, tmp_path / "pipe")
    writer.join()
    assert (found["verdict"], found["current"]["rows"]) == ("steady", 4_000)
    assert found["current"]["file"] == str(tmp_path / "pipe")
    result = CliRunner().invoke(app, ["drift", "-", str(usual), "--json"], input=usual.read_bytes())
    assert json.loads(result.stdout)["reference"] == {**found["reference"], "file": "-"}


def test_rows_of_contexts_that_the_reference_has_not_are_told(usual: Path, tmp_path: Path) -> None:
    now = {**rows(2), "line": ["D"] * 2_000 + ["A"] * 2_000}
    found = told(usual, parquet(tmp_path / "now.parquet", now), "--context", "line")
    assert "50 % of now.parquet's rows are of no line that usual.parquet has kept" in found["notes"][0]
    timeless = parquet(tmp_path / "timeless.parquet", {"temp": rows(2)["temp"]})
    assert told(usual, timeless, "--context", "hour")["notes"][0].startswith("100 % of timeless.parquet's rows")


@pytest.mark.parametrize("count", [1, 2])
def test_a_reference_of_hardly_a_row_says_nothing_rather_than_steady(usual: Path, tmp_path: Path, count: int) -> None:
    result = drift(parquet(tmp_path / "tiny.parquet", rows(1, count)), usual)
    assert result.exit_code == 4
    assert "the reference is too small to tell anything" in result.stdout


def test_where_no_change_could_have_been_found_that_is_not_steady(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    few = parquet(tmp_path / "few.parquet", {"x": rng.normal(0, 1, 8), "line": ["A", "B"] * 4})
    elsewhere = parquet(tmp_path / "elsewhere.parquet", {"x": rng.normal(99, 1, 3_000), "line": ["Z"] * 3_000})
    result = drift(few, elsewhere)
    assert result.exit_code == 4
    assert "no change, however large, could have been found with these" in result.stdout
    more = parquet(tmp_path / "more.parquet", {"x": rng.normal(0, 1, 24), "line": ["A", "B"] * 12})
    assert told(more, elsewhere)["verdict"] == "drift"


def test_a_reference_whose_rows_are_alike_says_in_which_columns_it_says_little(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    price, weight = np.sort(rng.lognormal(8, 1, 4_000)), rng.normal(3, 1, 4_000)
    ordered = parquet(tmp_path / "ordered.parquet", {"price": price, "weight": weight})
    order = rng.permutation(4_000)
    dearer = {"price": price[order] * 1.5, "weight": weight[order]}
    found = told(ordered, parquet(tmp_path / "now.parquet", dearer))
    (note,) = found["notes"]
    assert found["verdict"] == "steady"
    assert note.startswith("the 4,000 rows of ordered.parquet are so alike, in the order they come, that they count as")
    assert re.search(r"few independent ones, \d+ of price: only large changes could show there", note)
    shuffled = parquet(tmp_path / "shuffled.parquet", {"price": rng.permutation(price), "weight": weight})
    found = told(shuffled, tmp_path / "now.parquet")
    assert (found["verdict"], found["feature"], found["notes"]) == ("drift", "price", [])


@pytest.mark.parametrize("count", [1, 2, 17, 40])
def test_tiny_files_are_no_drift_and_few_say_so(tmp_path: Path, count: int) -> None:
    tiny = parquet(tmp_path / "tiny.parquet", rows(1, count))
    assert told(tiny, tiny)["verdict"] == ("too few" if count < 40 else "steady")


BROKEN: dict[str, bytes] = {
    "empty.csv": b"",
    "blank.csv": b"\n\n",
    "header.csv": b"temp,line\n",
    "cut.parquet": b"PAR1" + b"\0" * 40,
    "noise.bin": bytes(range(256)) * 20,
    "cut.csv.gz": gzip.compress(b"temp\n" + b"1\n" * 5_000)[:-20],
    "sheet.xlsx": b"PK\x03\x04" + b"\0" * 100,
    "wider.csv": b"temp,line\n" + b"1,A,3\n" * 100,
    "narrower.csv": b"temp\n" + b"1,5\n" * 100,
    "rows.jsonl": b'{"temp": 1}\n' * 100,
    "page.csv": b"<html>not found</html>",
    "late.csv": b"temp\n" + b"1\n" * 200_000 + b"\xff\xfe\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_table_is_refused_by_name_with_reason_and_fix(usual: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    for arguments in ((usual, tmp_path / name), (tmp_path / name, usual)):
        refused = drift(*arguments).exception
        assert isinstance(refused, Refused), refused
        assert name in refused.what
        assert refused.why
        assert refused.fix


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--column", "pressure"), r"no column 'pressure'.*because: its columns are at, temp"),
        (("--context", "pressure"), r"no column 'pressure'"),
        (("--context", "temp"), r"'temp' is no context.*not whole"),
        (("--score", "line2"), r"no column 'line2'"),
        (("--score", "line"), r"'line' holds no scores"),
        (("--time", "temp"), r"'temp' holds no times"),
        (("--window", "3 fortnights"), r"'3 fortnights' is no window"),
        (("--window", "0 s"), r"'0 s' is no window"),
        (("--window", "1 s"), r"too many windows"),
        (("--column", "at"), r"cannot be compared.*at: it holds times"),
        (("--plot", "/nowhere/x.png"), r"picture /nowhere/x.png cannot be written.*no folder /nowhere"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    usual: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(windows, "MOST_TIMES", 100)
    refused = drift(usual, usual, *arguments).exception
    assert isinstance(refused, Refused), refused
    with pytest.raises(Refused, match=f"(?s){said}"):
        raise refused


def test_scores_are_watched_when_their_column_is_named(usual: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    reference = parquet(tmp_path / "r.parquet", {**rows(1), "p": rng.beta(2, 5, 4_000)})
    now = parquet(tmp_path / "n.parquet", {**rows(2), "p": rng.beta(3, 3, 4_000)})
    found = told(reference, now, "--score", "p")
    assert (found["feature"], found["features"][0]["name"]) == ("score", "score")
    assert usual.exists()


@pytest.mark.parametrize("largest", [60.0, 130.0, 5_000.0, 400_000.0])
def test_evidence_of_any_size_has_a_few_ticks_at_powers_of_ten(largest: float) -> None:
    ticks = picture.powers(5.0, largest)
    assert ticks[:2] == [0, 5]
    assert 3 <= len(ticks) <= 8
    assert largest / 4 < ticks[-1] <= largest
    assert all(later >= 2 * earlier for earlier, later in pairwise(ticks))


@pytest.mark.parametrize("score", ["", "p"])
def test_a_column_called_score_is_drawn_as_itself(tmp_path: Path, score: str) -> None:
    rng = np.random.default_rng(1)
    content = {"score": rng.normal(70, 3, 400), "p": rng.beta(2, 5, 400)}
    path = parquet(tmp_path / "a.parquet", content)
    source = open_source(path, path)
    found = compare(
        source,
        source,
        Wish(score=score),
        settings=DriftSettings(scores=bool(score)),
        progress=lambda _: nullcontext(lambda _: None),
    )
    drawn = [feature for feature, _ in picture.farthest(found) if feature.name == "score"]
    lows = sorted(feature.low for feature in drawn if isinstance(feature, NumberFeature))
    assert [low > 50 for low in lows] == ([False, True] if score else [True])


@pytest.mark.parametrize("names", [300, 900])
def test_names_that_come_a_few_times_each_are_no_drift(tmp_path: Path, names: int) -> None:
    rng = np.random.default_rng(names)
    one, other = ({"plane": rng.integers(0, names, 5_000).astype(str)} for _ in range(2))
    found = told(parquet(tmp_path / "a.parquet", one), parquet(tmp_path / "b.parquet", other))
    assert found["verdict"] == "steady"
    assert max(window["evidence"] for window in found["windows"]) < 100


@pytest.mark.parametrize("seed", range(5))
def test_two_halves_of_one_file_in_any_order_are_steady(tmp_path: Path, seed: int) -> None:
    content = rows(7, 3_000)
    order = np.random.default_rng(seed).permutation(3_000)
    halves = [
        {name: np.asarray(values)[half] for name, values in content.items()} for half in (order[:1_500], order[1_500:])
    ]
    one, other = (parquet(tmp_path / f"{place}.parquet", half) for place, half in enumerate(halves))
    assert told(one, other)["verdict"] == "steady"
