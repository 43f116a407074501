"""One Azurite for all tests of a worker, on an address of its own."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from laptop.stack import Stack
from laptop.storage.front import running_azurite
from laptop.tls import write_certificates

CLAIM_PORT = 10099  # no endpoint's port: whoever holds it on an address has the address


@pytest.fixture(scope="session")
def azurite_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with certificates and a running Azurite; set REFLUENT_TEST_ADDRESS to choose its address."""
    home = tmp_path_factory.mktemp("stack")
    with claimed_address(home) as address:
        stack = Stack(address, home)
        write_certificates(stack)
        with running_azurite(stack):
            yield stack


@pytest.fixture
def stack(azurite_stack: Stack, tmp_path: Path) -> Stack:
    """The same Azurite and certificates under an empty home, for state that a test must not inherit."""
    shutil.copytree(azurite_stack.home / "tls", tmp_path / "tls")
    return Stack(azurite_stack.address, tmp_path)


@contextmanager
def claimed_address(home: Path) -> Iterator[str]:
    """The first loopback address that nobody else uses, claimed until the block ends."""
    chosen = os.environ.get("REFLUENT_TEST_ADDRESS")
    for address in [chosen] if chosen else [f"127.0.0.{last}" for last in range(11, 41)]:
        with socket.socket() as claim:
            try:
                claim.bind((address, CLAIM_PORT))
            except OSError:
                continue
            if not Stack(address, home).busy_ports():
                yield address
                return
    pytest.fail("no loopback address from 127.0.0.11 to 127.0.0.40 is free: end the stacks that are still running")
