"""NannyML's univariate drift by Jensen-Shannon distance with its own thresholds: `nannyml_drift.py FILE.npz`."""

import json
import sys

import nannyml  # type: ignore[import-not-found] # in an environment of its own
import numpy as np
import pandas as pd  # type: ignore[import-untyped] # likewise

data = np.load(sys.argv[1])
rows = data["rows"]
names = [f"c{number}" for number in range(rows.shape[3])]


def frame(values: np.ndarray) -> pd.DataFrame:
    """All channels, the last one a category."""
    table = pd.DataFrame(values, columns=names)
    table[names[-1]] = table[names[-1]].astype(int).astype(str)
    return table


calculator = nannyml.UnivariateDriftCalculator(
    column_names=names,
    chunk_size=rows.shape[2],
    continuous_methods=["jensen_shannon"],
    categorical_methods=["jensen_shannon"],
)
calculator.fit(frame(data["reference"]))
result = calculator.calculate(frame(rows.reshape(-1, rows.shape[3]))).filter(period="analysis").to_df()
alerts = np.stack([result[name, "jensen_shannon", "alert"].to_numpy(bool) for name in names])
json.dump({"NannyML": alerts.any(axis=0).reshape(rows.shape[:2]).tolist()}, sys.stdout)
