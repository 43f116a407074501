"""How the slim image serves the endpoint: uvicorn on httptools, to be run on uvloop."""

import gc

import uvicorn

from edge.app import ScoringApp
from edge.connections import Connection

GRACE_SECONDS = 5  # for requests in flight; container runtimes kill after 10


def server(app: ScoringApp, *, host: str, port: int) -> uvicorn.Server:
    """The server of one device, not started yet.

    Args:
        app: The endpoint; the device runs while the server does.
        host: Address to listen on.
        port: Port to listen on.
    """
    gc.collect()
    gc.freeze()  # what the imports made stays anyway: no collection during a request need look at it again
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return uvicorn.Server(config)
