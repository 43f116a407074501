"""Other servers for the same ONNX graph, each in a throw-away virtual environment under .refluent/peers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".refluent" / "peers"
SAVE = "import mlflow, onnx, sys; mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2])"


@dataclass(frozen=True)
class Peer:
    """One other server.

    Args:
        name: What it is called, also the name of its environment.
        packages: What is installed for it.
        command: What serves; `{bin}`, `{model}`, `{address}` and `{port}` are filled in.
        path: Where it takes rows.
        ready: Where it says that it is there.
    """

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    path: str
    ready: str

    def body(self, tensor: NDArray[np.float32]) -> bytes:
        """A request; numbers only, already encoded: these servers know no names, no categories, no missing values."""
        features = np.nan_to_num(tensor).tolist()
        return json.dumps(
            {"inputs": {"features": features}} if self.name == "mlflow" else {"features": features}
        ).encode()


RUNTIME = ("onnxruntime==1.32.0", "numpy")
PEERS = (
    Peer(
        "mlflow",
        ("mlflow==3.17.2", "onnx", "pandas", *RUNTIME),
        ("{bin}/mlflow", "models", "serve", "-m", "{model}.mlflow", "--env-manager", "local",
         "-h", "{address}", "-p", "{port}", "--workers", "1"),
        "/invocations",
        "/ping",
    ),
    Peer(
        "bentoml",
        ("bentoml==1.4.40", *RUNTIME),
        ("{bin}/bentoml", "serve", "bentoml_service:Scorer", "--host", "{address}", "--port", "{port}"),
        "/score",
        "/readyz",
    ),
    Peer(
        "litserve",
        ("litserve==0.2.19", *RUNTIME),
        ("{bin}/python", "litserve_server.py", "{address}", "{port}"),
        "/predict",
        "/health",
    ),
)  # fmt: skip


def installed(peer: Peer) -> bool:
    """Make sure that a peer can run; False, after saying so loudly, if it cannot be installed here."""
    return environment(peer.name, peer.packages)


def environment(name: str, packages: tuple[str, ...]) -> bool:
    """Make a virtual environment with these packages, once; False, after saying so loudly, if that fails here."""
    python, mark = HOME / name / "bin" / "python", HOME / name / ".installed"
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    if mark.exists() and mark.read_text() == " ".join(packages):
        return True
    print(f"installing {name} into {HOME / name}, once …", flush=True)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(HOME / name)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *packages],
    ):
        if subprocess.run(command, check=False).returncode:
            print(f"!!! {name} CANNOT BE INSTALLED HERE: its ratio is missing below", file=sys.stderr, flush=True)
            return False
    mark.write_text(" ".join(packages))
    return True


@contextmanager
def serving(peer: Peer, model: Path, address: str, port: int) -> Iterator[None]:
    """Run a peer until the block ends."""
    binaries = HOME / peer.name / "bin"
    if peer.name == "mlflow":
        subprocess.run([binaries / "python", "-W", "ignore", "-c", SAVE, model, f"{model}.mlflow"], check=True)
    filled = {"bin": binaries, "model": model, "address": address, "port": port}
    with (model.parent / f"{peer.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [part.format(**filled) for part in peer.command],
            cwd=Path(__file__).parent / "peers",
            env={**os.environ, "MODEL": str(model), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
                 "BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            os.killpg(process.pid, 15)
            process.wait()
