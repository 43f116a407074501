import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from functions.loops import read
from functions.ports import JobOutcome
from functions.promotion.decide import Reject, decide
from functions.promotion.report import read as read_report
from tests.training.landing import SCHEMA, step
from training.evaluate import evaluate
from training.latency import milliseconds
from training.make_profile import make_profile
from training.rows import Rows, read_rows, take
from training.train import train

GATE = read(Path("tests/loops/flight-delays.toml")).gate


def constant_model(folder: Path, like: Path, probability: float) -> Path:
    """Write a whole model folder whose graph gives one probability to every row."""
    shutil.copytree(like, folder, ignore=shutil.ignore_patterns("judged"))
    rows = helper.make_node("Shape", ["features"], ["shape"])
    first = helper.make_node("Gather", ["shape", "zero"], ["rows"])
    size = helper.make_node("Concat", ["rows", "two"], ["size"], axis=0)
    answer = helper.make_node("Expand", ["probability", "size"], ["probabilities"])
    graph = helper.make_graph(
        [rows, first, size, answer],
        "constant",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, None])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("two", TensorProto.INT64, [1], [2]),
            helper.make_tensor("probability", TensorProto.FLOAT, [1, 1], [probability]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder


def test_without_a_champion_the_report_says_so(trained: Path) -> None:
    report = json.loads((trained / "report" / "report.json").read_text())
    assert report["champion"] is None
    assert report["metric"] == "log_loss"
    assert report["days"] == ["2013-01-09", "2013-01-11", "2013-01-19", "2013-01-20", "2013-01-21"]
    assert report["slices"] == {"frozen": report["days"][:2], "newest": report["days"][2:]}
    assert report["commit"] is None  # these files were not published
    assert report["challenger"]["latency_ms"] > 0
    assert report["challenger"]["features"] == list(SCHEMA.features)
    assert pq.read_table(trained / "report" / report["losses"])["champion_log_loss"].null_count == report["rows"]


def test_the_baseline_always_says_how_many_were_late_in_training(trained: Path) -> None:
    report = json.loads((trained / "report" / "report.json").read_text())
    learnt, held_out = (read_rows(trained / "data" / f"{name}.parquet", SCHEMA) for name in ("train", "test"))
    share, late = learnt.label.mean(), held_out.label.mean()
    assert report["baseline"]["log_loss"] == pytest.approx(-late * np.log(share) - (1 - late) * np.log(1 - share))


def test_days_and_segments_add_up_to_the_whole(trained: Path) -> None:
    report = json.loads((trained / "report" / "report.json").read_text())
    for by in ("by_day", "by_segment", "by_slice"):
        parts = report["challenger"][by]
        assert sum(part["rows"] for part in parts.values()) == report["rows"]
        for metric in ("log_loss", "brier"):
            total = sum(part["rows"] * part[metric] for part in parts.values())
            assert total / report["rows"] == pytest.approx(report["challenger"][metric])
    assert list(report["challenger"]["by_segment"]) == ["ewr", "jfk", "lga"]
    assert list(report["challenger"]["by_slice"]) == ["frozen", "newest"]
    losses = pq.read_table(trained / "report" / report["losses"])
    lga = losses.filter(pc.equal(losses["segment"], "lga"))["challenger_log_loss"].to_pylist()
    assert report["challenger"]["by_segment"]["lga"] == {
        "rows": len(lga),
        "log_loss": pytest.approx(np.mean(lga)),
        "brier": pytest.approx(pc.mean(losses.filter(pc.equal(losses["segment"], "lga"))["challenger_brier"]).as_py()),
        "auc": report["challenger"]["by_segment"]["lga"]["auc"],
    }


def test_challenger_and_champion_answer_for_the_same_rows(trained: Path, tmp_path: Path) -> None:
    champion = constant_model(tmp_path / "champion", trained / "model", 0.25)
    here = {"data": trained / "data", "model": trained / "model", "report": tmp_path / "report"}
    ran = step("evaluate", {**here, "champion": champion})
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    alone = json.loads((trained / "report" / "report.json").read_text())
    assert {**report["challenger"], "latency_ms": 0} == {
        **alone["challenger"],
        "latency_ms": 0,
    }  # no two runs take as long
    late = read_rows(trained / "data" / "test.parquet", SCHEMA).label.mean()
    assert report["champion"]["log_loss"] == pytest.approx(-late * np.log(0.25) - (1 - late) * np.log(0.75))
    assert report["champion"]["auc"] == pytest.approx(0.5)
    assert list(report["champion"]["by_day"]) == report["days"]
    losses = pq.read_table(tmp_path / "report" / "losses.parquet")
    assert losses.column_names == [
        *("day", "segment", "slice"),
        *("challenger_log_loss", "challenger_brier", "champion_log_loss", "champion_brier"),
    ]
    assert np.mean(losses["champion_log_loss"].to_pylist()) == pytest.approx(report["champion"]["log_loss"])
    assert report["champion"]["brier"] == pytest.approx(late * 0.75**2 + (1 - late) * 0.25**2)


def test_a_model_that_challenges_itself_is_rejected(trained: Path, tmp_path: Path) -> None:
    evaluate(trained / "data", trained / "model", champion=trained / "model", report=tmp_path)
    judged = decide(JobOutcome("completed"), read_report((tmp_path / "report.json").read_bytes()), GATE)
    assert isinstance(judged, Reject)
    assert judged.reason.startswith("log loss 0.0000 higher than the champion's over 5 held-out days")


def test_a_retrain_on_the_same_rows_in_another_order_is_rejected(trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(trained / "data", data)
    rows = pq.read_table(data / "train.parquet")
    pq.write_table(rows.take(np.random.default_rng(3).permutation(len(rows))), data / "train.parquet")
    train(data, tmp_path / "candidate")
    make_profile(data, tmp_path / "candidate", tmp_path / "model")
    evaluate(data, tmp_path / "model", champion=trained / "model", report=tmp_path / "report")
    report = read_report((tmp_path / "report" / "report.json").read_bytes())
    assert report.champion is not None
    assert report.challenger.log_loss != report.champion.log_loss
    assert isinstance(decide(JobOutcome("completed"), report, GATE), Reject)


def test_the_order_of_the_rows_changes_no_digit_of_the_report(trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(trained / "data", data)
    rows = pq.read_table(data / "test.parquet")
    pq.write_table(rows.take(np.random.default_rng(3).permutation(len(rows))), data / "test.parquet")
    evaluate(data, trained / "model", champion=None, report=tmp_path / "report")
    reports = [json.loads((folder / "report" / "report.json").read_text()) for folder in (trained, tmp_path)]
    for report in reports:
        del report["challenger"]["latency_ms"]
    assert reports[0] == reports[1]


def test_every_model_is_timed_also_when_there_are_fewer_rows_than_a_batch(trained: Path, tmp_path: Path) -> None:
    constant = constant_model(tmp_path / "constant", trained / "model", 0.25)
    rows = read_rows(trained / "data" / "test.parquet", SCHEMA)
    few = Rows(take(rows.columns, np.arange(3)), rows.label[:3], rows.days[:3], rows.segments[:3])
    times = milliseconds([trained / "model", constant], few)
    assert len(times) == 2
    assert all(one > 0 for one in times)


def test_a_champion_that_answers_with_nan_fails_the_step_without_a_report(trained: Path, tmp_path: Path) -> None:
    champion = constant_model(tmp_path / "champion", trained / "model", float("nan"))
    here = {"data": trained / "data", "model": trained / "model", "report": tmp_path / "report"}
    ran = step("evaluate", {**here, "champion": champion})
    assert ran.returncode == 1
    assert ran.stderr.startswith("the model gives no probability for ")
    assert not (tmp_path / "report").exists()


def test_an_answer_that_is_no_probability_fails_too(trained: Path, tmp_path: Path) -> None:
    wild = constant_model(tmp_path / "wild", trained / "model", 1.5)
    with pytest.raises(SystemExit, match=r"NaN, or outside 0\.\.1"):
        evaluate(trained / "data", wild, champion=None, report=tmp_path / "report")


def test_a_champion_is_scored_by_its_own_signature(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = tmp_path / "champion"
    shutil.copytree(trained / "model" / "judged", champion)
    shutil.copyfile(trained / "model" / "profile.json", champion / "profile.json")
    signature = json.loads((champion / "signature.json").read_text())
    signature["features"][0]["name"] = "moon"  # asked for by the old model, and no longer in the data
    (champion / "signature.json").write_text(json.dumps(signature))
    evaluate(trained / "data", trained / "model", champion=champion, report=tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert "champion asks for moon, which the data no longer has" in capsys.readouterr().out
    assert report["champion"]["features"] == ["moon", *list(SCHEMA.features)[1:]]
    assert report["champion"]["log_loss"] != report["challenger"]["log_loss"]


def test_who_has_learnt_all_days_is_judged_by_its_twin_that_has_not(trained: Path, tmp_path: Path) -> None:
    """Otherwise a champion would be asked about days that it knows the answers of, and hardly ever be beaten."""
    served = tmp_path / "served"
    shutil.copytree(trained / "model", served, ignore=shutil.ignore_patterns("judged"))
    evaluate(trained / "data", trained / "model", champion=served, report=tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["challenger"]["judged_by"], report["champion"]["judged_by"]) == ("judged/model.onnx", "model.onnx")
    assert report["champion"]["log_loss"] < report["challenger"]["log_loss"]


def test_a_model_without_a_profile_is_not_judged(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "model" / "profile.json").unlink()
    with pytest.raises(SystemExit, match=r"no usable profile\.json"):
        evaluate(trained / "data", tmp_path / "model", champion=None, report=tmp_path / "report")
