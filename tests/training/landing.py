"""A landing folder and a training set of real flights, and the pipeline's steps as processes."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from laptop.flights import FEATURES, LABEL, day_tables
from training.schema import Schema

SCHEMA = Schema(
    LABEL,
    {name: "category" if name in {"carrier", "dest"} else "number" for name in FEATURES},
    segment="site",
    pairs=(("temp", "dewp"),),
    contexts=("hour", "site"),
)


def land(folder: Path, first: date, last: date) -> None:
    """Write the files of some days below folder/landing, and folder/training_set/manifest.json that lists them."""
    blobs = []
    for site, day, table in day_tables(first, last):
        blobs.append(upload(folder, site, f"{day}.parquet", table))
    list_in_manifest(folder, blobs)


def upload(folder: Path, site: str, name: str, table: pa.Table) -> dict[str, object]:
    """Write one file, and give its entry of a manifest."""
    path = folder / "landing" / site / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return {"name": f"flights/{site}/{name}", "etag": "0x1", "size_bytes": path.stat().st_size, "site": site}


def list_in_manifest(folder: Path, blobs: list[dict[str, object]]) -> None:
    """Write the manifest of a training set."""
    (folder / "training_set").mkdir(exist_ok=True)
    manifest = {"loop": "flights", "generation": 1, "blobs": blobs}
    (folder / "training_set" / "manifest.json").write_text(json.dumps(manifest))


def manifest(folder: Path) -> list[dict[str, object]]:
    """Read the entries of the manifest."""
    entries: list[dict[str, object]] = json.loads((folder / "training_set" / "manifest.json").read_text())["blobs"]
    return entries


def step(name: str, arguments: Mapping[str, Path | str]) -> subprocess.CompletedProcess[str]:
    """Run one step as Azure Machine Learning would: a process that knows its arguments and nothing else."""
    options = [text for option, value in arguments.items() for text in (f"--{option}", str(value))]
    return subprocess.run(
        [sys.executable, "-m", f"training.{name}", *options], capture_output=True, text=True, check=False
    )


def prepare(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the first step on a landing folder."""
    here = {"landing": folder / "landing", "training-set": folder / "training_set", "data": folder / "data"}
    return step("prepare", {**here, "schema": SCHEMA.to_json()})


def finish(folder: Path) -> list[subprocess.CompletedProcess[str]]:
    """Run the other steps, without a champion."""
    data, candidate, model = folder / "data", folder / "candidate", folder / "model"
    return [
        step("train", {"data": data, "candidate": candidate}),
        step("make_profile", {"data": data, "candidate": candidate, "model": model}),
        step("evaluate", {"data": data, "model": model, "report": folder / "report"}),
    ]
