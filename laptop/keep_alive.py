"""HTTP/1.1 over connections that stay open, for the two hot paths: uploads through the front, and deliveries.

A request costs a tenth of what it costs with httpx, which would take more time here than the work itself.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import h11

type Headers = Sequence[tuple[bytes, bytes]]

_CHUNK_BYTES = 64 * 1024


class Unreachable(Exception):
    """The server did not take a request, or broke off before it had answered: it may or may not have acted on it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and its body to be read.

    Args:
        status: The HTTP status.
        headers: As the server spelled them.
        chunks: The body; read it to the end, or the connection is not used again.
    """

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.chunks])


class KeepAlive:
    """Connections to one server, opened as needed and used again.

    Args:
        host: Where it listens.
        port: Likewise.
        tls: How to verify it; None speaks plain HTTP.
    """

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: list[_Connection] = []

    @asynccontextmanager
    async def request(
        self, method: bytes, target: bytes, headers: Headers, body: AsyncIterable[bytes] | bytes = b""
    ) -> AsyncIterator[Answer]:
        """Send a request as it is, and yield its answer; the headers must frame the body.

        Raises:
            Unreachable: There is no connection to be had, or it broke before the answer was complete.
        """
        connection = await self._connection()
        try:
            yield await connection.exchange(h11.Request(method=method, target=target, headers=list(headers)), body)
        finally:
            if connection.reusable():
                self._idle.append(connection)
            else:
                connection.abort()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            connection.abort()
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except OSError as problem:
            raise Unreachable(f"{self._host}:{self._port} does not accept a connection: {problem}") from problem
        return _Connection(reader, writer)


class _Connection:
    """One connection and where its conversation stands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)

    def alive(self) -> bool:
        """Whether the server has neither closed it nor said anything unasked."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def reusable(self) -> bool:
        """Start afresh after a complete exchange; False when there was none."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    def abort(self) -> None:
        """End it without waiting for the server's goodbye."""
        self._writer.transport.abort()

    async def exchange(self, request: h11.Request, body: AsyncIterable[bytes] | bytes) -> Answer:
        """Send a request and read the head of its answer."""
        try:
            await self._send(request, body)
        except OSError as problem:
            raise Unreachable(f"the connection broke while sending: {problem!r}") from problem
        event = await self._next_event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next_event()
        response = cast("h11.Response", event)
        return Answer(response.status_code, response.headers.raw_items(), self._chunks())

    async def _send(self, request: h11.Request, body: AsyncIterable[bytes] | bytes) -> None:
        head = self._http.send(request) or b""
        if isinstance(body, bytes):
            data = self._http.send(h11.Data(body)) or b"" if body else b""
            self._writer.write(head + data + (self._http.send(h11.EndOfMessage()) or b""))
        else:
            self._writer.write(head)
            async for chunk in body:
                self._writer.write(self._http.send(h11.Data(chunk)) or b"")
                await self._writer.drain()
            self._writer.write(self._http.send(h11.EndOfMessage()) or b"")
        await self._writer.drain()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            yield bytes(cast("h11.Data", event).data)

    async def _next_event(self) -> h11.Event:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_CHUNK_BYTES))
        except (OSError, h11.RemoteProtocolError) as problem:
            raise Unreachable(f"the connection broke before the answer was complete: {problem!r}") from problem
        return cast("h11.Event", event)
