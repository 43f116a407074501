"""The stack's identity provider: tokens as Entra ID shapes them, handed out as App Service hands them out."""

import secrets
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from laptop.agreed import agreed
from laptop.stack import SUBSCRIPTION, Stack

LIFETIME_S = 3600
TENANT = str(uuid5(UUID(SUBSCRIPTION), "tenant"))
OBJECT = str(uuid5(UUID(SUBSCRIPTION), "managed identity"))
CLIENT = str(uuid5(UUID(SUBSCRIPTION), "client"))
ISSUER = f"https://sts.windows.net/{TENANT}/"  # v1.0 tokens, the only kind managed identities get
API_VERSION = "2019-08-01"
SECRET = "laptop"  # noqa: S105 - not a secret: the same for every stack, and the endpoint listens on loopback only


class Unauthorized(Exception):
    """A request carries no token that may be used here.

    Args:
        what: What was refused.
        why: The reason, fit for an error message.
        fix: What the caller can do.
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}; {fix}")
        self.what, self.why, self.fix = what, why, fix


class Identity:
    """Issues and checks the tokens of one stack; two processes with the same home agree on them."""

    def __init__(self, stack: Stack) -> None:
        self._key = agreed(stack.home / "identity" / "key", lambda: secrets.token_bytes(32))

    def token(self, resource: str) -> str:
        """A signed token for one resource, valid for an hour from now.

        Args:
            resource: What the token is for, such as ``https://storage.azure.com``; becomes the audience, unchanged.
        """
        return self._issue(resource, client_id=CLIENT)[0]

    def claims(self, authorization: str | None, *audiences: str) -> dict[str, Any]:
        """What a request's Authorization header says, once it has been checked.

        Args:
            authorization: The header as it came, or None when there was none.
            audiences: The audiences accepted here, with or without a trailing slash.

        Raises:
            Unauthorized: The token is missing, malformed, for another audience, expired, or not of this stack.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("no bearer token", why="the Authorization header is missing", fix=_ASK)
        bare = [audience.rstrip("/") for audience in audiences]
        try:
            claims: dict[str, Any] = jwt.decode(
                token.strip(),
                self._key,
                algorithms=["HS256"],
                audience=[*bare, *(f"{audience}/" for audience in bare)],
                issuer=ISSUER,
                options={"require": ["exp", "nbf", "aud", "iss"]},
            )
        except jwt.InvalidTokenError as problem:
            raise Unauthorized("the bearer token is not valid here", why=str(problem), fix=_ASK) from problem
        return claims

    def app(self) -> Starlette:
        """The managed-identity endpoint of App Service: what ``DefaultAzureCredential()`` asks, over plain HTTP."""
        return Starlette(routes=[Route("/msi/token", self._answer, methods=["GET"])])

    async def _answer(self, request: Request) -> JSONResponse:
        query = request.query_params
        resource = query.get("resource")
        if not secrets.compare_digest(request.headers.get("x-identity-header", ""), SECRET):
            return _refusal(401, "The X-IDENTITY-HEADER header is missing or wrong.")
        if query.get("api-version") != API_VERSION:
            return _refusal(400, f"The api-version must be {API_VERSION}.")
        if not resource:
            return _refusal(400, "The resource parameter is required.")
        client_id = query.get("client_id", CLIENT)
        token, claims = self._issue(resource, client_id=client_id)
        return JSONResponse(
            {
                "access_token": token,
                "client_id": client_id,
                "expires_on": str(claims["exp"]),
                "not_before": str(claims["nbf"]),
                "resource": resource,
                "token_type": "Bearer",
            }
        )

    def _issue(self, resource: str, *, client_id: str) -> tuple[str, Mapping[str, Any]]:
        now = int(time.time())
        claims = {
            "aud": resource,
            "iss": ISSUER,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_S,
            "appid": client_id,
            "appidacr": "2",
            "idtyp": "app",
            "oid": OBJECT,
            "sub": OBJECT,
            "tid": TENANT,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, algorithm="HS256"), claims


_ASK = "ask the managed-identity endpoint of this stack for a token with the right resource"


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status_code=status)
