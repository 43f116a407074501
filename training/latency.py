"""How long models take to answer, measured side by side on this machine: a ratio to judge by, not a promise."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np
import onnxruntime as ort

from training.rows import Rows, take
from training.signature import read_signature

BATCH_ROWS = 100
REPEATS = 51


def milliseconds(models: Sequence[Path], rows: Rows) -> list[float]:
    """Give each model's median time for one batch on one core; the models take turns, so that noise meets them alike.

    Args:
        models: Whole model folders, which have answered before: what cannot run was said by `score`.
        rows: At least one; they are repeated up to a batch of 100.
    """
    chosen = np.resize(np.arange(len(rows)), BATCH_ROWS)
    columns = take(rows.columns, chosen)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    ready = []
    for model in models:
        signature = read_signature(model)
        session = ort.InferenceSession((model / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
        ready.append((session, signature.output, {signature.input: signature.tensor(columns, BATCH_ROWS)}))
    times: list[list[int]] = [[] for _ in models]
    for _ in range(REPEATS):
        for (session, output, tensor), taken in zip(ready, times, strict=True):
            began = perf_counter_ns()
            session.run([output], tensor)
            taken.append(perf_counter_ns() - began)
    return [median(taken) / 1e6 for taken in times]
