import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from functions.errors import Refused
from functions.loops import Identity, Loop, Module, Ring, each, load, read

SAMPLE = Path("loops/flight-delays.toml")


def changed(folder: Path, old: str, new: str) -> Path:
    text = SAMPLE.read_text(encoding="utf-8")
    assert old in text
    path = folder / "flight-delays.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_sample_loop_reads_as_it_is_written() -> None:
    loop = load(SAMPLE.parent)["flight-delays"]
    assert loop.loop.sites == ["ewr", "jfk", "lga"]
    assert loop.retrain.quiet_for == timedelta(seconds=2)
    assert loop.data.label == "late"
    assert loop.data.features["carrier"] == "category"
    assert [ring.name for ring in loop.rollout.ring] == ["canary", "everywhere"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('quiet_for = "2 s"', 'quiet_for = "3 fortnights"', r"retrain\.quiet_for"),
        ("jobs_per_day = 3", "jobs_per_day = 0", r"retrain\.jobs_per_day.*because: Input should be greater"),
        ("jobs_per_day = 3", "jobs_a_day = 3", r"retrain\.jobs"),
        ("confidence = 0.95", "confidence = 95", r"gate\.confidence"),
        ('type = "label"', 'type = "number"', "one label"),
        ('"visib"]', '"visibility"]', r"drift\.features is not usable.*does not have: \['visibility'\]"),
        ('"visib"]', '"visib", "temp"]', r"drift\.features is not usable.*twice: temp"),
        ("window_rows = 2_000", "window_rows = 2000000000000000000000", r"drift\.window_rows.*10000000"),
        ("scores = false", 'window_at_most = "5000000 days"', r"drift\.window_at_most.*longer than 3650 days"),
        ("scores = false", 'window_at_most = "400 days"', r"drift\.window_at_most.*longer than 366 days"),
        ('lateness = "0 s"', 'lateness = "40 days"', r"drift\.lateness.*longer than 31 days"),
        ("calm_windows = 3", "calm_windows = 1_000_000", r"drift\.calm_windows.*10000"),
        ("scores = false", 'pairs = [["temp", "temp"]]', "two different features"),
        ("scores = false", 'pairs = [["temp", "carrier"]]', "two different features"),
        ("scores = false", 'pairs = [["temp", "dewp"], ["dewp", "temp"]]', "names a pair twice"),
        ("scores = false", 'pairs = [["temp"]]', r"drift\.pairs"),
        ("scores = false", 'contexts = ["hour", "hour"]', "a column twice"),
        ("scores = false", 'contexts = ["late"]', "neither a feature nor the site"),
        ("scores = false", 'contexts = ["temp"]', "not declared whole"),
        ('model = "flight-delays"', 'model = "other"', "named after another loop.*rename the file to other.toml"),
        ("[gate]", "[gate", "not TOML.*line"),
    ],
)
def test_a_broken_loop_names_file_line_reason_and_fix(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(Refused, match=f"(?s)flight-delays.toml.*{said}") as caught:
        read(changed(tmp_path, old, new))
    assert caught.value.fix


def test_a_loop_says_what_is_watched_together_and_what_is_kept_apart(tmp_path: Path) -> None:
    told = 'pairs = [["temp", "dewp"]]\ncontexts = ["hour", "carrier", "site"]'
    drift = read(changed(tmp_path, "scores = false", told)).drift
    assert (drift.pairs, drift.contexts) == ([["temp", "dewp"]], ["hour", "carrier", "site"])


def test_the_line_named_is_the_line_that_is_wrong(tmp_path: Path) -> None:
    path = changed(tmp_path, 'dwell = "0 s"', 'dwell = "soon"')
    line = path.read_text(encoding="utf-8").splitlines().index('dwell = "soon"') + 1
    with pytest.raises(Refused, match=rf"line {line}: rollout\.ring\.1\.dwell"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('features = ["', 'features = ["nowhere", "'),
        ("scores = false", 'pairs = [["temp", "carrier"]]'),
        ("scores = false", "pairs = [[1, 2]]"),
        ("scores = false", 'contexts = ["late"]'),
        ('quiet_for = "2 s"', 'at_most_share_of_one_site = 0.1\nquiet_for = "2 s"'),
        ('quiet_for = "2 s"', 'euros_per_month = 5\nquiet_for = "2 s"'),
    ],
)
def test_what_does_not_fit_another_part_of_the_file_is_named_with_its_line(tmp_path: Path, old: str, new: str) -> None:
    path = changed(tmp_path, old, new)
    wrong = new.partition("\n")[0]
    line = next(n for n, text in enumerate(path.read_text("utf-8").splitlines(), 1) if text.startswith(wrong))
    with pytest.raises(Refused, match=rf"line {line}: (drift|retrain)\.{wrong.split()[0]}\b.* is not usable"):
        read(path)


def test_a_folder_without_loops_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no loop in"):
        load(tmp_path)


def test_a_loop_that_fails_does_not_keep_its_neighbours_waiting() -> None:
    loop, turns = read(SAMPLE), list[str]()

    def act(one: Loop) -> None:
        turns.append(one.loop.purpose)
        if one.loop.purpose == "first":
            raise Refused("no", why="because", fix="mend it")

    named = {
        n: loop.model_copy(update={"loop": loop.loop.model_copy(update={"purpose": n})}) for n in ("first", "last")
    }
    with pytest.raises(ExceptionGroup, match="1 of 2 loops"):
        each(named, act)
    assert turns == ["first", "last"]


@pytest.mark.parametrize(
    "name",
    ["../../x", "a'b", 'a"b', "x" * 300, "<img onerror>", "$edgeAgent", "edgeHub", "Upper", "", "a/b", "a\nb"],
)
def test_a_name_that_could_break_out_is_no_model(name: str) -> None:
    with pytest.raises(ValidationError):
        Identity(model=name, purpose="", sites=["a"])


@pytest.mark.parametrize("condition", ["", "*", " "])
def test_a_ring_without_a_condition_is_not_every_device(condition: str) -> None:
    with pytest.raises(ValidationError):
        Ring(name="canary", devices=condition, dwell="1 s")  # type: ignore[arg-type] # becomes a timedelta


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "contoso.azurecr.io/x:latest"),
        ("image", "x@sha256:zz"),
        ("shares", {"/": "/host"}),
        ("shares", {"../x": "/host"}),
        ("shares", {"flights": "relative"}),
        ("ports", {"80": 80}),
        ("environment", {"A B": "c"}),
        ("name", "edgeHub"),
        ("name", "$edgeAgent"),
        ("feeds", {"rows": "nowhere"}),
        ("privileged", True),
    ],
)
def test_a_module_of_a_loop_file_can_say_nothing_that_leaves_the_box(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Module.model_validate({"name": "ingest", field: value})


def test_a_module_feeds_only_modules_that_are_there() -> None:
    text = SAMPLE.read_text(encoding="utf-8") + '\n[[module]]\nname = "ingest"\nfeeds = { rows = "nowhere/rows" }\n'
    with pytest.raises(ValidationError, match=r"feeds modules that are not there: \['nowhere'\]"):
        Loop.model_validate(tomllib.loads(text))
