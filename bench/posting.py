"""Events posted to the Functions host as Event Grid posts them, some requests at a time."""

import asyncio
import http.client
from collections.abc import Iterable

from laptop.keep_alive import KeepAlive
from laptop.stack import HOST_PORT, Stack

FUNCTION = "count_upload_on_blob_created"
CLIENTS = 8  # deliveries at once, as laptop/subscriptions.py has them


async def post(stack: Stack, bodies: Iterable[bytes], *, function: str = FUNCTION) -> None:
    """Post every body, an array of events in JSON, once; the order is that of the bodies."""
    client, waiting = KeepAlive(stack.address, HOST_PORT, tls=None), iter(bodies)
    target = f"/runtime/webhooks/eventgrid?functionName={function}".encode()

    async def post_one_by_one() -> None:
        for body in waiting:
            headers = [
                (b"host", stack.address.encode()),
                (b"aeg-event-type", b"Notification"),
                (b"content-length", str(len(body)).encode()),
            ]
            async with client.request(b"POST", target, headers, body) as answer:
                if answer.status != http.client.ACCEPTED:
                    raise RuntimeError(f"the host answered {answer.status} to a batch of events")
                await answer.read()

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(post_one_by_one())
    client.close()
