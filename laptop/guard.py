"""Runs one shell command, and takes it and all it started down when the owner goes away.

The owner holds the other end of standard input: when that closes, whether on purpose or because the owner was killed,
the command's whole process group is ended. Unlike PR_SET_PDEATHSIG this reaches grandchildren, and works off Linux.

Usage: ``python guard.py COMMAND``; exits with the command's status (128 + signal number for a signal).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

_GRACE_S = 5.0  # for the command to clean up after SIGTERM


def main() -> int:
    """Run the command; its exit status."""
    command = subprocess.Popen(["bash", "-c", sys.argv[1]], stdin=subprocess.DEVNULL, start_new_session=True)
    ended = threading.Event()
    threading.Thread(target=_end_with_owner, args=(command.pid, ended), daemon=True).start()
    status = command.wait()
    ended.set()
    _signal(command.pid, signal.SIGKILL)  # what the command left in the background ends with it
    return 128 - status if status < 0 else status


def _end_with_owner(group: int, ended: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the owner closes its end, or is gone
    _signal(group, signal.SIGTERM)
    if not ended.wait(_GRACE_S):
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
