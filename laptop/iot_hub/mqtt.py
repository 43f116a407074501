"""IoT Hub's device API over MQTT 3.1.1: connections, sessions that outlive them, and who hears what.

What is published goes to one client, never to whoever subscribed: the topics of twins and methods are the same for all
devices, so that a plain broker would hand one device's twin to another.
"""

import asyncio
import logging
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from laptop.iot_hub import mqtt_codec as codec
from laptop.iot_hub.mqtt_codec import Connect, Malformed, Publish, Refusal
from laptop.iot_hub.store import Store

MESSAGE_BYTES_MAX = 256 * 1024
_PACKET_BYTES_MAX = MESSAGE_BYTES_MAX + 64 * 1024  # the topic, which carries the properties, comes on top
_LEVEL = 4  # MQTT 3.1.1
_CONNECT_SECONDS = 15.0
_KEEP_ALIVE_GRACE = 1.5  # section 3.1.2.10
_PACKET_IDS = 65_535
_UNSENT_BYTES_MAX = 4 * 1024 * 1024  # a client that reads nothing is cut off, so that it cannot hold up the others
_SESSION = "session"

log = logging.getLogger(__name__)


class NotAuthorized(Exception):
    """The client is not who it says, or may not do this; its connection ends."""


class Gate(Protocol):
    """What stands behind the device API."""

    def admit(self, client_id: str, username: str, password: str) -> float:
        """When the client must have renewed its credentials, in seconds since 1970; NotAuthorized when refused."""
        ...

    def may_subscribe(self, client_id: str, topic_filter: str) -> bool:
        """Whether a filter is one of the client's own."""
        ...

    async def connected(self, client_id: str) -> None:
        """A client has come."""
        ...

    async def subscribed(self, client_id: str) -> None:
        """A client has subscribed to something."""
        ...

    async def disconnected(self, client_id: str) -> None:
        """A client has gone; not called when a newer connection of its own has taken over."""
        ...

    async def received(self, client_id: str, message: Publish) -> None:
        """A client has published; NotAuthorized for a topic that is not its own."""
        ...


@dataclass(slots=True)
class _Session:
    """What a client finds again when it comes back: its filters, and what it has not acknowledged."""

    filters: dict[str, int] = field(default_factory=dict)
    unacknowledged: dict[int, Publish] = field(default_factory=dict)
    last_packet_id: int = 0

    def next_packet_id(self) -> int:
        while True:
            self.last_packet_id = self.last_packet_id % _PACKET_IDS + 1
            if self.last_packet_id not in self.unacknowledged:
                return self.last_packet_id

    def qos(self, topic: str) -> int | None:
        return max((qos for wanted, qos in self.filters.items() if codec.matches(wanted, topic)), default=None)

    def to_json(self) -> dict[str, object]:
        waiting = [[number, one.topic, one.payload.decode()] for number, one in self.unacknowledged.items()]
        return {"filters": self.filters, "unacknowledged": waiting, "last_packet_id": self.last_packet_id}


def _session(document: dict[str, Any]) -> _Session:
    unacknowledged = {
        number: Publish(topic, payload.encode(), qos=1, packet_id=number)
        for number, topic, payload in document["unacknowledged"]
    }
    return _Session(document["filters"], unacknowledged, document["last_packet_id"])


class Broker:
    """Holds the connections and sessions of all clients.

    Args:
        gate: Who may connect, and what happens with what they publish.
        store: Keeps the sessions over a restart.
    """

    def __init__(self, gate: Gate, store: Store) -> None:
        self._gate = gate
        self._store = store
        self._sessions = {client: _session(document) for client, document in store.all(_SESSION).items()}
        self._connections: dict[str, _Connection] = {}
        self._serving: set[asyncio.Task[object]] = set()

    async def start(self, address: str, port: int, context: ssl.SSLContext) -> asyncio.Server:
        """Listen for devices.

        Raises:
            OSError: The port is taken.
        """
        return await asyncio.start_server(self._serve, address, port, ssl=context, limit=_PACKET_BYTES_MAX)

    async def stop(self, server: asyncio.Server) -> None:
        """Close the port and cut all clients off, without a word: they will be back, and so will their sessions."""
        server.close()
        self._connections.clear()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        server.abort_clients()  # one that does not answer TLS's good-bye would hold up the end for 30 s
        await server.wait_closed()

    @property
    def clients(self) -> list[str]:
        """The client ids that are connected."""
        return list(self._connections)

    def listens(self, client_id: str, topic: str) -> bool:
        """Whether a client is connected and has subscribed to a topic."""
        return client_id in self._connections and self._sessions[client_id].qos(topic) is not None

    def publish(self, client_id: str, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Send to one client, if it is connected and listens.

        At quality of service 1 the message is kept, also over a restart, until the client acknowledges it.

        Returns:
            Whether it was sent.
        """
        if not self.listens(client_id, topic):
            return False
        session = self._sessions[client_id]
        message = Publish(topic, payload)
        if min(qos, session.qos(topic) or 0):
            message = Publish(topic, payload, qos=1, packet_id=session.next_packet_id())
            session.unacknowledged[message.packet_id] = message
            self._save(client_id)
        self._connections[client_id].send(codec.published(message))
        return True

    def disconnect(self, client_id: str) -> None:
        """End a client's connection, and forget its session: it is no longer known, or no longer allowed."""
        if connection := self._connections.get(client_id):
            connection.abort()
        self._sessions.pop(client_id, None)
        self._store.delete(_SESSION, client_id)

    def _save(self, client_id: str) -> None:
        self._store.put(_SESSION, client_id, self._sessions[client_id].to_json())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        if task := asyncio.current_task():
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                connect = await codec.read_packet(reader, _PACKET_BYTES_MAX)
            if isinstance(connect, Connect) and (expires := self._admit(connect, connection)):
                await self._converse(connect, connection, expires)
            await connection.close()
        except (Malformed, NotAuthorized) as problem:
            log.warning("%s disconnected: %s", connection.client_id or "a client", problem)
        except (OSError, asyncio.IncompleteReadError) as problem:
            log.info("%s lost: %s", connection.client_id or "a client", problem)
        finally:
            connection.abort()

    def _admit(self, connect: Connect, connection: "_Connection") -> float:
        """When the client's credentials expire; 0 when it was refused."""
        if connect.level != _LEVEL or connect.has_will:
            connection.send(codec.refused(Refusal.UNAVAILABLE if connect.has_will else Refusal.PROTOCOL))
            return 0
        try:
            return self._gate.admit(connect.client_id, connect.username, connect.password)
        except NotAuthorized as problem:
            log.warning("%s refused: %s", connect.client_id, problem)
            connection.send(codec.refused(Refusal.NOT_AUTHORIZED))
            return 0

    async def _converse(self, connect: Connect, connection: "_Connection", expires: float) -> None:
        client_id = connection.client_id = connect.client_id
        if older := self._connections.pop(client_id, None):
            older.abort()  # the newest connection wins
        present = client_id in self._sessions and not connect.clean_session
        if not present:
            self._sessions[client_id] = _Session()
        session = self._sessions[client_id]
        self._connections[client_id] = connection
        connection.send(codec.accepted(session_present=present))
        for message in session.unacknowledged.values():
            again = Publish(message.topic, message.payload, qos=1, packet_id=message.packet_id, duplicate=True)
            connection.send(codec.published(again))
        self._save(client_id)
        try:
            await self._gate.connected(client_id)
            await self._listen(connection, connect.keep_alive_seconds * _KEEP_ALIVE_GRACE, expires)
        finally:
            if self._connections.get(client_id) is connection:
                del self._connections[client_id]
                await self._gate.disconnected(client_id)

    async def _listen(self, connection: "_Connection", silence_seconds: float, expires: float) -> None:
        packet: codec.Packet | None = None
        while not isinstance(packet, codec.Disconnect):
            left = expires - time.time()
            async with asyncio.timeout(min(silence_seconds, left) if silence_seconds else left):
                packet = await codec.read_packet(connection.reader, _PACKET_BYTES_MAX)
            if connection.client_id not in self._sessions:
                raise NotAuthorized("the identity has been deleted or disabled")
            await self._handle(connection, packet)
            await connection.writer.drain()

    async def _handle(self, connection: "_Connection", packet: codec.Packet) -> None:
        client_id = connection.client_id
        match packet:
            case Publish():
                await self._received(connection, packet)
            case codec.Acknowledged(packet_id):
                self._sessions[client_id].unacknowledged.pop(packet_id, None)
                self._save(client_id)
            case codec.Subscribe(packet_id, filters):
                connection.send(codec.subscribed(packet_id, [self._subscribe(client_id, *one) for one in filters]))
                self._save(client_id)
                await self._gate.subscribed(client_id)
            case codec.Unsubscribe(packet_id, filters):
                for one in filters:
                    self._sessions[client_id].filters.pop(one, None)
                self._save(client_id)
                connection.send(codec.unsubscribed(packet_id))
            case codec.Ping():
                connection.send(codec.pong())
            case Connect():
                raise Malformed("a second Connect on one connection")

    async def _received(self, connection: "_Connection", message: Publish) -> None:
        if len(message.payload) > MESSAGE_BYTES_MAX:
            raise Malformed(f"a message of {len(message.payload)} bytes exceeds {MESSAGE_BYTES_MAX}")
        await self._gate.received(connection.client_id, message)
        if message.qos:  # only now: what is acknowledged is kept
            connection.send(codec.acknowledged(message.packet_id))

    def _subscribe(self, client_id: str, topic_filter: str, qos: int) -> int:
        if not self._gate.may_subscribe(client_id, topic_filter):
            return codec.FAILED
        self._sessions[client_id].filters[topic_filter] = granted = min(qos, 1)
        return granted


class _Connection:
    """One client's connection; its id is empty until it is admitted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.client_id = ""

    def send(self, data: bytes) -> None:
        if self.writer.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            self.abort()
        else:
            self.writer.write(data)

    async def close(self) -> None:
        self.writer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()
