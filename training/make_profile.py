"""Step 3 of 4: makes the model folder whole, with a profile of what it was trained on and rows to try it with."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sketch.calibration import Calibration
from sketch.profile import Profile
from training.lean import keep_out
from training.rows import Rows, read_all_rows, read_rows, take
from training.schema import Schema, read_schema
from training.scoring import JUDGED, judged_by, score

TRAINED = ("model.onnx", "signature.json")
SAMPLES = 16
TOLERANCE = 1e-5  # between this machine's answers and a device's


def main() -> None:
    """Read the arguments and run the step."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the folder that prepare wrote")
    arguments.add_argument("--candidate", type=Path, required=True, help="the folder that train wrote")
    arguments.add_argument("--model", type=Path, required=True, help="gets the whole model folder")
    given = arguments.parse_args()
    make_profile(given.data, given.candidate, given.model)


def make_profile(data: Path, candidate: Path, model: Path) -> None:
    """Copy the candidate, and add profile.json and samples.json: of all rows, which is what it was trained on."""
    schema = read_schema(data)
    rows = read_all_rows(data, schema)
    scores = score(candidate, rows)
    profile = _profile(rows, scores, schema)
    profile = profile.calibrated(_calibration(data, candidate, schema, profile))
    (model / JUDGED).mkdir(parents=True, exist_ok=True)
    for name in (*TRAINED, *(f"{JUDGED}/{name}" for name in TRAINED)):
        shutil.copyfile(candidate / name, model / name)
    (model / "profile.json").write_text(_text(profile))
    (model / "samples.json").write_text(json.dumps(_samples(rows, scores), allow_nan=False))
    print(f"profile {profile.hash} of {len(rows)} rows and {len(schema.features)} features")


def _profile(rows: Rows, scores: NDArray[np.float64], schema: Schema) -> Profile:
    """Count the rows; those of one segment follow each other, day by day, as their device saw them."""
    try:
        return Profile.build(
            {**rows.columns, schema.segment: rows.segments},
            kinds=schema.features,
            scores=scores,
            pairs=schema.pairs,
            contexts=schema.contexts,
            sequences=rows.segments,
        )
    except ValueError as problem:
        raise SystemExit(f"no profile can be made of the rows: {problem}") from problem


def _text(profile: Profile) -> str:
    try:
        return profile.to_json()
    except ValueError as problem:
        raise SystemExit(f"no device could read the profile: {problem}") from problem


def _calibration(data: Path, candidate: Path, schema: Schema, profile: Profile) -> Calibration | None:
    """What the model's twin, which has not learnt them, costs on the held-out rows: what is promised of the model."""
    held_out = read_rows(data / "test.parquet", schema)
    scores = score(judged_by(candidate), held_out)
    return Calibration.of(scores, held_out.label, profile.scores, days=held_out.days.tolist())


def _samples(rows: Rows, scores: NDArray[np.float64]) -> dict[str, object]:
    """Rows spread over the training set, as a device is asked them, and the answers it should give."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, SAMPLES).astype(np.intp))
    chosen = np.resize(chosen, SAMPLES)  # fewer rows than samples: some are tried twice
    columns = {name: _plain(column) for name, column in take(rows.columns, chosen).items()}
    asked = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {"rows": asked, "scores": scores[chosen].tolist(), "tolerance": TOLERANCE}


def _plain(column: NDArray[np.float64] | list[str | None]) -> list[float | str | None]:
    """Give a column as JSON can write it: None where missing."""
    if isinstance(column, list):
        return list(column)
    return [None if np.isnan(value) else value for value in column.tolist()]


if __name__ == "__main__":
    keep_out("pandas", "sklearn")
    main()
