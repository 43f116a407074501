"""The endpoint as the slim image runs it, as a process with two versions of bench/edge_model.py's model at hand."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import onnxruntime as ort

from bench import edge_model
from bench.edge_load import OK, Client, get
from bench.edge_peers import ROOT
from tests.addresses import free_port

ADDRESS = "127.0.0.1"
PATIENCE_S = 300.0  # MLflow takes a minute to start on a busy machine
MALLOC = dict(re.findall(r"(MALLOC_\w+)=(\w+)", (ROOT / "edge" / "Dockerfile").read_text(encoding="utf-8")))


def bare_session() -> ort.InferenceSession:
    """The graph without an endpoint."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(edge_model.graph(), options, providers=["CPUExecutionProvider"])


def two_versions(home: Path, session: ort.InferenceSession) -> Path:
    """Two versions on disk for the server, and the bare graph beside them for the others."""
    sample = edge_model.rows(200, seed=4)
    score = session.run(["probabilities"], {"features": edge_model.tensor(sample)})[0][:, 1]
    for version in ("1", "2"):
        made = edge_model.model(version, score=score, sample=sample)
        (home / "models" / version).mkdir(parents=True)
        for name, content in (made.files | {"profile": made.wanted.profile.encode()}).items():
            (home / "models" / version / name).write_bytes(content)
    (home / "model.onnx").write_bytes(edge_model.graph())
    return home / "models"


@contextmanager
def endpoint(models: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Serve until the block ends; SIGUSR1 has the other version take over.

    The C library gives memory out as in the image, unless this command's own environment says otherwise.
    """
    port = free_port(ADDRESS)
    command = [sys.executable, "-m", "bench.edge_server", str(models), ADDRESS, str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**MALLOC, **os.environ})
    try:
        until_it_answers(port, "/ready")
        yield port, process
    finally:
        process.terminate()
        process.wait()


def until_it_answers(
    port: int, path: str, *, holds: Callable[[bytes], bool] = lambda answer: answer.startswith(OK)
) -> None:
    """Wait for a server, ours or another one, to give an answer of which something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(OSError, KeyError, ValueError):  # not there yet, or its proxy is and it is not
            client = Client(ADDRESS, port)
            if holds(client.ask(get(path))):
                return
        time.sleep(0.02)
    raise SystemExit(f"nothing answered at port {port} within {PATIENCE_S} s")
