"""A stack's child processes: started with the stack's environment, logged to files, gone when their owner goes."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from laptop.stack import Stack

FENCE = Path(__file__).parent / "fence"
GUARD = Path(__file__).parent / "guard.py"
ROOT = Path(__file__).parents[1]
PATIENCE_S = 10


class Processes:
    """The children of one stack.

    Args:
        stack: Whose children; their logs go to `home/logs/<name>.log`.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._logs = stack.home / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
        """Start a child; it is ended when this process ends, however that happens."""
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-S", str(GUARD), f"exec {shlex.join(command)}"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(extra),
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C reaches the owner alone, which then ends its children in order
            )

    def run(self, name: str, command: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
        """Run a child to its end.

        Raises:
            RuntimeError: It failed; the error carries the end of its output.
        """
        self.start(name, command, extra)
        process = self._running[name]
        status = process.wait()
        self._running.pop(name, None)
        if status:
            raise RuntimeError(f"{name} failed with status {status}:\n{self.tail(name)}")

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What every process of the stack sees: the SDKs' settings, and the fence that watches its connections."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            **self._stack.sdk_environment(),
            "REFLUENT_FENCE_LOG": str(self.outside_log),
            "PYTHONPATH": os.pathsep.join([str(FENCE), str(ROOT)]),
            "NODE_OPTIONS": f"--require {FENCE / 'fence.cjs'}",
            "NODE_EXTRA_CA_CERTS": str(self._stack.authority),
            "NO_PROXY": "*",  # a proxy of the user's must not see loopback traffic
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            **(extra or {}),
        }

    @property
    def outside_log(self) -> Path:
        """One line for every connection that some process tried to make off the loopback."""
        return self._logs / "outside.log"

    def ended(self) -> str | None:
        """The name of a child that ended although nobody stopped it, or None."""
        return next((name for name, process in list(self._running.items()) if process.poll() is not None), None)

    def tail(self, name: str, lines: int = 12) -> str:
        """The end of a child's output, for an error message."""
        text = self.log(name).read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """End every child, the last started first."""
        stopping = [self._running.pop(name) for name in list(reversed(self._running))]
        for process in stopping:
            if process.stdin:
                process.stdin.close()
        for process in stopping:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
