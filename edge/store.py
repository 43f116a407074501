"""Where model files come from: one blob container, and nothing outside it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from edge.errors import Away, Changed, Unfit

CHUNK_BYTES = 4 * 1024 * 1024
_INSIDE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*/?\Z"
)  # hence no dot segment, %, ? or @
_SERVER_ERROR, _TOO_MANY, _TIMEOUT = 500, 429, 408


@dataclass(frozen=True, slots=True)
class Part:
    """A file from some byte on.

    Args:
        etag: Names the state of the file that is read.
        chunks: Its content, in order; reading them raises what `Store.read` raises.
    """

    etag: str
    chunks: Iterator[bytes]


class Store(Protocol):
    """The model store, in the device's own words."""

    def read(self, url: str, name: str, *, start: int = 0, etag: str | None = None) -> Part:
        """Read one file of a model, or what is left of it.

        Args:
            url: Folder of the model, as the twin names it.
            name: File inside that folder, such as `model.onnx`.
            start: First byte; below the file's size unless 0.
            etag: The state whose first bytes are here already.

        Raises:
            Unfit: The URL is not inside the store, or the file is not there or not for this device to read.
            Changed: The file is not in that state any more.
            Away: The store does not answer; it may later.
        """
        ...


def path_inside(store_url: str, url: str, name: str) -> str:
    """Path of a file relative to the store.

    A twin could name any URL, and the device's token would be sent there: so only what lies under the configured
    store is accepted, and only its path is used.

    Args:
        store_url: The configured store, ending in a slash.
        url: Folder of the model, as the twin names it.
        name: File inside that folder.

    Raises:
        Unfit: The URL is not inside the store.
    """
    folder = url.removeprefix(store_url) if url.startswith(store_url) else ""
    if not _INSIDE.match(folder):
        raise Unfit(
            "the model would come from outside the model store",
            why=f"{url!r} is not a plain folder under {store_url}",
            fix="deploy models from the configured store, or correct the setting MODEL_STORE_URL",
        )
    return f"{folder.rstrip('/')}/{name}"


class BlobStore:
    """The model store in Azure Blob Storage.

    Args:
        url: The container, ending in a slash.
        credential: Who the device is; the environment decides unless given.
    """

    def __init__(self, url: str, credential: TokenCredential | None = None) -> None:
        self._url = url
        self._container = ContainerClient.from_container_url(
            url.rstrip("/"),
            credential=credential or DefaultAzureCredential(),
            max_single_get_size=CHUNK_BYTES,
            max_chunk_get_size=CHUNK_BYTES,
            connection_timeout=5,
            read_timeout=30,
            retry_total=0,  # edge/following.py tries again by itself, and may be asked for another model meanwhile
            permit_redirects=False,  # a redirect would carry the token elsewhere
        )

    def read(self, url: str, name: str, *, start: int = 0, etag: str | None = None) -> Part:
        """Read one file of a model, or what is left of it; see Store."""
        path = path_inside(self._url, url, name)
        same: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        with _translated(path):
            found = self._container.get_blob_client(path).download_blob(offset=start or None, max_concurrency=1, **same)
            return Part(str(found.properties.etag), _chunks(path, found.chunks()))


def _chunks(path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _translated(path):
        yield from chunks


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except ResourceNotFoundError as error:
        raise Unfit(
            f"the model store has no {path}", why=_line(error), fix="promote the model again, or deploy another one"
        ) from error
    except ResourceModifiedError as error:
        raise Changed(
            f"{path} changed while it was read", why=_line(error), fix="it is read again by itself"
        ) from error
    except ClientAuthenticationError as error:  # also: no identity could be found, which a start-up race can cause
        raise _away(path, error) from error
    except HttpResponseError as error:
        status = error.status_code or _SERVER_ERROR
        if status >= _SERVER_ERROR or status in (_TOO_MANY, _TIMEOUT):
            raise _away(path, error) from error
        raise Unfit(
            f"the model store refused to hand out {path}",
            why=_line(error),
            fix="give the device's identity the role Storage Blob Data Reader on the container",
        ) from error
    except AzureError as error:
        raise _away(path, error) from error


def _away(path: str, error: AzureError) -> Away:
    return Away(
        f"the model store did not hand out {path}",
        why=_line(error),
        fix="check the device's network and identity; the device tries again by itself",
    )


def _line(error: AzureError) -> str:
    return str(error.message).strip().partition("\n")[0]
