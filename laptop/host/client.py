"""The host's own HTTPS client, with tokens from the stack's managed identity, made when something first needs it."""

from __future__ import annotations

import asyncio
import ssl
import time
from http import HTTPStatus
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from laptop.host.settings import Settings

if TYPE_CHECKING:
    import httpx

_MARGIN_SECONDS = 300
_TIMEOUT_SECONDS = 30.0


class Unreachable(OSError):
    """A service the host depends on did not answer, or refused."""


class _Token(msgspec.Struct):
    access_token: str
    expires_on: str | int


class Client:
    """One connection pool for every service of the stack.

    Args:
        settings: Where IDENTITY_ENDPOINT and IDENTITY_HEADER are: the protocol that DefaultAzureCredential speaks in
            App Service, spoken here without azure.identity, whose import costs as much as the whole start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._tokens: dict[str, tuple[str, float]] = {}

    async def send(
        self, method: str, url: str, *, headers: dict[str, str], params: dict[str, str] | None = None, body: bytes = b""
    ) -> httpx.Response:
        """Send one request.

        Raises:
            Unreachable: No answer.
        """
        client = await self._open()
        try:
            return await client.request(method, url, headers=headers, params=params, content=body)
        except (_httpx().HTTPError, _httpx().InvalidURL) as problem:
            raise Unreachable(f"{method} {url}: {problem or type(problem).__name__}") from problem

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
            if answer.status_code != HTTPStatus.OK:
                raise Unreachable(
                    f"the managed identity gave no token for {resource}: {answer.status_code} {answer.text}"
                )
            fresh = msgspec.json.decode(answer.content, type=_Token)
            token, expires = fresh.access_token, float(fresh.expires_on)
            self._tokens[resource] = token, expires
        return f"Bearer {token}"

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                library = await asyncio.to_thread(_httpx)
                context = await asyncio.to_thread(ssl.create_default_context)
                self._client = library.AsyncClient(verify=context, timeout=_TIMEOUT_SECONDS, trust_env=False)
            return self._client


def _httpx() -> ModuleType:
    import httpx  # noqa: PLC0415 - a third of the host's start, and an app of HTTP and Event Grid functions needs none

    return httpx
