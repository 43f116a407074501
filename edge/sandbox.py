"""Tries a model where it can do no harm before it is loaded here: in a process with limits and without secrets."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Protocol, Self

import msgspec

from edge.checking import Question, Verdict
from edge.errors import Away, Unfit
from edge.wanted import Wanted

COMMAND = (sys.executable, "-m", "edge.checking")
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ")  # and no other: the environment holds the module's key
GOODBYE_SECONDS = 5.0


class Checker(Protocol):
    """Says whether a model is fit to be loaded."""

    def check(self, folder: Path, wanted: Wanted) -> None:
        """Load and run a model, and compare its scores with those it gave at training.

        Args:
            folder: Where its files are; their checksums hold.
            wanted: Which model it should be.

        Raises:
            Unfit: It is not, or it broke the process that tried it.
            Away: It could not be tried.
        """
        ...


class Sandbox:
    """Tries models in processes of their own. Thread-safe; models are tried one at a time.

    Args:
        mebibytes: Memory that a model may take while it is tried, MiB.
        seconds: Processor time that it may take, seconds.
        command: What tries models; it speaks as edge/checking.py does.
    """

    def __init__(self, *, mebibytes: int, seconds: int, command: Sequence[str] = COMMAND) -> None:
        self._mebibytes, self._seconds, self._command = mebibytes, seconds, command
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._end()

    def check(self, folder: Path, wanted: Wanted) -> None:
        """Load and run a model; see Checker."""
        question = msgspec.json.encode(Question(str(folder.resolve()), wanted, self._mebibytes, self._seconds))
        with self._lock:
            answer = self._ask(question) or self._ask(question)  # the first may have met it as it ended for idleness
        if not answer:
            raise Away(
                f"model {wanted} could not be tried",
                why="the process that tries models ends without an answer",
                fix="make memory free on the device; it tries again by itself",
            )
        verdict = msgspec.json.decode(answer, type=Verdict)
        if verdict.unfit:
            what, why, fix = verdict.unfit
            raise Unfit(what, why=why, fix=fix)

    def _ask(self, question: bytes) -> bytes:
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None  # noqa: S101 - both are pipes, see _start
        assert self._process.stdout is not None  # noqa: S101 - likewise
        try:
            self._process.stdin.write(question + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            self._end()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return subprocess.Popen(  # noqa: S603 - this program's own module
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
