"""Step 2 of 4: trains the model that serves, on all days, and its twin to be judged by; each is written as ONNX."""

import argparse
from pathlib import Path

import numpy as np

from training.lean import keep_out
from training.rows import Rows, read_all_rows, read_rows
from training.schema import Schema, read_schema
from training.scoring import JUDGED, run

TOLERANCE = 1e-5  # between LightGBM, in double precision, and ONNX Runtime, in single
PROBED_ROWS = 500


def main() -> None:
    """Read the arguments and run the step."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="the folder that prepare wrote")
    arguments.add_argument("--candidate", type=Path, required=True, help="gets two models: its own, and judged/")
    given = arguments.parse_args()
    train(given.data, given.candidate)


def train(data: Path, candidate: Path) -> None:
    """Train on all days what will serve, and with the same recipe on the older days what it is judged by.

    Raises:
        SystemExit: An ONNX graph does not answer like the model it was made from.
    """
    schema = read_schema(data)
    older, held_out = (read_rows(data / f"{name}.parquet", schema) for name in ("train", "test"))
    for rows, folder in ((older, candidate / JUDGED), (read_all_rows(data, schema), candidate)):
        _train(rows, folder, schema=schema, asked=held_out)


def _train(rows: Rows, folder: Path, *, schema: Schema, asked: Rows) -> None:
    """Train on some rows; write model.onnx, tried on other rows, and signature.json."""
    from training import boosting  # noqa: PLC0415 - LightGBM is imported once the door is shut

    signature = boosting.describe(schema.features, rows.columns, rows.label)
    booster = boosting.fit(signature.tensor(rows.columns, len(rows)), rows.label)
    graph = boosting.export(booster, name=schema.label)
    probe = boosting.probe(signature.tensor(asked.columns, len(asked)), most=PROBED_ROWS)
    apart = float(np.max(np.abs(run(graph, signature, probe) - booster.predict(probe))))
    if not apart <= TOLERANCE:  # so written, NaN fails too
        raise SystemExit(f"the ONNX graph is up to {apart} from the LightGBM model; at most {TOLERANCE} is allowed")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    (folder / "signature.json").write_text(signature.to_json())
    print(
        f"trained {folder.name} on {len(rows)} rows; {len(graph)} bytes of ONNX, within {apart:.1e} of LightGBM"
        f" on {len(probe)} rows"
    )


if __name__ == "__main__":
    keep_out("pandas", "sklearn")
    main()
