"""MQTT 3.1.1 on the wire: bytes to packets and back (OASIS standard, chapters 2 and 3)."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum


class Malformed(Exception):
    """Bytes that are no packet of this protocol, or one that is too large: the connection must end."""


class Refusal(IntEnum):
    """Why a connection is not accepted (section 3.2.2.3)."""

    PROTOCOL = 1
    UNAVAILABLE = 3
    NOT_AUTHORIZED = 5


@dataclass(frozen=True, slots=True)
class Connect:
    """A client introduces itself; ``keep_alive_seconds`` 0 means no limit."""

    level: int
    client_id: str
    username: str
    password: str
    keep_alive_seconds: int
    clean_session: bool
    has_will: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """A message; ``packet_id`` is 0 at quality of service 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The client has received a message of quality of service 1."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Topic filters, each with the quality of service asked for."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Topic filters no longer wanted."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """The client is alive."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The client leaves in good order."""


Packet = Connect | Publish | Acknowledged | Subscribe | Unsubscribe | Ping | Disconnect

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK = 1, 2, 3, 4, 8, 9
_UNSUBSCRIBE, _UNSUBACK, _PING, _PONG, _DISCONNECT = 10, 11, 12, 13, 14
_LENGTH_BYTES_MAX = 4
FAILED = 0x80  # a filter that is refused, in the answer to a subscription


async def read_packet(reader: asyncio.StreamReader, size_bytes_max: int) -> Packet:
    """The next packet of a client.

    Args:
        reader: The connection.
        size_bytes_max: How long a packet may be, without its fixed header.

    Raises:
        Malformed: The bytes are no packet, or it is too long.
        asyncio.IncompleteReadError: The connection has ended.
    """
    head = (await reader.readexactly(1))[0]
    size_bytes = await _read_length(reader)
    if size_bytes > size_bytes_max:
        raise Malformed(f"a packet of {size_bytes} bytes exceeds {size_bytes_max}")
    try:
        return _parse(head >> 4, head & 0x0F, _Fields(await reader.readexactly(size_bytes)))
    except (struct.error, UnicodeDecodeError) as problem:
        raise Malformed(f"packet type {head >> 4} is cut short or holds text that is not UTF-8") from problem


async def _read_length(reader: asyncio.StreamReader) -> int:
    length = 0
    for place in range(_LENGTH_BYTES_MAX):
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return length
    raise Malformed("a packet's length has more than four bytes")


class _Fields:
    """Reads one packet's fields in order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        return int(self._take("!B"))

    def number(self) -> int:
        return int(self._take("!H"))

    def blob(self) -> bytes:
        size_bytes = self.number()
        value = self.data[self.at : self.at + size_bytes]
        if len(value) < size_bytes:
            raise Malformed("a field is cut short")
        self.at += size_bytes
        return value

    def text(self) -> str:
        return self.blob().decode()

    def rest(self) -> bytes:
        return self.data[self.at :]

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def _take(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)


def _parse(kind: int, flags: int, fields: _Fields) -> Packet:
    if kind == _PUBLISH:
        return _publish(flags, fields)
    parse = _PARSERS.get(kind)
    if parse is None:
        raise Malformed(f"packet type {kind} is not for a server that offers quality of service 0 and 1")
    return parse(fields)


def _connect(fields: _Fields) -> Connect:
    if fields.text() != "MQTT":
        raise Malformed("the protocol is not MQTT")
    level, flags, keep_alive, client_id = fields.byte(), fields.byte(), fields.number(), fields.text()
    has_will = bool(flags & 0x04)
    if has_will:
        fields.blob()
        fields.blob()
    username = fields.text() if flags & 0x80 else ""
    password = fields.text() if flags & 0x40 else ""
    return Connect(level, client_id, username, password, keep_alive, bool(flags & 0x02), has_will)


def _publish(flags: int, fields: _Fields) -> Publish:
    qos = flags >> 1 & 3
    if qos > 1:
        raise Malformed("quality of service 2 is not offered")
    topic = fields.text()
    if "#" in topic or "+" in topic:
        raise Malformed("a topic name holds a wildcard")
    packet_id = fields.number() if qos else 0
    return Publish(topic, fields.rest(), qos, packet_id, bool(flags & 0x08))


def _subscribe(fields: _Fields) -> Subscribe:
    packet_id, filters = fields.number(), []
    while fields.more:
        filters.append((fields.text(), fields.byte()))
    if not filters:
        raise Malformed("a subscription without a filter")
    return Subscribe(packet_id, tuple(filters))


def _unsubscribe(fields: _Fields) -> Unsubscribe:
    packet_id, filters = fields.number(), []
    while fields.more:
        filters.append(fields.text())
    return Unsubscribe(packet_id, tuple(filters))


_PARSERS: Mapping[int, Callable[[_Fields], Packet]] = {
    _CONNECT: _connect,
    _PUBACK: lambda fields: Acknowledged(fields.number()),
    _SUBSCRIBE: _subscribe,
    _UNSUBSCRIBE: _unsubscribe,
    _PING: lambda _: Ping(),
    _DISCONNECT: lambda _: Disconnect(),
}


def _packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    length, head = len(body), bytearray([kind << 4 | flags])
    while True:
        head.append(length & 0x7F | (0x80 if length > 0x7F else 0))  # noqa: PLR2004 - seven bits a byte
        length >>= 7
        if not length:
            return bytes(head) + body


def accepted(*, session_present: bool) -> bytes:
    """The answer to a good Connect."""
    return _packet(_CONNACK, bytes([session_present, 0]))


def refused(why: Refusal) -> bytes:
    """The answer to a bad Connect."""
    return _packet(_CONNACK, bytes([0, why]))


def published(message: Publish) -> bytes:
    """A message for a client."""
    topic = message.topic.encode()
    packet_id = struct.pack("!H", message.packet_id) if message.qos else b""
    body = struct.pack("!H", len(topic)) + topic + packet_id + message.payload
    return _packet(_PUBLISH, body, message.qos << 1 | (0x08 if message.duplicate else 0))


def acknowledged(packet_id: int) -> bytes:
    """A message of quality of service 1 has been taken over."""
    return _packet(_PUBACK, struct.pack("!H", packet_id))


def subscribed(packet_id: int, granted: list[int]) -> bytes:
    """The quality of service granted for each filter, or FAILED."""
    return _packet(_SUBACK, struct.pack("!H", packet_id) + bytes(granted))


def unsubscribed(packet_id: int) -> bytes:
    """The filters are gone."""
    return _packet(_UNSUBACK, struct.pack("!H", packet_id))


def pong() -> bytes:
    """The answer to a Ping."""
    return _packet(_PONG, b"")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic falls under a filter: ``+`` stands for one level, a last ``#`` for all that follow."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(given) or level not in ("+", given[position]):
            return False
    return len(wanted) == len(given)
