"""Imported by every Python process of a stack: writes down each connection it tries to make off the loopback."""

import os
import sys
from ipaddress import ip_address
from pathlib import Path

LOG = os.environ.get("REFLUENT_FENCE_LOG")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.split("%", maxsplit=1)[0]).is_loopback
    except ValueError:
        return host in ("", "localhost")


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = str(address[0]) if isinstance(address, tuple) else "localhost"  # anything else is a unix socket
    elif event == "socket.getaddrinfo":
        host = str(arguments[0] or "")
    else:
        return
    if LOG and not _is_loopback(host):
        with Path(LOG).open("a", encoding="utf-8") as log:
            log.write(f"{event} {host} by {' '.join(sys.argv[:3])}\n")


sys.addaudithook(_watch)
