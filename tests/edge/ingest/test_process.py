"""The program as it is started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import Misconfigured
from edge.ingest.settings import Settings, settings_from
from tests.files import flights

ROOT = Path(__file__).parents[3]


def environment(folder: Path) -> dict[str, str]:
    folders = {f"INGEST_{name}": str(folder / name) for name in ("SHARE", "CLOUD_SHARE", "REJECTS", "STATE")}
    schema = str(ROOT / "tests" / "loops" / "flight-delays.toml")
    return {**folders, "INGEST_SITE": "ewr", "INGEST_SCHEMA": schema, "INGEST_SETTLED_SECONDS": "0"}


def test_once_takes_what_is_there_tells_it_and_ends(tmp_path: Path) -> None:
    (tmp_path / "SHARE").mkdir()
    (tmp_path / "SHARE" / "2013-01-01.parquet").write_bytes(flights(2))
    command = [sys.executable, "-m", "edge.ingest", "--once", "--json"]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told == {"seen": 1, "taken": 1, "rejected": 0, "waiting": 0, "rows": 2, "manifests": 1, "outcomes": 0}


def test_the_cloud_and_its_sdks_are_not_imported() -> None:
    script = "import sys, edge.ingest.__main__; print(*sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in ended.stdout.split()}
    assert not imported & {"functions", "azure", "starlette", "onnxruntime", "pydantic"}


def test_every_setting_is_read_under_its_documented_name(tmp_path: Path) -> None:
    given = {**environment(tmp_path), "INGEST_MARKER": ".done", "INGEST_EVERY_SECONDS": "1.5"}
    assert settings_from(given) == Settings(
        tmp_path / "SHARE", tmp_path / "CLOUD_SHARE", "ewr", tmp_path / "REJECTS", tmp_path / "STATE",
        given["INGEST_SCHEMA"], 0, ".done", 1.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("INGEST_SHARE", ""),
        ("INGEST_SITE", ""),
        ("INGEST_SCHEMA", ""),
        ("INGEST_STATE", "/dev/null/x"),
        ("INGEST_SETTLED_SECONDS", "-1"),
        ("INGEST_EVERY_SECONDS", "soon"),
    ],
)
def test_what_is_missing_or_unusable_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        settings_from({**environment(tmp_path), name: text})


def test_folders_that_overlap_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="the folders overlap"):
        settings_from({**environment(tmp_path), "INGEST_REJECTS": str(tmp_path / "SHARE" / "bad")})
