"""Clients for bench/edge.py: as little Python per request as there can be, because they share the machine."""

import socket
import time
from dataclasses import dataclass, field
from threading import Thread

OK = b"HTTP/1.1 200"


class Client:
    """One kept-alive connection.

    Args:
        address: Of the server.
        port: Of the server.
    """

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_connection((address, port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """Send one request; returns the whole answer, head and body."""
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = self._socket.recv(262_144)
            if not part:
                raise ConnectionError("the server hung up")
            answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        missing = int(fields[b"content-length"]) - len(body)
        while missing > 0:
            part = self._socket.recv(262_144)
            missing -= len(part)
            answer += part
        return answer

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def post(path: str, body: bytes) -> bytes:
    """The bytes of a POST with JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


@dataclass
class Load:
    """Several connections that ask one after the other, until told to stop.

    Args:
        address: Of the server.
        port: Of the server.
        request: What each asks for, again and again.
    """

    address: str
    port: int
    request: bytes
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    running: bool = True

    def run(self, clients: int) -> list[Thread]:
        """Start asking."""
        threads = [Thread(target=self._ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        return threads

    def for_(self, seconds: float, *, clients: int) -> float:
        """Ask for a while; returns requests answered a second."""
        began = time.perf_counter()
        threads = self.run(clients)
        time.sleep(seconds)
        self.running = False
        for thread in threads:
            thread.join()
        return len(self.latencies_s) / (time.perf_counter() - began)

    def _ask(self) -> None:
        client = Client(self.address, self.port)
        while self.running:
            began = time.perf_counter()
            try:
                good = client.ask(self.request).startswith(OK)
            except OSError:
                good = False
                client = Client(self.address, self.port)
            if good:
                self.latencies_s.append(time.perf_counter() - began)
            else:
                self.failed += 1
        client.close()
