"""Loopback addresses and ports that nobody else uses, whatever else runs on this computer."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from laptop.stack import CLAIM_PORT, Stack

_PORTS = count(20_000)  # below those that the system gives to whoever connects or asks for any
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
    """A port nobody listens on at the moment, and that nobody is given by the system or by another call of this."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address, port))
            return port
