"""Nothing that the tests run reaches another computer, whichever way it tries."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_socket import SocketBlockedError

from tests.conftest import OutsideLoopback

ELSEWHERE = ("192.0.2.1", 80)  # an address for examples (RFC 5737)


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    "reach_out",
    [
        lambda: socket.create_connection(ELSEWHERE, 1),
        lambda: socket.getaddrinfo("example.com", 80),
        lambda: socket.gethostbyname("example.com"),
        lambda: asyncio.run(asyncio.wait_for(asyncio.open_connection(*ELSEWHERE), 1)),
    ],
    ids=["connect", "getaddrinfo", "gethostbyname", "asyncio"],
)
def test_a_test_that_may_use_sockets_still_cannot_leave_the_loopback(reach_out: Callable[[], object]) -> None:
    with pytest.raises(OutsideLoopback):
        reach_out()


@pytest.mark.enable_socket
def test_no_datagram_leaves_the_loopback() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender, pytest.raises(OutsideLoopback):
        sender.sendto(b"x", ELSEWHERE)


@pytest.mark.enable_socket
def test_the_loopback_is_open(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        socket.create_connection(server.getsockname()[:2], 1).close()


def test_a_test_without_the_mark_has_no_sockets_at_all() -> None:
    with pytest.raises(SocketBlockedError), pytest.warns(UserWarning, match="socket"):
        socket.socket()


def test_what_a_child_process_tries_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "outside.log"
    monkeypatch.setenv("REFLUENT_FENCE_LOG", str(log))
    script = "import socket, contextlib\nwith contextlib.suppress(OSError): socket.getaddrinfo('x.invalid', 80)"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert log.read_text().startswith("socket.getaddrinfo x.invalid")
