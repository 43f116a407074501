"""Some rows of a file, to find out what its columns hold before all of it is read."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pyarrow as pa

from functions.errors import Refused
from functions.operator.drift.source import Source
from functions.operator.drift.spelling import is_text

SAMPLE_ROWS = 200_000

type Progress = Callable[[Source], AbstractContextManager[Callable[[float], None]]]


def sampled(source: Source, progress: Progress) -> tuple[pa.Table, bool]:
    """Rows spread over the whole file, in their order: every one, second, fourth, …; at most 200,000.

    Returns:
        The rows, and whether they are all.

    Raises:
        Refused: There is none.
    """
    parts, step, seen, kept = list[pa.RecordBatch](), 1, 0, 0
    with progress(source) as told:
        for batch, done in source.batches():
            part = batch.take(pa.array(np.arange(-seen % step, batch.num_rows, step)))
            parts.append(part)
            seen, kept = seen + batch.num_rows, kept + part.num_rows
            while kept > SAMPLE_ROWS:
                step *= 2
                whole = pa.Table.from_batches(parts)
                parts = whole.take(pa.array(np.arange(0, kept, 2))).combine_chunks().to_batches()
                kept = sum(part.num_rows for part in parts)
            told(done)
    if not kept:
        raise empty(source)
    return pa.Table.from_batches(parts), step == 1


def first_rows(source: Source) -> pa.Table:
    """The first 200,000 rows or some more, or a batch where no column is text: types then say what it holds."""
    parts, rows = list[pa.RecordBatch](), 0
    for batch, _ in source.batches():
        parts, rows = [*parts, batch], rows + batch.num_rows
        if rows >= SAMPLE_ROWS or not any(is_text(held) for held in batch.schema.types):
            break
    return pa.Table.from_batches(parts) if parts else pa.table({name: pa.nulls(0) for name in source.names})


def empty(source: Source, *, why: str = "") -> Refused:
    """A file without a row to compare, and why: what was left out, or that there is nothing."""
    told = why or "; ".join(source.notes) or "there is nothing below its header"
    return Refused(f"{source.path} has no rows to compare", why=told, fix="give a file with rows, and times if asked")
