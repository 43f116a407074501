"""An endpoint that receives events: it consents to handshakes, keeps what it gets and answers what it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.stack import HOST_PORT, Stack
from tests.laptop.serving import eventually, http_server, serving


@dataclass(frozen=True)
class Post:
    """One delivery as it arrived."""

    headers: dict[str, str]
    body: Any

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in it, batched or not."""
        return self.body if isinstance(self.body, list) else [self.body]


class Inbox:
    """Receives deliveries at ``/events``.

    Args:
        answers: Statuses for the first deliveries; later ones are acknowledged.
        consents: Whether it agrees to receive events at all.
    """

    def __init__(self, *answers: int, consents: bool = True) -> None:
        self.posts: list[Post] = []
        self.handshakes: list[str] = []
        self.consents = consents
        self._answers = list(answers)
        self._open = threading.Event()
        self._open.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event received, in order of arrival."""
        return [event for post in self.posts for event in post.events]

    @contextmanager
    def listening(self, stack: Stack) -> Iterator[None]:
        """Serve on the host's port of a stack."""
        app = Starlette(routes=[Route("/events", self._receive, methods=["POST", "OPTIONS"])])
        with serving(http_server(app, stack, HOST_PORT)):
            yield

    def wait_for(self, events: int) -> list[dict[str, Any]]:
        """The events received, once there are so many."""
        eventually(lambda: len(self.events) >= events, f"fewer than {events} events arrived")
        return self.events

    async def _receive(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            self.handshakes.append("origin")
            origin = request.headers["webhook-request-origin"]
            return Response(headers={"WebHook-Allowed-Origin": origin} if self.consents else {})
        body = await request.json()
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            self.handshakes.append("code")
            code = body[0]["data"]["validationCode"]
            return JSONResponse({"validationResponse": code if self.consents else "guess"})
        self.posts.append(Post(dict(request.headers), body))
        return Response(status_code=self._answers.pop(0) if self._answers else 202)
