"""Loopback addresses and ports that nobody else uses, whatever else runs on this computer."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from laptop.stack import CLAIM_PORT, Stack

ADDRESSES = [f"127.0.0.{number}" for number in range(100, 200)]  # the storage SDK knows a local account by 127.0.0.1…


@contextmanager
def claimed_address(home: Path) -> Iterator[str]:
    """The first loopback address that nobody else uses, claimed until the block ends."""
    for address in ADDRESSES:
        with socket.socket() as claim:
            try:
                claim.bind((address, CLAIM_PORT))
            except OSError:
                continue
            if not Stack(address, home).busy_ports():
                yield address
                return
    pytest.fail(f"no address from {ADDRESSES[0]} to {ADDRESSES[-1]} is free: end the stacks that are still running")


def free_port(address: str) -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
