"""A process that must not outlive the one that started it."""

import os
import signal
import threading
import time

_LOOK_SECONDS = 0.5


def leave_with_parent(grace_seconds: float) -> None:
    """Send this process SIGTERM when its parent is gone, and end it for good after a grace.

    A thread rather than prctl: it works on every system, and also when the thread that started this process ends.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
