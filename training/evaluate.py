"""Step 4 of 4: scores challenger and champion on the same held-out days, and reports; who wins is decided elsewhere."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sketch.profile import Profile
from training.lean import keep_out
from training.losses import area_under_curve, log_losses
from training.rows import Rows, read_rows
from training.schema import read_schema
from training.scoring import score
from training.signature import read_signature

LOSSES = "losses.parquet"


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
    """Write what each model costs on the held-out rows, in all, by day and by segment.

    Raises:
        SystemExit: A model folder is not whole, or some score is not a number.
    """
    rows = read_rows(data / "test.parquet", read_schema(data))
    if rows.label.all() or not rows.label.any():
        raise SystemExit("every held-out row has the same label: no model can be told from another; land more days")
    share = json.loads((data / "split.json").read_text())["train_share"]
    judged = {"challenger": _judged(model, rows)} | ({"champion": _judged(champion, rows)} if champion else {})
    summary = {
        "rows": len(rows),
        "days": np.unique(rows.days).tolist(),
        "metric": "log_loss",
        "baseline": {"log_loss": float(log_losses(rows.label, share).mean())},
        "champion": None,
        **{name: about for name, (_, about) in judged.items()},
        "losses": LOSSES,
    }
    report.mkdir(parents=True, exist_ok=True)
    pq.write_table(_table(rows, {name: losses for name, (losses, _) in judged.items()}), report / LOSSES)
    (report / "report.json").write_text(json.dumps(summary, indent=1, allow_nan=False))
    print(f"log loss of {len(rows)} rows: always {share:.3f} costs {summary['baseline']['log_loss']:.4f}")
    for name, (losses, about) in judged.items():
        print(f"{name} costs {losses.mean():.4f}, ranks with an AUC of {about['auc']:.3f}")


def _judged(model: Path, rows: Rows) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Give what each row costs with one model, and what to say about that."""
    features = [feature.name for feature in read_signature(model).features]
    absent = [name for name in features if name not in rows.columns]
    if absent:
        print(f"{model.name} asks for {', '.join(absent)}, which the data no longer has: missing, as on a device")
    scores = score(model, rows)
    losses = log_losses(rows.label, scores)
    return losses, {
        "log_loss": float(losses.mean()),
        "auc": area_under_curve(rows.label, scores),
        "by_day": _by(rows.days, losses),
        "by_segment": _by(rows.segments, losses),
        "features": features,
        "trained_rows": _trained_rows(model),
    }


def _by(group: NDArray[np.str_], losses: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    names, place, counts = np.unique(group, return_inverse=True, return_counts=True)
    means = np.bincount(place, losses) / counts
    return {
        str(name): {"rows": int(count), "log_loss": float(mean)}
        for name, count, mean in zip(names, counts, means, strict=True)
    }


def _trained_rows(model: Path) -> int:
    try:
        return Profile.from_json((model / "profile.json").read_text()).rows
    except (OSError, ValueError) as problem:
        raise SystemExit(f"the model in {model.name}/ has no usable profile.json: {problem}") from problem


def _table(rows: Rows, losses: dict[str, NDArray[np.float64]]) -> pa.Table:
    """One line per held-out row, so that any other comparison can be made later."""
    none = pa.nulls(len(rows), pa.float64())
    columns = {
        f"{name}_loss": pa.array(losses[name]) if name in losses else none for name in ("challenger", "champion")
    }
    return pa.table({"day": pa.array(rows.days.tolist()), "segment": pa.array(rows.segments.tolist()), **columns})


if __name__ == "__main__":
    keep_out("pandas", "sklearn")
    main()
