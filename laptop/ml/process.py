"""One step as a process: its folder, its environment, its log, its limit, its end."""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from laptop import guard
from laptop.ml.command import render
from laptop.ml.graph import Step
from laptop.processes import FENCE

LIMIT = timedelta(hours=1)  # for a step that names none
LOG_TAIL = 4_000  # bytes of its log that are kept with the job
TIMED_OUT = 124  # as the shell's own timeout command answers
_INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "OMP_NUM_THREADS", "REFLUENT_FENCE_LOG")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a step ended.

    Args:
        exit_code: The command's exit status; 128 + n after signal n.
        log_file: What it wrote to standard output and error.
        log: The end of it, as text.
    """

    exit_code: int
    log_file: Path
    log: str

    @property
    def failed(self) -> bool:
        """Whether the command said so, as commands do."""
        return self.exit_code != 0


async def run_step(
    step: Step, folder: Path, *, inputs: Mapping[str, str], code: Path | None, variables: Mapping[str, str]
) -> Ending:
    """Run one step to its end, in a process group of its own.

    When this is cancelled, or this process is killed, the group ends too.

    Args:
        step: What to run.
        folder: The step's own folder, made here; its outputs are in ``outputs`` afterwards.
        inputs: A path or a literal for each input that has a value.
        code: The folder that becomes the working directory, copied; None for an empty one.
        variables: The environment, besides the step's own variables and the path.
    """
    outputs = {name: folder / "outputs" / name for name in step.outputs}
    _prepare(step, folder, code)
    command = render(step.command, inputs=inputs, outputs={name: str(path) for name, path in outputs.items()})
    environment = {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",  # so that the error is the log's last line, not what was printed before it
        "PYTHONPATH": str(FENCE),  # a step is watched like every other process of the stack
        **variables,
        **step.environment,
    }
    log = folder / "std_log.txt"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", guard.__file__, command,
            stdin=asyncio.subprocess.PIPE, stdout=file, stderr=asyncio.subprocess.STDOUT,
            cwd=folder / "code", env=environment, start_new_session=True,
        )  # fmt: skip
        exit_code = await _ending(process, step.timeout or LIMIT, log)
    return Ending(exit_code, log, _tail(log))


async def _ending(process: asyncio.subprocess.Process, limit: timedelta, log: Path) -> int:
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await process.wait()
    except TimeoutError:
        await _stop(process)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"\nEnded after its limit of {limit.total_seconds():g} s.\n")
        return TIMED_OUT
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Let the guard go, which ends the group, and wait until it has; nothing if it has ended."""
    if process.returncode is None and process.stdin is not None:
        process.stdin.close()
        await process.wait()


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL))
        return file.read().decode("utf-8", errors="replace")


def _prepare(step: Step, folder: Path, code: Path | None) -> None:
    if code is None:
        (folder / "code").mkdir(parents=True)
    else:
        shutil.copytree(code, folder / "code")
    for name, is_folder in step.outputs.items():
        output = folder / "outputs" / name
        (output if is_folder else output.parent).mkdir(parents=True, exist_ok=True)
