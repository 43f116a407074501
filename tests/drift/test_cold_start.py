"""The first message after a start waits for no library that telemetry does not need."""

import subprocess
import sys

HEAVY = ("pandas", "scipy", "pyarrow", "matplotlib", "azure.ai", "azure.iot", "onnxruntime", "lightgbm")
FIRST_BATCH = """
import os, sys
from tests.fakes.cloud import ENVIRONMENT, FakeCloud
os.environ.update(ENVIRONMENT)
import function_app
from functions.drift.trigger import score_drift_on_telemetry
from functions.wiring import using
from tests.drift.test_trigger import PROFILE, routed, told
with using(FakeCloud()) as here:
    here.blobs.put("models", "flight-delays/1/profile.json", PROFILE.to_json().encode())
    score_drift_on_telemetry([routed(told(0)), routed(told(0))])
    assert here.rows.get("devices", "flight-delays", "lga/inference")
print(*sorted(sys.modules))
"""


def test_telemetry_is_counted_without_any_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_BATCH], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "numpy" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []
