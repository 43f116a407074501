"""What one connection may do: uvicorn on httptools, with limits that uvicorn leaves to a proxy that a device has not.

A request has a time and a size to arrive in, its head too; an answer has a time to be read in; there are so many
connections and no more. Whoever goes beyond is told so, as with every refusal here, and hung up on; nobody else waits.
"""

import asyncio
from http import HTTPStatus

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from edge.errors import Refusal, document

CONNECTIONS = 500  # half of the files that a process may usually have open
REQUEST_SECONDS = 30.0  # from a request's first byte, or from the start of a connection, to the end of its body
HEAD_BYTES = 64 * 1024
REQUEST_BYTES = 64 * 1024 * 1024  # on the wire: a body of 16 MiB, and four times that for whoever sends it in crumbs
LOOK_SECONDS = 5.0


class Connection(HttpToolsProtocol):
    """One client's connection; made by uvicorn."""

    _awaited_since: float | None = None  # none while its request has arrived, or while it may rest between two
    _in_head = True
    _size_bytes = 0
    _turned_away = False  # what still comes is read and forgotten: to hang up at once would take the answer back
    _done_with = False  # at the last look
    _watch: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None  # uvicorn's `cycle` is the newest request, which may wait behind it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a client, if there is room."""
        super().connection_made(transport)
        self._awaited_since = self.loop.time()
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)
        if len(self.connections) > CONNECTIONS:
            self.transport.write(_answer(_too_many()))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._watch:
            self._watch.cancel()
        self._hear_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, within the limits."""
        if self._turned_away:
            return
        if self._awaited_since is None:
            self._awaited_since = self.loop.time()
        self._size_bytes += len(data)
        super().data_received(data)
        if self._turned_away or self.transport.is_closing():
            return
        if self._in_head and self._size_bytes > HEAD_BYTES:
            self._turn_away(_head_too_large())
        elif self._size_bytes > REQUEST_BYTES:
            self._turn_away(_request_too_large())

    def on_message_begin(self) -> None:
        """A request begins; it may be the next one in the same packet."""
        super().on_message_begin()
        self._awaited_since, self._in_head, self._size_bytes = self.loop.time(), True, 0

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._awaited_since, self._size_bytes = None, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's line of text
        """Say what is wrong, instead of uvicorn's line of text."""
        self._turn_away(_no_http())

    def _unsupported_upgrade_warning(self) -> None:
        """Refuse a body that comes with the wish for another protocol: httptools reads no body behind such a head."""
        if {b"content-length", b"transfer-encoding"} & {name for name, _ in self.headers}:
            self._turn_away(_no_other_protocol())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _look(self) -> None:
        now, since = self.loop.time(), self._awaited_since
        done_with = self._turned_away or self.transport.is_closing() or self.flow.write_paused
        if done_with and self._done_with:
            self.transport.abort()
        elif not done_with and since is not None and now - since > REQUEST_SECONDS:
            self._turn_away(_too_slow())
        self._done_with = done_with
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

    def _turn_away(self, refusal: Refusal) -> None:
        self._hear_no_more()
        self.transport.write(_answer(refusal))
        self.transport.write_eof()
        self._turned_away = True

    def _hear_no_more(self) -> None:
        """What the endpoint still says to this client goes nowhere."""
        for cycle in (self._answered, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()


def _answer(refusal: Refusal) -> bytes:
    body = document(refusal)
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _too_many() -> Refusal:
    return Refusal(
        "this device has no connection left",
        why=f"it holds {CONNECTIONS}",
        fix="close those that you do not use, and try again",
        status=503,
        code="TOO_MANY_CONNECTIONS",
    )


def _head_too_large() -> Refusal:
    return Refusal(
        "the head of the request is too large",
        why=f"address and headers may have {HEAD_BYTES} bytes",
        fix="send rows in the body, and fewer headers",
        status=431,
        code="TOO_LARGE",
    )


def _request_too_large() -> Refusal:
    return Refusal(
        "the request is too large",
        why=f"{REQUEST_BYTES} bytes have come, and it has not ended",
        fix="split the rows over several requests, and send them in larger chunks",
        status=413,
        code="TOO_LARGE",
    )


def _too_slow() -> Refusal:
    return Refusal(
        "the request did not arrive",
        why=f"it had {REQUEST_SECONDS:.0f} s to arrive",
        fix="send it again",
        status=408,
        code="INCOMPLETE",
    )


def _no_http() -> Refusal:
    return Refusal(
        "this is no HTTP request",
        why="it does not begin as one does, or its head or its chunks contradict themselves",
        fix="send plain HTTP/1.1, without TLS; a body has either one content-length or transfer-encoding chunked",
        status=400,
        code="BAD_HTTP",
    )


def _no_other_protocol() -> Refusal:
    return Refusal(
        "this device speaks HTTP/1.1 only",
        why="the request has a body and asks for another protocol with the header upgrade",
        fix="have the client use HTTP/1.1 from the start, such as Java's HttpClient with Version.HTTP_1_1",
        status=400,
        code="BAD_HTTP",
    )
