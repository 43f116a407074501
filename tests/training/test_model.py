import json
import shutil
import sys
from datetime import date
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sketch.profile import Profile
from tests.training.landing import SCHEMA, land, step
from training import boosting
from training.make_profile import make_profile
from training.prepare import prepare as prepare_here
from training.rows import Column, read_all_rows, read_rows, take
from training.scoring import run, score
from training.signature import Feature, Signature, read_signature
from training.train import train

JUDGED = {"judged/model.onnx", "judged/signature.json"}
FILES = {"model.onnx", "signature.json", "profile.json", "samples.json"} | JUDGED


def test_the_model_folder_is_whole(trained: Path) -> None:
    model = trained / "model"
    assert {file.relative_to(model).as_posix() for file in model.rglob("*") if file.is_file()} == FILES


def test_the_same_files_give_the_same_model_byte_for_byte(trained: Path, tmp_path: Path) -> None:
    land(tmp_path, date(2013, 1, 8), date(2013, 1, 21))
    prepare_here(tmp_path / "landing", tmp_path / "training_set", schema=SCHEMA, data=tmp_path / "data")
    ran = step("train", {"data": tmp_path / "data", "candidate": tmp_path / "candidate"})
    assert ran.returncode == 0, ran.stderr
    make_profile(tmp_path / "data", tmp_path / "candidate", tmp_path / "model")
    for name in FILES:
        assert (tmp_path / "model" / name).read_bytes() == (trained / "model" / name).read_bytes(), name


def test_the_graph_takes_one_tensor_and_nothing_of_this_machine(trained: Path) -> None:
    graph = onnx.load(trained / "model" / "model.onnx")
    onnx.checker.check_model(graph)
    names = [item.name for item in (*graph.graph.input, *graph.graph.output)]
    assert names == ["features", "label", "probabilities"]
    session = ort.InferenceSession(graph.SerializeToString())
    assert session.get_inputs()[0].type == "tensor(float)"
    assert session.get_inputs()[0].shape[1] == len(SCHEMA.features)
    assert [one.domain for one in graph.opset_import] == ["", "ai.onnx.ml"]  # in the same order in every process


def test_the_graph_answers_like_lightgbm_also_where_values_are_missing(trained: Path) -> None:
    rows = read_rows(trained / "data" / "test.parquet", SCHEMA)  # rows that training never saw
    learnt = read_rows(trained / "data" / "train.parquet", SCHEMA)
    signature = read_signature(trained / "model" / "judged")
    booster = boosting.fit(signature.tensor(learnt.columns, len(learnt)), learnt.label)
    graph = (trained / "model" / "judged" / "model.onnx").read_bytes()
    probe = boosting.probe(signature.tensor(rows.columns, len(rows)), most=300)
    assert np.isnan(probe).any(axis=0).all()
    assert run(graph, signature, probe) == pytest.approx(np.asarray(booster.predict(probe)), abs=1e-5)


def test_the_profile_promises_what_the_twin_costs_on_the_held_out_rows(trained: Path) -> None:
    held_out = read_rows(trained / "data" / "test.parquet", SCHEMA)
    scores = score(trained / "model" / "judged", held_out)
    promise = Profile.from_json((trained / "model" / "profile.json").read_text()).calibration
    assert promise
    assert (promise.rows, promise.days) == (len(held_out), len(set(held_out.days.tolist())))
    assert sum(group.positives for group in promise.groups) == held_out.label.sum()
    cost = sum(group.brier for group in promise.groups)
    assert cost == pytest.approx(((scores - held_out.label) ** 2).sum(), abs=1e-4)
    report = json.loads((trained / "report" / "report.json").read_text())
    assert cost / promise.rows == pytest.approx(report["challenger"]["brier"], abs=1e-6)


def test_what_serves_learnt_all_days_and_what_it_is_judged_by_only_those_that_were_not_held_out(
    trained: Path, tmp_path: Path
) -> None:
    data, held_out = tmp_path / "data", pq.read_table(trained / "data" / "test.parquet")
    shutil.copytree(trained / "data", data)
    at = held_out.schema.get_field_index(SCHEMA.label)
    pq.write_table(
        held_out.set_column(at, SCHEMA.label, pc.invert(held_out[SCHEMA.label])), data / "test.parquet"
    )  # whoever learnt from these labels is now another model
    train(data, tmp_path / "candidate")
    for name in JUDGED:
        assert (tmp_path / "candidate" / name).read_bytes() == (trained / "model" / name).read_bytes(), name
    served = [(folder / "model.onnx").read_bytes() for folder in (tmp_path / "candidate", trained / "model")]
    assert served[0] != served[1]


def test_all_rows_are_those_of_every_day_in_order(trained: Path) -> None:
    rows = read_all_rows(trained / "data", SCHEMA)
    parts = [read_rows(trained / "data" / f"{name}.parquet", SCHEMA) for name in ("train", "test")]
    assert len(rows) == sum(len(part) for part in parts)
    assert rows.days.tolist() == sorted(rows.days.tolist())
    for part in parts:
        here = np.flatnonzero(np.isin(rows.days, part.days))
        mine, theirs = take(rows.columns, here), part.columns
        assert mine["carrier"] == theirs["carrier"]
        assert np.array_equal(np.asarray(mine["temp"]), np.asarray(theirs["temp"]), equal_nan=True)
        assert rows.label[here].tolist() == part.label.tolist()
        assert rows.segments[here].tolist() == part.segments.tolist()


def test_the_graph_answers_like_lightgbm_for_values_next_to_a_threshold() -> None:
    rng = np.random.default_rng(1)
    tensor = np.round(rng.uniform(0, 100, (3000, 2)), 2).astype(np.float32)
    booster = boosting.fit(tensor, (tensor.sum(axis=1) + rng.normal(0, 20, 3000) > 100).astype(np.float64))
    signature = Signature((Feature("a", "number"), Feature("b", "number")))
    grid = (np.arange(0, 10_000, dtype=np.float64) / 100).astype(np.float32)  # every value there can be, seen or not
    probe = np.concatenate([np.column_stack([grid, np.full_like(grid, other)]) for other in (20, 50.5, 80)])
    either_side = np.concatenate([np.nextafter(probe, np.float32(way)) for way in (-np.inf, np.inf)])
    rows = np.concatenate([probe, either_side])
    assert run(boosting.export(booster, name="late"), signature, rows) == pytest.approx(
        np.asarray(booster.predict(rows)), abs=1e-5
    )


def test_the_model_ranks_better_than_chance_on_days_it_never_saw(trained: Path) -> None:
    report = json.loads((trained / "report" / "report.json").read_text())
    assert report["challenger"]["auc"] > 0.55


def test_categories_go_from_punctual_to_late() -> None:
    names = ["WN"] * 100 + ["UA"] * 200 + ["new"] + ["AA"] * 100
    label = np.array([1.0] * 60 + [0.0] * 40 + [1.0] * 20 + [0.0] * 180 + [1.0] + [1.0] * 30 + [0.0] * 70)
    columns: dict[str, Column] = {"carrier": [*names, None], "temp": np.zeros(402)}
    signature = boosting.describe({"carrier": "category", "temp": "number"}, columns, np.append(label, 1.0))
    assert signature.features == (Feature("carrier", "category", ("UA", "new", "AA", "WN")), Feature("temp", "number"))


def test_a_missing_number_and_an_unseen_name_are_nan() -> None:
    signature = Signature(
        (Feature("carrier", "category", ("UA", "AA")), Feature("temp", "number"), Feature("gone", "number"))
    )
    tensor = signature.tensor({"temp": np.array([1.5, np.nan, 2]), "carrier": ["AA", "ZZ", None]}, 3)
    assert tensor == pytest.approx(np.array([[1, 1.5, np.nan], [np.nan] * 3, [np.nan, 2, np.nan]]), nan_ok=True)
    assert tensor.dtype == np.float32


def test_a_value_that_was_never_missing_in_training_does_not_count_as_zero_when_it_is() -> None:
    rng = np.random.default_rng(0)
    tensor = rng.uniform(1, 2, (4000, 1)).astype(np.float32)
    booster = boosting.fit(tensor, (tensor[:, 0] > 1.5).astype(np.float64))
    answers = dict(zip(["zero", "missing"], np.asarray(booster.predict(np.array([[0], [np.nan]]))), strict=True))
    assert answers["zero"] < 0.1 < answers["missing"]


def test_the_profile_describes_the_rows_that_were_trained_on(trained: Path) -> None:
    profile = Profile.from_json((trained / "model" / "profile.json").read_text())
    assert profile.rows == len(read_all_rows(trained / "data", SCHEMA))
    assert [feature.name for feature in profile.features] == list(SCHEMA.features)
    assert [(pair.left.name, pair.right.name) for pair in profile.pairs] == [("temp", "dewp")]
    assert profile.contexts is not None
    assert profile.contexts.columns == ("hour", "site")
    assert {site for _, site in profile.contexts.keys} == {"ewr", "jfk", "lga"}
    assert sum(profile.contexts.counts) == profile.rows


def test_the_weather_of_one_site_resembles_that_of_the_flight_before(trained: Path) -> None:
    profile = Profile.from_json((trained / "model" / "profile.json").read_text())
    known = {feature.name: feature.autocorrelation for feature in profile.features}
    assert known["temp"] > 0.8
    assert known["distance"] < 0.2


def test_the_samples_are_rows_as_a_device_is_asked_them_and_the_answers_it_should_give(trained: Path) -> None:
    samples = json.loads((trained / "model" / "samples.json").read_text())
    assert len(samples["rows"]) == len(samples["scores"]) == 16
    assert all(list(row) == list(SCHEMA.features) for row in samples["rows"])
    columns = {name: [row[name] for row in samples["rows"]] for name in SCHEMA.features}
    signature = read_signature(trained / "model")
    tensor = signature.tensor({name: _column(values) for name, values in columns.items()}, 16)
    scores = run((trained / "model" / "model.onnx").read_bytes(), signature, tensor)
    assert scores == pytest.approx(samples["scores"], abs=samples["tolerance"])


def test_a_signature_reads_back_as_it_was_written(trained: Path) -> None:
    text = (trained / "model" / "signature.json").read_text()
    assert read_signature(trained / "model").to_json() == text


def test_a_folder_that_is_no_model_is_named(tmp_path: Path, trained: Path) -> None:
    rows = read_rows(trained / "data" / "test.parquet", SCHEMA)
    with pytest.raises(SystemExit, match=r"no usable signature\.json"):
        score(tmp_path, rows)
    (tmp_path / "signature.json").write_text((trained / "model" / "signature.json").read_text())
    with pytest.raises(SystemExit, match=r"has no model\.onnx"):
        score(tmp_path, rows)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(SystemExit, match=r"the model does not run"):
        score(tmp_path, rows)


def test_this_test_run_has_what_the_steps_keep_out() -> None:
    assert "sklearn" in sys.modules  # LightGBM imported it here: the steps' own processes are the lean ones
    assert lgb.compat.SKLEARN_INSTALLED


def _column(values: list[object]) -> list[str | None] | np.ndarray[tuple[int], np.dtype[np.float64]]:
    if any(isinstance(value, str) for value in values):
        return [value if isinstance(value, str) else None for value in values]
    return np.array([np.nan if value is None else value for value in values], np.float64)
