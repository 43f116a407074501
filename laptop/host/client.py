"""The host's own HTTP client, with tokens from the stack's managed identity."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from laptop.host.settings import Settings
from laptop.keep_alive import KeepAlive
from laptop.keep_alive import Unreachable as BrokenOff

_MARGIN_SECONDS = 300
_TIMEOUT_SECONDS = 30.0


class Unreachable(OSError):
    """A service the host depends on did not answer, or refused."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.

    Args:
        status: The HTTP status.
        headers: By their names in small letters.
        body: As it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the service did what it was asked."""
        return HTTPStatus(self.status).is_success

    def __str__(self) -> str:
        return f"{self.status} {self.body.decode(errors='replace')}"


class _Token(msgspec.Struct):
    access_token: str
    expires_on: str | int


class Client:
    """Connections to every service of the stack, without httpx, whose import would be a tenth of the host's start.

    Args:
        settings: Where IDENTITY_ENDPOINT and IDENTITY_HEADER are: the protocol that DefaultAzureCredential speaks in
            App Service, spoken here without azure.identity, which an app may not need.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers: dict[tuple[str, str], KeepAlive] = {}
        self._trust: ssl.SSLContext | None = None
        self._tokens: dict[str, tuple[str, float]] = {}

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send one request.

        Args:
            method: Its method.
            url: Where to, percent-encoded.
            headers: Its headers; host and length are added.
            params: More of its query, not encoded.
            body: Its body.

        Raises:
            Unreachable: No answer within 30 s.
        """
        parts = urlsplit(url)
        query = "&".join(part for part in (parts.query, urlencode(params or {}, quote_via=quote)) if part)
        target = f"{parts.path or '/'}?{query}" if query else parts.path or "/"
        full = {"host": parts.netloc, "content-length": str(len(body)), **headers}
        head = [(name.lower().encode(), value.encode()) for name, value in full.items()]
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                self._server(parts.scheme, parts.netloc).request(
                    method.encode(), target.encode(), head, body
                ) as answer,
            ):
                names = {name.decode().lower(): value.decode() for name, value in answer.headers}
                return Answer(answer.status, names, await answer.read())
        except TimeoutError as problem:
            raise Unreachable(f"{method} {url}: no answer within {_TIMEOUT_SECONDS:.0f} s") from problem
        except (BrokenOff, ValueError) as problem:
            raise Unreachable(f"{method} {url}: {problem}") from problem

    async def bearer(self, resource: str) -> str:
        """An Authorization header for a resource such as https://storage.azure.com.

        Raises:
            Unreachable: It did not give a token.
        """
        token, expires = self._tokens.get(resource, ("", 0.0))
        if expires < time.time() + _MARGIN_SECONDS:
            answer = await self.send(
                "GET",
                self._settings.get("IDENTITY_ENDPOINT") or "",
                headers={"X-IDENTITY-HEADER": self._settings.get("IDENTITY_HEADER") or ""},
                params={"resource": resource, "api-version": "2019-08-01"},
            )
            if answer.status != HTTPStatus.OK:
                raise Unreachable(f"the managed identity gave no token for {resource}: {answer}")
            fresh = msgspec.json.decode(answer.body, type=_Token)
            token, expires = fresh.access_token, float(fresh.expires_on)
            self._tokens[resource] = token, expires
        return f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers.values():
            server.close()

    def _server(self, scheme: str, address: str) -> KeepAlive:
        """The connections to one server; ValueError if the address is none."""
        if (scheme, address) not in self._servers:
            host, port = urlsplit(f"//{address}").hostname, urlsplit(f"//{address}").port
            if not host or scheme not in ("http", "https"):
                raise ValueError("this is no URL of a server")
            secure = scheme == "https"
            default_port = 443 if secure else 80
            self._servers[scheme, address] = KeepAlive(host, port or default_port, tls=self._tls() if secure else None)
        return self._servers[scheme, address]

    def _tls(self) -> ssl.SSLContext:
        self._trust = self._trust or ssl.create_default_context()
        return self._trust
