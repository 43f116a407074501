"""Step 2 of 4: trains a model on the older days, and writes it as an ONNX graph that answers like the original."""

import argparse
from pathlib import Path

import numpy as np

from training.lean import keep_out
from training.rows import read_rows
from training.schema import read_schema
from training.scoring import run

TOLERANCE = 1e-5  # between LightGBM, in double precision, and ONNX Runtime, in single
PROBED_ROWS = 500


def main() -> None:
    """Read the arguments and run the step."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the folder that prepare wrote")
    arguments.add_argument("--candidate", type=Path, required=True, help="gets model.onnx and signature.json")
    given = arguments.parse_args()
    train(given.data, given.candidate)


def train(data: Path, candidate: Path) -> None:
    """Train on train.parquet.

    Raises:
        SystemExit: The ONNX graph does not answer like the model it was made from.
    """
    from training import boosting  # noqa: PLC0415 - LightGBM is imported once the door is shut

    schema = read_schema(data)
    rows = read_rows(data / "train.parquet", schema)
    signature = boosting.describe(schema.features, rows.columns, rows.label)
    tensor = signature.tensor(rows.columns, len(rows))
    booster = boosting.fit(tensor, rows.label)
    graph = boosting.export(booster, name=schema.label)
    unseen = read_rows(data / "test.parquet", schema)
    probe = boosting.probe(signature.tensor(unseen.columns, len(unseen)), most=PROBED_ROWS)
    apart = float(np.max(np.abs(run(graph, signature, probe) - booster.predict(probe))))
    if not apart <= TOLERANCE:  # so written, NaN fails too
        raise SystemExit(f"the ONNX graph is up to {apart} from the LightGBM model; at most {TOLERANCE} is allowed")
    candidate.mkdir(parents=True, exist_ok=True)
    (candidate / "model.onnx").write_bytes(graph)
    (candidate / "signature.json").write_text(signature.to_json())
    print(
        f"trained on {len(rows)} rows; {len(graph)} bytes of ONNX, within {apart:.1e} of LightGBM on {len(probe)} rows"
    )


if __name__ == "__main__":
    keep_out("pandas", "sklearn")
    main()
