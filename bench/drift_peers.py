"""river and NannyML, each in a throw-away virtual environment under .refluent/peers."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import edge_peers

HERE = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """One other library.

    Args:
        name: What it is called, also the name of its environment.
        packages: What is installed for it.
    """

    name: str
    packages: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return edge_peers.HOME / self.name / "bin" / "python"


# Its releases allow Python below 3.13 only, and say too little of what they need; with these they run.
NANNYML = ("nannyml==0.13.1", "pandas==2.3.3", "numpy==2.3.5", "statsmodels", "setuptools<81")
PEERS = (
    Peer("river", ("river==0.26.1", "numpy==2.3.5")),
    Peer("nannyml", NANNYML),
)


def installed(peer: Peer) -> bool:
    """Make sure that a peer can run; False, after saying so loudly, if it cannot be installed here."""
    return edge_peers.environment(peer.name, peer.packages)


def alarms_of(peer: Peer, file: Path) -> dict[str, NDArray[np.bool_]]:
    """Which windows alarm by each of its methods, shape (devices, windows).

    Args:
        peer: An installed one.
        file: An `.npz` with `reference` of shape (rows, channels) and `rows` of (devices, windows, rows, channels).
    """
    command = [str(peer.python), "-W", "ignore", str(HERE / f"{peer.name}_drift.py"), str(file)]
    quiet = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, check=True, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {name: np.array(alarms, bool) for name, alarms in json.loads(said.stdout).items()}
