"""ONNX Runtime reports to its maker unless it is told not to before it is imported: decision 0084."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUPPRESSING = ("ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "GITHUB_ACTIONS")


@pytest.mark.parametrize("module", ["edge.model", "training.scoring", "training.latency"])
def test_a_process_that_imports_onnx_runtime_leaves_no_id_for_its_maker(module: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SUPPRESSING}
    program = f"import {module}, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "1\n"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
