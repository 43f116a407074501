"""Step 1 of 4: reads exactly the files of a training set, checks them, and holds some days out."""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.holdout import NEWEST_DAYS, held_out
from training.lean import keep_out
from training.schema import DAY, SEGMENT, Kind, Schema

LARGEST = float(np.finfo(np.float32).max)  # what a model's input can hold


class Unusable(Exception):
    """One file cannot be trained on; the others can."""


def main() -> None:
    """Read the arguments and run the step."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--landing", type=Path, required=True, help="the loop's folder of kept versions")
    arguments.add_argument("--training-set", type=Path, required=True, help="a folder with manifest.json")
    arguments.add_argument("--schema", required=True, help="what the files look like, as JSON")
    arguments.add_argument(
        "--data", type=Path, required=True, help="gets train.parquet, test.parquet and what they are"
    )
    given = arguments.parse_args()
    prepare(given.landing, given.training_set, schema=Schema.from_json(given.schema), data=given.data)


def prepare(landing: Path, training_set: Path, *, schema: Schema, data: Path) -> None:
    """Write the rows to train on, the rows held out, and a note of both.

    Raises:
        SystemExit: There is no usable manifest, no usable file, too few days, or nothing to learn.
    """
    manifest = _manifest(training_set)
    by_day = _usable_files(landing, manifest, schema)
    days = sorted(by_day)
    slices = held_out(manifest["loop"], days)
    kept = {day for part in slices.values() for day in part}
    learnt = [day for day in days if day not in kept]
    if not learnt:
        raise SystemExit(
            f"{len(days)} days have usable files, and all are held out: the newest {NEWEST_DAYS} at least,"
            " and one in ten for ever; land more days"
        )
    train, test = (_together(by_day, part) for part in (learnt, sorted(kept)))
    share = pc.mean(pc.cast(train[schema.label], pa.float64())).as_py()
    if share in {0, 1}:
        raise SystemExit(f"every row to train on has the same {schema.label!r}: there is nothing to learn")
    data.mkdir(parents=True, exist_ok=True)
    pq.write_table(train, data / "train.parquet")
    pq.write_table(test, data / "test.parquet")
    (data / "schema.json").write_text(schema.to_json())
    named = {name: [day.isoformat() for day in part] for name, part in slices.items()}
    split = {"train_rows": train.num_rows, "train_share": share, "slices": named}
    (data / "split.json").write_text(json.dumps(split))
    print(f"train on {train.num_rows} rows of {learnt[0]} to {learnt[-1]}, {share:.1%} {schema.label}")
    print(
        f"hold out {test.num_rows} rows of " + " and ".join(f"{len(part)} {name} days" for name, part in named.items())
    )


def _manifest(training_set: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((training_set / "manifest.json").read_text())
        return {"loop": str(manifest["loop"]), "blobs": {str(blob["name"]): dict(blob) for blob in manifest["blobs"]}}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SystemExit(f"the training set has no usable manifest.json: {problem!r}") from problem


def _usable_files(landing: Path, manifest: Mapping[str, Any], schema: Schema) -> dict[date, list[pa.Table]]:
    """Read every file of the manifest that can be trained on, by day; say which cannot, and why."""
    by_day: dict[date, list[pa.Table]] = defaultdict(list)
    for name, blob in sorted(manifest["blobs"].items()):
        try:
            day, path = _place(name, blob.get("path"), manifest["loop"])
            _check_size(landing / path, blob)
            table = _named(_read(landing / path, schema), day, blob.get(schema.segment), schema)
            by_day[day].append(table)
        except Unusable as problem:
            print(f"skipped {name}: {problem}")
    if not by_day:
        raise SystemExit(
            f"none of the {len(manifest['blobs'])} files of the training set is usable; see the lines above"
        )
    return by_day


def _place(name: str, kept: object, loop: str) -> tuple[date, Path]:
    """The day a file is about, and where it is: where the manifest says, or by its name below the loop's folder."""
    parts = PurePosixPath(kept if isinstance(kept, str) else name.removeprefix(f"{loop}/")).parts
    if not name.startswith(f"{loop}/") or ".." in parts or parts[:1] == ("/",):
        raise Unusable(f"it is not in the folder {loop}/")
    try:
        return date.fromisoformat(PurePosixPath(name).stem), Path(*parts)
    except ValueError as problem:
        raise Unusable("its name is not a day, such as 2013-02-18.parquet") from problem


def _check_size(path: Path, blob: Mapping[str, object]) -> None:
    if not path.is_file():
        raise Unusable("it is not there any more")
    if path.stat().st_size != blob.get("size_bytes"):
        raise Unusable(f"it was written again: {path.stat().st_size} bytes, {blob.get('size_bytes')} in the manifest")


def _read(path: Path, schema: Schema) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        for name in schema.columns:
            if (times := file.schema_arrow.names.count(name)) != 1:
                raise Unusable(f"it has {times or 'no'} column{'s' * (times > 1)} {name}")
        table = file.read(columns=schema.columns)
    except (pa.ArrowException, OSError) as problem:
        raise Unusable(f"it is not readable as Parquet: {str(problem).splitlines()[0]}") from problem
    columns = {name: _feature(name, table[name], kind) for name, kind in schema.features.items()}
    return pa.table({**columns, schema.label: _label(schema.label, table[schema.label])})


def _feature(name: str, column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    held = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if kind == "category":
        if not (pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_null(held)):
            raise Unusable(f"{name} holds {held}, and should hold names")
        return pc.cast(column, pa.string())
    if not (pa.types.is_integer(held) or pa.types.is_floating(held) or pa.types.is_null(held)):
        raise Unusable(f"{name} holds {held}, and should hold numbers")
    numbers = pc.cast(column, pa.float64(), safe=False)
    if np.any(np.abs(numbers.to_numpy()) > LARGEST):
        raise Unusable(f"{name} holds a number that is infinite or beyond {LARGEST:.1e}")
    return numbers


def _label(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type) and set(pc.unique(column).to_pylist()) <= {0, 1, None}:
        return pc.cast(column, pa.bool_())
    if not pa.types.is_boolean(column.type):
        raise Unusable(f"{name} holds {column.type}, and should hold true and false")
    return column


def _named(table: pa.Table, day: date, segment: object, schema: Schema) -> pa.Table:
    """Keep the labelled rows, and write on each where it is from."""
    if not isinstance(segment, str):
        raise Unusable(f"the manifest gives it no {schema.segment}")
    labelled = table.filter(pc.is_valid(table[schema.label]))
    if not labelled.num_rows:
        raise Unusable(f"no row has a {schema.label!r}")
    if labelled.num_rows < table.num_rows:
        print(f"left out {table.num_rows - labelled.num_rows} rows of {segment} {day}: no {schema.label!r} yet")
    for name, value in ((DAY, day.isoformat()), (SEGMENT, segment)):
        labelled = labelled.append_column(name, pa.repeat(value, labelled.num_rows))
    return labelled


def _together(by_day: Mapping[date, list[pa.Table]], days: list[date]) -> pa.Table:
    return pa.concat_tables([table for day in days for table in by_day[day]])


if __name__ == "__main__":
    keep_out("pandas", "sklearn")
    main()
