"""Step 4 of 4: scores challenger and champion on the same held-out rows, and reports; who wins is decided elsewhere."""

import argparse
import json
from collections.abc import Mapping
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sketch.profile import Profile
from training.latency import milliseconds
from training.lean import keep_out
from training.losses import area_under_curve, brier_losses, log_losses
from training.rows import Rows, read_rows
from training.schema import read_schema
from training.scoring import judged_by, score
from training.signature import read_signature

LOSSES = "losses.parquet"
LOSS = {"log_loss": log_losses, "brier": brier_losses}


def main() -> None:
    """Read the arguments and run the step."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the folder that prepare wrote")
    arguments.add_argument("--model", type=Path, required=True, help="the challenger: a whole model folder")
    arguments.add_argument("--champion", type=Path, help="the model folder that serves now; absent before the first")
    arguments.add_argument("--report", type=Path, required=True, help="gets report.json and losses.parquet")
    given = arguments.parse_args()
    evaluate(given.data, given.model, champion=given.champion, report=given.report)


def evaluate(data: Path, model: Path, *, champion: Path | None, report: Path) -> None:
    """Write what each model costs on the held-out rows, in all, by day, by segment and by slice; and how fast it is.

    A model that has learnt all days is judged by the twin in its folder that has not, as `judged_by` finds it; one
    without a twin, of another maker perhaps, by itself. The time is always that of the model that serves.

    Raises:
        SystemExit: A model folder is not whole, or some score is not a number.
    """
    rows = read_rows(data / "test.parquet", read_schema(data))
    if rows.label.all() or not rows.label.any():
        raise SystemExit("every held-out row has the same label: no model can be told from another; land more days")
    split = json.loads((data / "split.json").read_text())
    slices = _slices(rows, split["slices"])
    models = {"challenger": model} | ({"champion": champion} if champion else {})
    judged = {name: _judged(folder, rows, slices) for name, folder in models.items()}
    speeds = dict(zip(models, milliseconds(list(models.values()), rows), strict=True))
    share = split["train_share"]
    summary = {
        "rows": len(rows),
        "days": np.unique(rows.days).tolist(),
        "slices": split["slices"],
        "metric": "log_loss",
        "commit": _commit(),
        "baseline": {name: _mean(loss(rows.label, share)) for name, loss in LOSS.items()},
        "champion": None,
        **{name: {**about, "latency_ms": speeds[name]} for name, (_, about) in judged.items()},
        "losses": LOSSES,
    }
    report.mkdir(parents=True, exist_ok=True)
    pq.write_table(_table(rows, slices, {name: losses for name, (losses, _) in judged.items()}), report / LOSSES)
    (report / "report.json").write_text(json.dumps(summary, indent=1, allow_nan=False))
    print(f"log loss of {len(rows)} rows: always {share:.3f} costs {summary['baseline']['log_loss']:.4f}")
    for name, (_, about) in judged.items():
        asked = f"{name}, by its {about['judged_by']},"
        print(f"{asked} costs {about['log_loss']:.4f}, ranks with an AUC of {about['auc']:.3f}")


def _judged(model: Path, rows: Rows, slices: NDArray[np.str_]) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Give what each row costs with one model, and what to say about that; a twin of it that knows less is asked."""
    twin = judged_by(model)
    features = [feature.name for feature in read_signature(twin).features]
    absent = [name for name in features if name not in rows.columns]
    if absent:
        print(f"{model.name} asks for {', '.join(absent)}, which the data no longer has: missing, as on a device")
    scores = score(twin, rows)
    losses = {name: loss(rows.label, scores) for name, loss in LOSS.items()}
    return losses, {
        **_about(rows.label, scores, losses),
        "by_day": _by(rows.days, rows.label, scores, losses),
        "by_segment": _by(rows.segments, rows.label, scores, losses),
        "by_slice": _by(slices, rows.label, scores, losses),
        "judged_by": (twin / "model.onnx").relative_to(model).as_posix(),
        "features": features,
        "trained_rows": _trained_rows(model),
    }


def _by(
    group: NDArray[np.str_],
    label: NDArray[np.float64],
    scores: NDArray[np.float64],
    losses: dict[str, NDArray[np.float64]],
) -> dict[str, dict[str, float | None]]:
    found = {}
    for name in np.unique(group):
        here = group == name
        part = {metric: values[here] for metric, values in losses.items()}
        found[str(name)] = {"rows": int(here.sum()), **_about(label[here], scores[here], part)}
    return found


def _about(
    label: NDArray[np.float64], scores: NDArray[np.float64], losses: dict[str, NDArray[np.float64]]
) -> dict[str, float | None]:
    """Give every metric of some rows; an AUC needs both labels."""
    auc = area_under_curve(label, scores) if 0 < label.sum() < len(label) else None
    return {**{name: _mean(values) for name, values in losses.items()}, "auc": auc}


def _mean(values: NDArray[np.float64]) -> float:
    """Exact before it is rounded, so that the order of the rows changes nothing."""
    return fsum(values.tolist()) / len(values)


def _slices(rows: Rows, days: Mapping[str, list[str]]) -> NDArray[np.str_]:
    slice_of = {day: name for name, part in days.items() for day in part}
    return np.array([slice_of[day] for day in rows.days.tolist()], np.str_)


def _commit() -> str | None:
    """The commit this code was published from, as `register_components` noted it; None if it was not under git."""
    note = Path(__file__).with_name("commit.txt")
    return note.read_text("utf-8").strip() if note.is_file() else None


def _trained_rows(model: Path) -> int:
    try:
        return Profile.from_json((model / "profile.json").read_text()).rows
    except (OSError, ValueError) as problem:
        raise SystemExit(f"the model in {model.name}/ has no usable profile.json: {problem}") from problem


def _table(rows: Rows, slices: NDArray[np.str_], judged: dict[str, dict[str, NDArray[np.float64]]]) -> pa.Table:
    """One line per held-out row, so that any other comparison can be made later."""
    none = pa.nulls(len(rows), pa.float64())
    columns = {
        f"{name}_{metric}": pa.array(judged[name][metric]) if name in judged else none
        for name in ("challenger", "champion")
        for metric in LOSS
    }
    where = {"day": rows.days, "segment": rows.segments, "slice": slices}
    return pa.table({name: pa.array(values.tolist()) for name, values in where.items()} | columns)


if __name__ == "__main__":
    keep_out("pandas", "sklearn")
    main()
