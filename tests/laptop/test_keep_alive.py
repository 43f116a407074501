"""The lean HTTP client: one connection serves many requests, and every way a server can fail has one name."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from laptop.keep_alive import KeepAlive, Unreachable
from tests.patience import HANGS_S

pytestmark = pytest.mark.enable_socket
HEAD = [(b"host", b"localhost")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Ms-Meta-Site: ewr\r\n\r\nok"


class Server:
    """Answers each request, once it has been read to its blank line, with the next of its answers."""

    def __init__(self, *answers: bytes) -> None:
        self.connections = 0
        self.received = b""
        self._answers = list(answers)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self._answers and (head := await reader.read(65536)):
            self.received += head
            if not head.endswith(b"\r\n\r\n"):
                continue
            answer = self._answers.pop(0)
            writer.write(answer)
            if b"\r\n\r\n" not in answer or b"Connection: close" in answer:
                break
        writer.close()


def talking_to(server: Server, talk: Callable[[KeepAlive], Awaitable[None]]) -> None:
    async def run() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        client = KeepAlive("127.0.0.1", listening.sockets[0].getsockname()[1], tls=None)
        async with asyncio.timeout(HANGS_S):
            await talk(client)
        client.close()
        listening.close()

    asyncio.run(run())


async def ask(client: KeepAlive, method: bytes = b"GET") -> tuple[int, bytes]:
    async with client.request(method, b"/x", HEAD) as answer:
        return answer.status, await answer.read()


def test_requests_one_after_another_share_a_connection() -> None:
    server = Server(OK, b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK)

    async def talk(client: KeepAlive) -> None:
        assert [await ask(client) for _ in range(3)] == [(200, b"ok")] * 3

    talking_to(server, talk)
    assert server.connections == 1


def test_a_connection_the_server_closed_is_not_used_again() -> None:
    server = Server(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), OK)

    async def talk(client: KeepAlive) -> None:
        assert [await ask(client) for _ in range(2)] == [(200, b"ok")] * 2

    talking_to(server, talk)
    assert server.connections == 2


def test_a_body_is_sent_in_the_framing_its_headers_announce() -> None:
    server = Server(OK)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        yield b"second"

    async def talk(client: KeepAlive) -> None:
        headers = [*HEAD, (b"transfer-encoding", b"chunked")]
        async with client.request(b"PUT", b"/x?comp=block", headers, pieces()) as answer:
            assert await answer.read() == b"ok"

    talking_to(server, talk)
    assert server.received.startswith(b"PUT /x?comp=block HTTP/1.1\r\n")
    assert server.received.endswith(b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n")


def test_headers_keep_their_spelling_and_a_head_request_has_no_body() -> None:
    server = Server(OK[:-2])

    async def talk(client: KeepAlive) -> None:
        async with client.request(b"HEAD", b"/x", HEAD) as answer:
            assert (b"X-Ms-Meta-Site", b"ewr") in answer.headers
            assert await answer.read() == b""

    talking_to(server, talk)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok"],
)
def test_a_server_that_breaks_off_is_unreachable(answer: bytes) -> None:
    async def talk(client: KeepAlive) -> None:
        with pytest.raises(Unreachable):
            await ask(client)

    talking_to(Server(answer), talk)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    async def talk(client: KeepAlive) -> None:
        client._port = 1
        with pytest.raises(Unreachable, match="does not accept"):
            await ask(client)

    talking_to(Server(), talk)


def test_an_answer_nobody_read_to_its_end_costs_the_connection_and_nothing_else() -> None:
    server = Server(OK, OK)

    async def talk(client: KeepAlive) -> None:
        async with client.request(b"GET", b"/x", HEAD) as answer:
            assert answer.status == 200
        assert await ask(client) == (200, b"ok")

    talking_to(server, talk)
    assert server.connections == 2
