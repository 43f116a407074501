"""Somebody else's training code: logistic regression over CSV files, in one step; of this project it uses sketch/."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1]))
from sketch.profile import Profile

HELD_OUT_DAYS = 3
STEPS, RATE = 300, 0.5


def main() -> None:
    landing, training_set, schema, model, report = sys.argv[1:]
    asked = json.loads(schema)
    names = [feature["name"] for feature in asked["features"]]
    blobs = json.loads((Path(training_set) / "manifest.json").read_text())["blobs"]
    by_day: dict[str, list[list[float]]] = {}
    for blob in blobs:
        with (Path(landing) / blob["path"]).open() as file:
            rows = [[float(row[name]) for name in (*names, asked["label"])] for row in csv.DictReader(file)]
        by_day.setdefault(Path(blob["name"]).stem, []).extend(rows)
    days = sorted(by_day)
    learnt = np.concatenate([by_day[day] for day in days[:-HELD_OUT_DAYS]])
    weights, bias = fit(learnt[:, :-1], learnt[:, -1])
    held_out = {day: np.array(by_day[day]) for day in days[-HELD_OUT_DAYS:]}
    write_model(Path(model), names, learnt, weights, bias)
    share = learnt[:, -1].mean()
    every = np.concatenate(list(held_out.values()))
    scored = {
        day: {"rows": len(rows), "log_loss": loss(rows[:, -1], answers(rows[:, :-1], weights, bias))}
        for day, rows in held_out.items()
    }
    found = {
        "rows": len(every),
        "files": [blob["name"] for blob in blobs],
        "rows_read": sum(len(rows) for rows in by_day.values()),
        "baseline": {"log_loss": loss(every[:, -1], np.full(len(every), share))},
        "challenger": {
            "log_loss": loss(every[:, -1], answers(every[:, :-1], weights, bias)),
            "by_day": scored,
        },
        "champion": None,
    }
    (Path(report) / "report.json").write_text(json.dumps(found))


def fit(features: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, float]:
    """Gradient steps on standardised columns, folded back into the columns' own units."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scaled, weights, bias = (features - mean) / spread, np.zeros(features.shape[1]), 0.0
    for _ in range(STEPS):
        error = answers(scaled, weights, bias) - label
        weights, bias = weights - RATE * (error @ scaled) / len(label), bias - RATE * error.mean()
    return weights / spread, float(bias - (weights * mean / spread).sum())


def answers(features: np.ndarray, weights: np.ndarray, bias: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(features @ weights + bias))))


def loss(label: np.ndarray, score: np.ndarray) -> float:
    return float(-np.mean(label * np.log(score) + (1 - label) * np.log(1 - score)))


def write_model(folder: Path, names: list[str], learnt: np.ndarray, weights: np.ndarray, bias: float) -> None:
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probabilities"]),
    ]
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)])
    gives = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 1])
    constants = {"weights": weights.reshape(-1, 1), "bias": np.array([bias])}
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "pumps", [given], [gives], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "model.onnx")
    scores = answers(learnt[:, :-1], weights, bias)
    columns = {name: learnt[:, place] for place, name in enumerate(names)}
    profile = Profile.build(columns, kinds=dict.fromkeys(names, "number"), scores=scores)
    (folder / "profile.json").write_text(profile.to_json())
    output = {"name": "probabilities", "column": 0}
    features = [{"name": name, "kind": "number", "categories": []} for name in names]
    (folder / "signature.json").write_text(json.dumps({"features": features, "input": "features", "output": output}))
    rows = [dict(zip(names, row[:-1].tolist(), strict=True)) for row in learnt[:20]]
    samples = {"rows": rows, "scores": scores[:20].tolist(), "tolerance": 1e-3}
    (folder / "samples.json").write_text(json.dumps(samples))


if __name__ == "__main__":
    main()
