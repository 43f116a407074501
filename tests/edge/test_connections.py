"""What strangers send, over a real socket, to the endpoint as the slim image serves it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from edge.server import server
from tests.addresses import free_port
from tests.edge.device import Bench, rows, until
from tests.edge.models import model_folder
from tests.laptop.serving import running

pytestmark = pytest.mark.enable_socket

BODY = rows({"temp": 41.0, "carrier": "AA"})
GOOD = b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


class Stranger:
    """One connection, held as a stranger holds it.

    Args:
        reader: What comes.
        writer: What goes.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def sends(self, *parts: bytes) -> None:
        """Send, whether or not somebody reads."""
        for part in parts:
            self._writer.write(part)
            await asyncio.sleep(0)

    async def hears(self) -> tuple[int, str | None]:
        """The next answer's status, and its code if it is a refusal, which then says why and what to do."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
        reply = json.loads(await self._reader.readexactly(int(fields[b"content-length"])))
        if status == 200:
            return status, None
        assert "; because: " in reply["error"]["message"]
        assert "; fix: " in reply["error"]["message"]
        return status, reply["error"]["code"]

    async def is_hung_up_on(self) -> None:
        """Nothing more comes."""
        async with asyncio.timeout(20):
            assert await self._reader.read() == b""
        self.leaves()

    def leaves(self) -> None:
        """Hang up."""
        self._writer.close()


class Place:
    """A device behind its real server.

    Args:
        served: The server.
        address: Where it listens.
        port: Where it listens.
    """

    def __init__(self, served: uvicorn.Server, address: str, port: int) -> None:
        self.served, self._address, self._port = served, address, port

    async def stranger(self) -> Stranger:
        """Somebody connects."""
        return Stranger(*await asyncio.open_connection(self._address, self._port))

    async def answers(self) -> None:
        """Somebody else asks, and is answered."""
        somebody = await self.stranger()
        await somebody.sends(GOOD)
        assert await somebody.hears() == (200, None)
        somebody.leaves()


def tell(tmp_path: Path, address: str, story: Callable[[Place], Awaitable[None]]) -> None:
    """Tell a story at a device that serves a model."""

    @asynccontextmanager
    async def place() -> AsyncIterator[Place]:
        bench, port = Bench(tmp_path), free_port(address)
        bench.deploy(model_folder())
        served = server(bench.app, host=address, port=port)
        async with running(served):
            await bench.serves("1")
            yield Place(served, address, port)

    async def from_begin_to_end() -> None:
        async with place() as here:
            await story(here)
            await here.answers()

    asyncio.run(from_begin_to_end())


POST = b"POST /score HTTP/1.1\r\nhost: x\r\n"


def test_what_is_no_request_is_told_so_in_the_same_shape_as_everything_else(tmp_path: Path, address: str) -> None:
    asked = {
        b"hello\r\n\r\n": (400, "BAD_HTTP"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(90): (400, "BAD_HTTP"),  # TLS
        b"GET /sc\xffore HTTP/1.1\r\nhost: x\r\n\r\n": (400, "BAD_HTTP"),
        POST + b"content-length: 2\r\ncontent-length: 5\r\n\r\n{}abc": (400, "BAD_HTTP"),
        POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n": (400, "BAD_HTTP"),
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n": (400, "BAD_HTTP"),
        GOOD.replace(b"host", b"connection: upgrade\r\nupgrade: h2c\r\nhost"): (400, "BAD_HTTP"),
        POST + b"expect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n": (413, "TOO_LARGE"),
        POST + b"x: " + b"y" * 500_000: (431, "TOO_LARGE"),
    }

    async def story(here: Place) -> None:
        for request, answer in asked.items():
            stranger = await here.stranger()
            await stranger.sends(request)
            assert await stranger.hears() == answer, request[:100]
            await stranger.is_hung_up_on()

    tell(tmp_path, address, story)


def test_a_wish_for_another_protocol_without_a_body_is_just_not_granted(tmp_path: Path, address: str) -> None:
    async def story(here: Place) -> None:
        stranger = await here.stranger()
        await stranger.sends(HEALTH.replace(b"host", b"connection: upgrade\r\nupgrade: h2c\r\nhost"))
        assert await stranger.hears() == (200, None)
        stranger.leaves()

    tell(tmp_path, address, story)


def test_requests_sent_without_waiting_are_answered_in_their_order(tmp_path: Path, address: str) -> None:
    async def story(here: Place) -> None:
        stranger = await here.stranger()
        bad = GOOD.replace(b'"AA"', b"null").replace(b"41.0", b"true")
        await stranger.sends((GOOD + bad + HEALTH) * 20)
        for _ in range(20):
            assert [await stranger.hears() for _ in range(3)] == [(200, None), (400, "BAD_ROW"), (200, None)]
        stranger.leaves()

    tell(tmp_path, address, story)


@pytest.mark.parametrize("half", [b"", b"\r\n", GOOD[:30], GOOD[:-5], GOOD + GOOD[:30]])
def test_who_does_not_finish_is_not_waited_for(
    tmp_path: Path, address: str, half: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.connections.REQUEST_SECONDS", 0.05)
    monkeypatch.setattr("edge.connections.LOOK_SECONDS", 0.02)

    async def story(here: Place) -> None:
        stranger = await here.stranger()
        await stranger.sends(half)
        if half.startswith(GOOD):
            assert await stranger.hears() == (200, None)
        assert await stranger.hears() == (408, "INCOMPLETE")
        await stranger.is_hung_up_on()

    tell(tmp_path, address, story)


def test_crumbs_without_end_are_not_swept_up_for_ever(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.connections.REQUEST_BYTES", 100_000)

    async def story(here: Place) -> None:
        stranger = await here.stranger()
        await stranger.sends(POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 50_000)
        assert await stranger.hears() == (413, "TOO_LARGE")
        await stranger.is_hung_up_on()

    tell(tmp_path, address, story)


def test_when_there_is_no_room_the_next_one_is_told_so_and_nobody_before_it_suffers(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.connections.CONNECTIONS", 2)

    async def story(here: Place) -> None:
        first, second, third = [await here.stranger() for _ in range(3)]
        assert await third.hears() == (503, "TOO_MANY_CONNECTIONS")
        await third.is_hung_up_on()
        await first.sends(GOOD)
        assert await first.hears() == (200, None)
        first.leaves()
        second.leaves()
        await until(lambda: not here.served.server_state.connections)

    tell(tmp_path, address, story)


def test_who_reads_no_answers_is_hung_up_on(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.connections.LOOK_SECONDS", 0.05)

    async def story(here: Place) -> None:
        stranger = await here.stranger()
        await stranger.sends(HEALTH.replace(b"health", b"metrics") * 3_000)
        await until(lambda: here.served.server_state.connections)
        await until(lambda: not here.served.server_state.connections)
        stranger.leaves()

    tell(tmp_path, address, story)
    assert "Exception" not in caplog.text
