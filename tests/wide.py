"""A loop that watches every feature of a model with many, and what its devices tell."""

import base64
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import azure.functions as func
import numpy as np
from numpy.typing import NDArray

from sketch.profile import Profile
from sketch.sketch import Sketch

LOOP = "wide"
REFERENCE = 4_000  # rows


def loops(folder: Path, *, features: str = "[]") -> Mapping[str, str]:
    """The setting of an app that has the loop; of the features, it watches all by default."""
    text = Path("tests/loops/flight-delays.toml").read_text()
    text = text.replace('model = "flight-delays"', f'model = "{LOOP}"')
    text = text.replace('features = ["temp", "wind_speed", "visib"]', f"features = {features}")
    folder.joinpath(f"{LOOP}.toml").write_text(text.replace("tolerance = 0.3", "tolerance = 0"))
    return {"LOOPS_FOLDER": str(folder)}


@cache
def profile(features: int) -> Profile:
    """What a model of so many numbers was trained on."""
    columns = _columns(features, REFERENCE, seed=1)
    return Profile.build(columns, kinds=dict.fromkeys(columns, "number"), scores=np.linspace(0, 1, REFERENCE))


@cache
def message(features: int, sequence: int, *, device: str = "lga", rows: int = 1_000) -> func.EventHubEvent:
    """A message about version 1, as IoT Hub routes it."""
    sketch = Sketch(profile(features))
    sketch.add(_columns(features, rows, seed=100 + sequence), np.linspace(0, 1, rows))
    told = {
        "v": 1,
        "loop": LOOP,
        "model": LOOP,
        "version": "1",
        "profile": profile(features).hash,
        "epoch": "e1",
        "sequence": sequence,
        "rows": rows,
        "requests": 10,
        "failed": 0,
        "from": "2026-03-01T12:00:00Z",
        "to": f"2026-03-01T12:{sequence:02}:00Z",
        "latency_ms_p50": 1.2,
        "latency_ms_max": 9.0,
        "sketch": base64.b64encode(sketch.to_bytes()).decode(),
    }
    sender = {"connection-device-id": device, "connection-module-id": "inference"}
    return func.EventHubEvent(body=json.dumps(told).encode(), iothub_metadata=sender)


def _columns(features: int, rows: int, *, seed: int) -> dict[str, NDArray[np.float64]]:
    values = np.random.default_rng(seed).normal(size=(features, rows))
    return {f"n{number}": column for number, column in enumerate(values)}
