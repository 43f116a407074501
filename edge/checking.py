"""`python -m edge.checking`: tries models in processes that may die of it; edge/sandbox.py starts and asks it.

It reads one line of JSON per model and answers one. Each model is loaded and run in a fork with limits of its own:
what a hostile or broken model does to ONNX Runtime ends there. Everything heavy is imported before the first fork.
"""

import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

import msgspec

from edge.errors import Unfit
from edge.model import load_model
from edge.onnx_wire import look_into
from edge.operators import refuse_operators
from edge.shelf import FILES
from edge.wanted import Wanted

IDLE_SECONDS = 30.0  # then it ends, and its memory is free again until the next model comes
NICENESS = 10  # what serves has the processor first
PATIENCE = 4  # times the processor time allowed, on the wall clock: a model may also just wait
ANSWER_BYTES = 65_536
MEBIBYTE = 1024 * 1024


class Question(msgspec.Struct, frozen=True):
    """One model to try.

    Args:
        folder: Where its files are.
        wanted: Which model it should be.
        mebibytes: Address space it may take beyond what the interpreter has.
        seconds: Processor time it may take.
    """

    folder: str
    wanted: Wanted
    mebibytes: int
    seconds: int


class Verdict(msgspec.Struct, frozen=True):
    """What came of it: nothing to say about a model that is fit, else what, why and fix."""

    unfit: tuple[str, str, str] | None = None


def main() -> None:
    """Answer until the questions end, or none comes for a while."""
    os.nice(NICENESS)
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        verdict = _tried(msgspec.json.decode(line, type=Question))
        sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
        sys.stdout.buffer.flush()


def _tried(question: Question) -> Verdict:
    answer, hand = os.pipe()
    child = os.fork()
    if child == 0:
        _try(question, hand)
    os.close(hand)
    said = _heard(answer, child, PATIENCE * question.seconds)
    os.close(answer)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0 and said:
        return msgspec.json.decode(said, type=Verdict)
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    return Verdict(
        (
            "the model broke the process that tried it",
            f"it ended with {how}; it may take {question.seconds} s and {question.mebibytes} MiB",
            "train a smaller model, or raise the settings CHECK_SECONDS and CHECK_MEBIBYTES",
        )
    )


def _heard(answer: int, child: int, seconds: float) -> bytes:
    """What the child says until it ends; it is killed when its time is up."""
    deadline, said = time.monotonic() + seconds, b""
    while select.select([answer], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(answer, ANSWER_BYTES)
        if not part:
            return said
        said += part
    os.kill(child, signal.SIGKILL)
    return b""


def _try(question: Question, hand: int) -> None:
    """Load and run the model, say what came of it, and end this process; never returns."""
    status = 1
    try:
        _limit(question)
        os.write(hand, msgspec.json.encode(Verdict(_faults(Path(question.folder), question.wanted))))
        status = 0
    finally:
        os._exit(status)  # not through the interpreter's own end: this fork shares its parent's buffers


def _limit(question: Question) -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = {
        resource.RLIMIT_AS: taken + question.mebibytes * MEBIBYTE,
        resource.RLIMIT_CPU: question.seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


def _faults(folder: Path, wanted: Wanted) -> tuple[str, str, str] | None:
    try:
        contents = {name: (folder / name).read_bytes() for name in FILES}
        refuse_operators(look_into(contents["model.onnx"]))
        load_model(contents, wanted)
    except Unfit as problem:
        return problem.what, problem.why, problem.fix
    except MemoryError:
        return "the model takes more memory than it may", "an allocation failed", "raise the setting CHECK_MEBIBYTES"
    return None


if __name__ == "__main__":
    main()
