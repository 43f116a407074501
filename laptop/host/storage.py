"""A storage account as bindings use it: the Queue and Blob REST APIs, by managed identity or account key."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal, Self
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from laptop.host.client import Answer, Client, Unreachable
from laptop.host.settings import CannotStart, Settings, missing
from laptop.stack import ACCOUNT, ACCOUNT_KEY

_RESOURCE = "https://storage.azure.com"
_VERSION = "2021-12-02"
_EMULATOR = {"blob": f"http://127.0.0.1:10000/{ACCOUNT}", "queue": f"http://127.0.0.1:10001/{ACCOUNT}"}
_SIGNED = "content-encoding content-language content-length content-md5 content-type date if-modified-since if-match"
_FOREVER_SECONDS = "-1"
_GONE = 404

Service = Literal["blob", "queue"]


@dataclass(frozen=True, slots=True)
class Account:
    """One service of one storage account.

    Args:
        url: Its endpoint, without a slash at the end.
        name: The account's name; needed to sign.
        key: The account's key, or None for the managed identity.
    """

    url: str
    name: str = ""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message as a queue hands it out; times are UTC."""

    id: str
    body: str
    dequeue_count: int
    inserted: datetime
    expires: datetime
    next_visible: datetime
    pop_receipt: str


def account(settings: Settings, connection: str, service: Service, *, where: str) -> Account:
    """Find the storage service a binding's `connection` names.

    Args:
        settings: The app settings.
        connection: The binding's `connection`.
        service: Which service it needs.
        where: Who asks, for the error.

    Raises:
        CannotStart: The settings do not name one.
    """
    url = settings.connection(connection, f"{service}ServiceUri") or settings.connection(connection, "serviceUri")
    name = settings.connection(connection, "accountName")
    if url or name:
        settings.need("IDENTITY_ENDPOINT", where)
        return Account((url or f"https://{name}.{service}.core.windows.net").rstrip("/"))
    text = settings.connection(connection)
    if not text:
        raise missing(where, f"{connection} or {connection}__{service}ServiceUri")
    return _from_connection_string(text, service, where)


def _from_connection_string(text: str, service: Service, where: str) -> Account:
    parts = dict(part.split("=", 1) for part in text.strip().split(";") if "=" in part)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return Account(_EMULATOR[service], ACCOUNT, ACCOUNT_KEY)
    name, key = parts.get("AccountName"), parts.get("AccountKey")
    if not name or not key:
        raise CannotStart(f"{where} cannot be bound", why="its connection string has no AccountName and AccountKey",
                          fix="copy the whole string, or use the __serviceUri settings")  # fmt: skip
    protocol, suffix = parts.get("DefaultEndpointsProtocol", "https"), parts.get("EndpointSuffix", "core.windows.net")
    url = parts.get(f"{service.capitalize()}Endpoint") or f"{protocol}://{name}.{service}.{suffix}"
    return Account(url.rstrip("/"), name, key)


class Storage:
    """Sends requests to one storage service.

    Args:
        account: The service.
        client: The host's HTTPS client.
    """

    def __init__(self, account: Account, client: Client) -> None:
        self._account, self._client = account, client

    def url(self, path: str) -> str:
        """Address of a resource below the endpoint."""
        return f"{self._account.url}/{quote(path)}"

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        expect: Sequence[int] = (),
    ) -> Answer:
        """Send one request.

        Args:
            method: GET, PUT, POST or DELETE.
            path: The resource below the endpoint, not encoded.
            params: The query.
            headers: Its own headers.
            body: Its body.
            expect: Status codes besides 2xx that are answers rather than failures.

        Raises:
            Unreachable: No answer, or another status.
        """
        url = self.url(path)
        full = {"x-ms-version": _VERSION, "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True), **headers}
        if body:
            full["Content-Type"] = full.get("Content-Type", "application/octet-stream")
        if self._account.key is None:
            full["Authorization"] = await self._client.bearer(_RESOURCE)
        else:
            full["Authorization"] = _signature(self._account, method, url, params=params, headers=full, size=len(body))
        answer = await self._client.send(method, url, headers=full, params=params, body=body)
        if not answer.succeeded and answer.status not in expect:
            raise Unreachable(f"{method} {url}: {answer.status} {answer.headers.get('x-ms-error-code', '')}")
        return answer


class Queue:
    """One queue.

    Args:
        name: Its name.
        storage: The account's queue service.
    """

    def __init__(self, name: str, storage: Storage) -> None:
        self.name, self._storage = name, storage

    def sibling(self, name: str) -> Self:
        """Another queue of the same account."""
        return type(self)(name, self._storage)

    async def send(self, message: str) -> None:
        """Append a message that never expires, making the queue if it is missing."""
        body = f"<QueueMessage><MessageText>{escape(message)}</MessageText></QueueMessage>".encode()
        if not await self._post(body):
            await self._storage.send("PUT", self.name)
            await self._post(body)

    async def _post(self, body: bytes) -> bool:
        answer = await self._storage.send(
            "POST",
            f"{self.name}/messages",
            params={"messagettl": _FOREVER_SECONDS},
            headers={"Content-Type": "application/xml"},
            body=body,
            expect=[_GONE],
        )
        return answer.status != _GONE

    async def receive(self, limit: int, *, hidden_seconds: int) -> list[QueueMessage]:
        """Take up to `limit` messages (1 to 32) and hide them for a while; a missing queue has none."""
        answer = await self._storage.send(
            "GET",
            f"{self.name}/messages",
            params={"numofmessages": str(limit), "visibilitytimeout": str(hidden_seconds)},
            expect=[_GONE],
        )
        return [] if answer.status == _GONE else [_message(one) for one in _parse(answer.body).iter("QueueMessage")]

    async def hide(self, message: QueueMessage, receipt: str, *, seconds: int) -> str:
        """Set how long a message stays hidden from now on; returns its new pop receipt."""
        answer = await self._storage.send(
            "PUT",
            f"{self.name}/messages/{message.id}",
            params={"popreceipt": receipt, "visibilitytimeout": str(seconds)},
        )
        return answer.headers["x-ms-popreceipt"]

    async def delete(self, message: QueueMessage, receipt: str) -> None:
        """Remove a message for good; one that is gone already is fine."""
        params = {"popreceipt": receipt}
        await self._storage.send("DELETE", f"{self.name}/messages/{message.id}", params=params, expect=[_GONE])


def _signature(
    account: Account, method: str, url: str, *, params: Mapping[str, str], headers: Mapping[str, str], size: int
) -> str:
    """Shared Key. Source: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
    lower = {name.lower(): value for name, value in headers.items()} | {"content-length": str(size) if size else ""}
    standard = [lower.get(name, "") for name in [*_SIGNED.split(), "if-none-match", "if-unmodified-since", "range"]]
    own = [f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")]
    query = [f"{name.lower()}:{params[name]}" for name in sorted(params, key=str.lower)]
    resource = f"/{account.name}{urlsplit(url).path}"
    message = "\n".join([method, *standard, *own, resource, *query])
    digest = hmac.new(base64.b64decode(account.key or ""), message.encode(), hashlib.sha256).digest()
    return f"SharedKey {account.name}:{base64.b64encode(digest).decode()}"


def _parse(body: bytes) -> ET.Element:
    return ET.fromstring(body)  # noqa: S314 - the answer of the account the settings name


def _message(element: ET.Element) -> QueueMessage:
    found = {child.tag: child.text or "" for child in element}
    return QueueMessage(
        found["MessageId"],
        found["MessageText"],
        int(found["DequeueCount"]),
        inserted=parsedate_to_datetime(found["InsertionTime"]),
        expires=parsedate_to_datetime(found["ExpirationTime"]),
        next_visible=parsedate_to_datetime(found["TimeNextVisible"]),
        pop_receipt=found["PopReceipt"],
    )
