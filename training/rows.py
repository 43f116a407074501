"""Rows between two steps: Parquet on disk, numpy in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.schema import DAY, SEGMENT, Schema

Column = NDArray[np.float64] | list[str | None]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows.

    Args:
        columns: A number is float64 with NaN where missing; a category is a list of names with None where missing.
        label: 1.0 or 0.0, shape (rows,).
        days: The day each row belongs to, such as 2013-02-18, shape (rows,).
        segments: The part of the fleet each row comes from, shape (rows,).
    """

    columns: dict[str, Column]
    label: NDArray[np.float64]
    days: NDArray[np.str_]
    segments: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)


def read_rows(path: Path, schema: Schema) -> Rows:
    """Read what prepare wrote."""
    table = pq.ParquetFile(path).read()
    columns: dict[str, Column] = {
        name: table[name].to_pylist() if kind == "category" else table[name].to_numpy()
        for name, kind in schema.features.items()
    }
    days, segments = (np.array(table[name].to_pylist(), np.str_) for name in (DAY, SEGMENT))
    return Rows(columns, table[schema.label].to_numpy().astype(np.float64), days, segments)


def read_all_rows(data: Path, schema: Schema) -> Rows:
    """Read what prepare wrote to learn from and what it held out, day by day as if nothing had been held out."""
    parts = [read_rows(data / f"{name}.parquet", schema) for name in ("train", "test")]
    days = np.concatenate([part.days for part in parts])
    order = np.argsort(days, kind="stable")
    columns = {name: _joined([part.columns[name] for part in parts]) for name in schema.features}
    return Rows(
        take(columns, order),
        np.concatenate([part.label for part in parts])[order],
        days[order],
        np.concatenate([part.segments for part in parts])[order],
    )


def take(columns: dict[str, Column], rows: NDArray[np.intp]) -> dict[str, Column]:
    """Give the same columns with only some of the rows."""
    return {
        name: [column[row] for row in rows.tolist()] if isinstance(column, list) else column[rows]
        for name, column in columns.items()
    }


def _joined(parts: Sequence[Column]) -> Column:
    names = [part for part in parts if isinstance(part, list)]
    if names:
        return [name for part in names for name in part]
    return np.concatenate([part for part in parts if not isinstance(part, list)])
