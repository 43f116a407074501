"""Which blob requests raise an event, and what Azure Storage says in it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

import httpx
from starlette.types import Scope

from laptop.event_grid.envelope import Event
from laptop.stack import ACCOUNT, ACCOUNT_ID

_SILENT_CONTAINERS = frozenset({"$logs", "$blobchangefeed"})  # not integrated with Event Grid in Azure


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """What a request to the blob service is about.

    Args:
        method: The HTTP method.
        raw_path: The path as it was sent, still percent-encoded.
        container: The container's name, ``$root`` when the path names none; empty when it is not about a blob.
        blob: The blob's name, decoded; empty when it is not about a blob.
        query: The query's parameters.
        headers: The request's headers.
    """

    method: str
    raw_path: bytes
    container: str
    blob: str
    query: Mapping[str, str]
    headers: httpx.Headers

    @classmethod
    def read(cls, scope: Scope) -> Self:
        """Understand an ASGI request."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        path: str = scope["raw_path"].decode("latin-1")
        container, _, blob = path.removeprefix(f"/{ACCOUNT}").lstrip("/").partition("/")
        if not blob and "restype" not in query:
            container, blob = "$root", container
        return cls(
            method=scope["method"],
            raw_path=scope["raw_path"],
            container=unquote(container),
            blob=unquote(blob),
            query=query,
            headers=httpx.Headers(scope["headers"]),
        )

    @property
    def deletes_blob(self) -> bool:
        """Whether it deletes a blob itself, not one of its snapshots or versions."""
        return (
            self.method == "DELETE"
            and self._raises_events
            and not self.query.keys() & {"comp", "snapshot", "versionid"}
            and self.headers.get("x-ms-delete-snapshots") != "only"
        )

    @property
    def changes_blob(self) -> bool:
        """Whether, if it succeeds, it raises an event."""
        writes = self.method == "PUT" and self._raises_events and self.query.get("comp") in {None, "blocklist"}
        return writes or self.deletes_blob

    @property
    def api(self) -> str:
        """The operation, as Azure's events name it."""
        if self.method == "DELETE":
            return "DeleteBlob"
        if self.query.get("comp") == "blocklist":
            return "PutBlockList"
        return "CopyBlob" if "x-ms-copy-source" in self.headers else "PutBlob"

    @property
    def _raises_events(self) -> bool:
        return bool(self.blob) and self.container not in _SILENT_CONTAINERS


def needs_properties(request: BlobRequest) -> bool:
    """Whether size and type of the blob written are known to the service only, not to the request."""
    return request.api in {"PutBlockList", "CopyBlob"}


def happened(
    request: BlobRequest, answer: httpx.Headers, properties: httpx.Headers, *, sent_bytes: int, base_url: str
) -> Event:
    """The event of a request that succeeded.

    Args:
        request: The request.
        answer: The headers of its answer.
        properties: The blob's properties, after a write that `needs_properties` or before a deletion; else empty.
        sent_bytes: Size of the request's body.
        base_url: URL of the account, as clients see it.
    """
    path = request.raw_path.decode("latin-1").removeprefix(f"/{ACCOUNT}")
    data: dict[str, object] = {
        "api": request.api,
        "requestId": answer.get("x-ms-request-id", ""),
        "contentType": properties.get("content-type") or _content_type(request.headers),
        "blobType": properties.get("x-ms-blob-type") or request.headers.get("x-ms-blob-type", "BlockBlob"),
        "url": f"{base_url}{path}",
        "sequencer": _sequencer(),
        "storageDiagnostics": {"batchId": str(uuid4())},
    }
    if "x-ms-client-request-id" in request.headers:
        data["clientRequestId"] = request.headers["x-ms-client-request-id"]
    if not request.deletes_blob:
        page_blob_bytes = request.headers.get("x-ms-blob-content-length")
        data["eTag"] = answer.get("etag", "").strip('"')
        data["contentLength"] = int(properties.get("content-length") or page_blob_bytes or sent_bytes)
    kind = "BlobDeleted" if request.deletes_blob else "BlobCreated"
    subject = f"/blobServices/default/containers/{request.container}/blobs/{request.blob}"
    return Event(source=ACCOUNT_ID, subject=subject, type=f"Microsoft.Storage.{kind}", data=data)


def _content_type(headers: httpx.Headers) -> str:
    return headers.get("x-ms-blob-content-type") or headers.get("content-type") or "application/octet-stream"


class _Sequence:
    """Numbers that grow, also over restarts: nanoseconds of the clock, or one more when it has not moved on."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        self._last = max(self._last + 1, time.time_ns())
        return f"{self._last:032X}"


_sequencer = _Sequence()
