"""The host's log file: one line when an invocation starts, one when it ends, and what functions log in between."""

import logging
import sys
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

_NOISE = ("azure.core.pipeline.policies.http_logging_policy", "uvicorn")  # a line or more per request
_WORKER = "azure.functions"  # repeats every failed invocation, which the host already logs with its id
_LIMIT_BYTES = 20_000_000


class _Line(logging.Formatter):
    """Time, level, function, message."""

    converter = staticmethod(time.gmtime)

    def __init__(self, function: Callable[[], str | None]) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ [%(levelname)s]%(function)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._function = function

    def format(self, record: logging.LogRecord) -> str:
        name = self._function()
        record.function = f" [Function.{name}.User] {record.name}:" if name else ""
        return super().format(record)


def open_log(home: Path, function: Callable[[], str | None], *, verbose: bool) -> Path:
    """Send all logging to home/logs/host.log, and to the terminal too if asked.

    Args:
        home: The stack's folder.
        function: Name of the function whose code is logging, or None for the host itself.
        verbose: Whether the terminal shows the same lines.

    Returns:
        The log file.
    """
    path = home / "logs" / "host.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=_LIMIT_BYTES, backupCount=1)]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(_Line(function))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(capture=True)
    for name in _NOISE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_WORKER).setLevel(logging.CRITICAL)
    return path
