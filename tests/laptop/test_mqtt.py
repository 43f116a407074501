"""The device API on the wire: sessions, keep-alive, who may connect and what may be said."""

import hashlib
import hmac
import json
import socket
import ssl
import struct
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

import pytest

from laptop.iot_hub.mqtt_codec import matches
from laptop.stack import MQTT_PORT
from tests.laptop.hub_running import KEY, RunningHub, running_hub
from tests.laptop.serving import eventually

pytestmark = pytest.mark.enable_socket

DESIRED = "$iothub/twin/PATCH/properties/desired/#"
NAMES = iter(f"edge-{number}" for number in range(100))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def device(hub: RunningHub) -> str:
    name = next(NAMES)
    hub.add(name, "m")
    return name


class Client:
    """A client that says exactly what it is told to, byte by byte, and nothing by itself."""

    def __init__(self, hub: RunningHub, device: str) -> None:
        self.context = ssl.create_default_context(cafile=str(hub.stack.authority))
        self.address = hub.stack.address
        self.device = device
        self.socket = self._open()

    def _open(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self.address, MQTT_PORT), 5)
        return self.context.wrap_socket(plain, server_hostname=self.address)

    def reopen(self) -> None:
        """A new connection, the old one just gone."""
        self.socket.close()
        self.socket = self._open()

    def connect(self, password: str = "", *, clean: bool = False, keep_alive: int = 60, level: int = 4) -> bytes:
        user = f"{self.address}/{self.device}/m/?api-version=2019-10-01"
        head = text("MQTT") + bytes([level, 0xC2 if clean else 0xC0]) + struct.pack("!H", keep_alive)
        self.send(0x10, head + text(f"{self.device}/m") + text(user) + text(password or self.signature()))
        return self.receive()[1]

    def signature(self, *, key: str = KEY, seconds: float = 60, hub: str = "", path: str = "") -> str:
        resource = f"{hub or self.address}/{path or f'devices/{self.device}/modules/m'}"
        scope, expires = quote(resource, safe=""), str(int(time.time() + seconds))
        digest = b64encode(hmac.digest(b64decode(key), f"{scope}\n{expires}".encode(), hashlib.sha256)).decode()
        return f"SharedAccessSignature sr={scope}&sig={quote(digest, safe='')}&se={expires}"

    def subscribe(self, topic_filter: str, qos: int = 1) -> bytes:
        self.send(0x82, struct.pack("!H", 7) + text(topic_filter) + bytes([qos]))
        return self.receive()[1]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> None:
        self.send(0x30 | qos << 1, text(topic) + (struct.pack("!H", 9) if qos else b"") + payload)

    def send(self, head: int, body: bytes) -> None:
        length, size = bytearray(), len(body)
        while True:
            length.append(size % 128 | (128 if size > 127 else 0))
            size //= 128
            if not size:
                break
        self.socket.sendall(bytes([head]) + bytes(length) + body)

    def receive(self) -> tuple[int, bytes]:
        head, size, place = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            size |= (byte & 127) << place
            place += 7
            if byte < 128:
                return head, self._exactly(size)

    @property
    def is_cut_off(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except OSError as problem:
            return not isinstance(problem, TimeoutError)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (more := self.socket.recv(size - len(data))):
                raise EOFError("the hub has closed the connection")
            data += more
        return data


def text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


@pytest.fixture
def client(hub: RunningHub, device: str) -> Iterator[Client]:
    client = Client(hub, device)
    yield client
    client.socket.close()


def patch(hub: RunningHub, client: Client, value: object) -> None:
    hub.registry.update_module_twin(client.device, "m", {"properties": {"desired": {"a": value}}})


def test_a_session_and_its_subscriptions_are_found_again(hub: RunningHub, client: Client) -> None:
    assert client.connect() == b"\0\0"
    assert client.subscribe(DESIRED) == b"\0\7\1"
    client.reopen()
    assert client.connect() == b"\1\0"
    patch(hub, client, 1)
    assert json.loads(client.receive()[1].partition(b"$version=2\0\1")[2]) == {"a": 1, "$version": 2}


def test_an_unacknowledged_message_is_delivered_again_marked_as_a_duplicate_also_after_a_restart(
    hub: RunningHub, client: Client
) -> None:
    client.connect()
    client.subscribe(DESIRED)
    patch(hub, client, 1)
    head, first = client.receive()
    hub.restart()
    client.reopen()
    assert client.connect() == b"\1\0"
    assert client.receive() == (head | 0x08, first)
    client.send(0x40, b"\0\1")
    client.send(0xC0, b"")
    assert client.receive() == (0xD0, b"")
    client.reopen()
    client.connect()
    client.send(0xC0, b"")
    assert client.receive() == (0xD0, b"")


def test_what_changes_while_a_device_is_away_is_read_from_its_twin_and_not_sent(
    hub: RunningHub, client: Client
) -> None:
    client.connect()
    client.subscribe(DESIRED)
    client.subscribe("$iothub/twin/res/#")
    client.send(0xE0, b"")
    eventually(lambda: f"{client.device}/m" not in hub.hub.devices.broker.clients, "it is still there")
    patch(hub, client, 1)
    client.reopen()
    client.connect()
    client.publish("$iothub/twin/GET/?$rid=1", b"", qos=0)
    topic, _, twin = client.receive()[1][2:].partition(b"{")
    assert topic == b"$iothub/twin/res/200/?$rid=1"
    assert json.loads(b"{" + twin) == {"desired": {"a": 1, "$version": 2}, "reported": {"$version": 1}}


def test_a_clean_session_forgets(hub: RunningHub, client: Client) -> None:
    client.connect()
    client.subscribe(DESIRED)
    client.reopen()
    assert client.connect(clean=True) == b"\0\0"
    patch(hub, client, 1)
    client.send(0xC0, b"")
    assert client.receive() == (0xD0, b"")


def test_a_filter_no_longer_wanted_is_forgotten(hub: RunningHub, client: Client) -> None:
    client.connect()
    client.subscribe(DESIRED)
    client.send(0xA2, b"\0\2" + text(DESIRED))
    assert client.receive() == (0xB0, b"\0\2")
    patch(hub, client, 1)
    client.send(0xC0, b"")
    assert client.receive() == (0xD0, b"")


def test_the_newest_connection_wins(hub: RunningHub, client: Client) -> None:
    client.connect()
    newer = Client(hub, client.device)
    assert newer.connect() == b"\1\0"
    assert client.is_cut_off
    assert hub.registry.get_module(client.device, "m").connection_state == "Connected"
    newer.socket.close()


def test_a_silent_client_is_cut_off_after_one_and_a_half_keep_alives(client: Client) -> None:
    client.connect(keep_alive=1)
    assert client.is_cut_off


def test_a_client_is_cut_off_when_its_signature_expires(client: Client) -> None:
    assert client.connect(client.signature(seconds=2)) == b"\0\0"
    assert client.is_cut_off


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": -1},
        {"key": b64encode(b"z" * 32).decode()},
        {"path": "devices/other/modules/m"},
        {"hub": "elsewhere"},
    ],
)
def test_a_wrong_signature_is_not_authorized(client: Client, wrong: dict[str, object]) -> None:
    assert client.connect(client.signature(**wrong)) == b"\0\5"  # type: ignore[arg-type]  # one of the keywords
    assert client.is_cut_off


def test_a_signature_for_the_whole_device_opens_its_modules(client: Client) -> None:
    assert client.connect(client.signature(path=f"devices/{client.device}")) == b"\0\0"


def test_an_unknown_or_disabled_device_is_not_authorized(hub: RunningHub, client: Client) -> None:
    stranger = Client(hub, "stranger")
    assert stranger.connect() == b"\0\5"
    stranger.socket.close()
    client.connect()
    etag = hub.registry.get_device(client.device).etag
    hub.registry.update_device_with_sas(client.device, etag, KEY, KEY, "disabled", iot_edge=True)
    assert client.is_cut_off
    client.reopen()
    assert client.connect() == b"\0\5"


def test_a_deleted_device_is_cut_off(hub: RunningHub, client: Client) -> None:
    client.connect()
    hub.registry.delete_device(client.device)
    assert client.is_cut_off


def test_another_protocol_version_is_refused(client: Client) -> None:
    assert client.connect(level=5) == b"\0\1"


def test_what_comes_before_the_introduction_ends_the_connection(client: Client) -> None:
    client.send(0xC0, b"")
    assert client.is_cut_off


@pytest.mark.parametrize("topic_filter", ["#", "devices/other/modules/m/inputs/#", "$iothub/twin/#"])
def test_a_filter_that_is_not_the_clients_own_fails(client: Client, topic_filter: str) -> None:
    client.connect()
    assert client.subscribe(topic_filter) == b"\0\7\x80"


def test_a_message_to_a_foreign_topic_ends_the_connection(client: Client) -> None:
    client.connect()
    client.publish("devices/other/modules/m/messages/events/", b"x")
    assert client.is_cut_off


@pytest.mark.parametrize("size", [256 * 1024 + 1, 512 * 1024])
def test_a_message_above_256_kibibytes_ends_the_connection(client: Client, size: int) -> None:
    client.connect()
    with suppress(OSError):  # it may be cut off while it still speaks
        client.publish(f"devices/{client.device}/modules/m/messages/events/", bytes(size))
    assert client.is_cut_off


def test_a_message_of_256_kibibytes_is_acknowledged(client: Client) -> None:
    client.connect()
    client.publish(f"devices/{client.device}/modules/m/messages/events/", bytes(256 * 1024))
    assert client.receive() == (0x40, b"\0\t")


@pytest.mark.parametrize("head", [0x34, 0x62, 0xF0])
def test_quality_of_service_2_and_unknown_packets_end_the_connection(client: Client, head: int) -> None:
    client.connect()
    client.send(head, text("x") + b"\0\1")
    assert client.is_cut_off


@pytest.mark.parametrize(
    "cut", [b"\x30\x02\x00\xff", b"\x82\x02\x00\x01", b"\x30\xff\xff\xff\xff\x01", b"\x30\x03\0\1\xff"]
)
def test_broken_packets_end_the_connection(client: Client, cut: bytes) -> None:
    client.connect()
    client.socket.sendall(cut)
    assert client.is_cut_off


def test_a_broken_or_stale_report_is_answered_with_its_error(client: Client) -> None:
    client.connect()
    client.subscribe("$iothub/twin/res/#", qos=0)
    for request, payload, status in (
        ("1", b"{", b"400"),
        ("2", b"[]", b"400"),
        ("3&$version=9", b"{}", b"412"),
        ("4", json.dumps({"a.b": 1}).encode(), b"400"),
        ("5&$version=1", b'{"a": 1}', b"204/?$rid=5&$version=2"),
    ):
        client.publish(f"$iothub/twin/PATCH/properties/reported/?$rid={request}", payload, qos=0)
        assert client.receive()[1][2:].removeprefix(b"$iothub/twin/res/").startswith(status)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/b", "a", False),
        ("a", "a/b", False),
    ],
)
def test_filters_match_topics_by_level(topic_filter: str, topic: str, *, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected
