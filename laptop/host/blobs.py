"""Blob triggers (source Event Grid): the webhook queues a blob's name, a queue listener runs the function."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

from laptop.host import worker
from laptop.host.bindings import storage
from laptop.host.client import Answer, Client, Unreachable
from laptop.host.invocations import Event, Invocations
from laptop.host.queues import QueueListener, QueueOptions, encode
from laptop.host.settings import Settings
from laptop.host.storage import Queue, QueueMessage, Storage, account
from laptop.host.worker import Function

_log = logging.getLogger("host")
_TOKEN = re.compile(r"\\{(\w+)\\}")
FUNCTION_PREFIX = "Host.Functions."
_METADATA = "x-ms-meta-"
_GONE = 404
_INTERNAL_QUEUE = "azure-webjobs-blobtrigger-laptop"
_POISON_QUEUE = "webjobs-blobtrigger-poison"


class BlobTriggers:
    """All blob functions of an app.

    Args:
        functions: Them, expanded, each with its account's blob service.
        queue: The internal queue between the webhook and the functions.
        invocations: Runs the functions.
        options: How the queue is read.
    """

    def __init__(
        self,
        functions: Sequence[tuple[Function, Storage]],
        queue: Queue,
        *,
        invocations: Invocations,
        options: QueueOptions,
    ) -> None:
        self._queue, self._invocations = queue, invocations
        self._functions = {function.name: (function, storage, _pattern(function)) for function, storage in functions}
        poison = queue.sibling(_POISON_QUEUE)
        self._listener = QueueListener(queue, poison, self._handle, options=options, work=invocations.work)

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    async def listen(self) -> None:
        """Run the functions on announced blobs until cancelled."""
        await self._listener.run()

    async def announce(self, name: str, url: str) -> None:
        """Queue a created blob if the function's path matches it; raises OSError if the queue does not take it."""
        path = _path(url)
        if self._functions[name][2].fullmatch(path) is None:
            _log.info("blob %s is not for %s", path, name)
            return
        container, _, blob = path.partition("/")
        message = {
            "Type": "BlobTrigger",
            "FunctionId": f"{FUNCTION_PREFIX}{name}",
            "BlobType": "BlockBlob",
            "ContainerName": container,
            "BlobName": blob,
        }
        await self._queue.send(encode(json.dumps(message)))
        self._listener.wake()

    async def run(self, name: str, path: str) -> bool:
        """Read a blob (container/name) and run a function on it.

        Returns:
            Whether this is done: the function succeeded, or the blob is gone by now or not the function's.
        """
        function, storage, pattern = self._functions[name]
        match = pattern.fullmatch(path)
        answer = None if match is None else await storage.send("GET", path, expect=[_GONE])
        if match is None or answer is None or answer.status == _GONE:
            _log.warning("blob %s is gone, or not for %s", path, name)
            return True
        event = _event(path, storage.url(path), answer, tokens=match.groupdict())
        return (await self._invocations.run(function, event)).succeeded

    async def _handle(self, _: QueueMessage, text: str) -> bool:
        message = json.loads(text)
        name = message["FunctionId"].removeprefix(FUNCTION_PREFIX)
        try:
            return name in self and await self.run(name, f"{message['ContainerName']}/{message['BlobName']}")
        except Unreachable as problem:
            _log.warning("blob for %s: %s", name, problem)
            return False


def blob_triggers(
    functions: Sequence[Function],
    invocations: Invocations,
    client: Client,
    *,
    settings: Settings,
    options: QueueOptions,
) -> BlobTriggers | None:
    """The blob functions among an app's functions, or None; raises CannotStart if an account is missing."""
    mine = [(one, storage(one, "blob", settings, client)) for one in functions if one.trigger.kind == "blobTrigger"]
    if not mine:
        return None
    found = account(settings, "AzureWebJobsStorage", "queue", where="the internal queue of blob triggers")
    queue = Queue(_INTERNAL_QUEUE, Storage(found, client))
    return BlobTriggers(mine, queue, invocations=invocations, options=options)


def _pattern(function: Function) -> re.Pattern[str]:
    path = function.trigger.text("path")
    return re.compile(_TOKEN.sub(r"(?P<\1>.+)", re.escape(path if "/" in path else f"{path}/{{name}}")))


def _event(path: str, url: str, answer: Answer, *, tokens: Mapping[str, str]) -> Event:
    properties = {
        "Length": len(answer.body),
        "ContentLength": len(answer.body),
        "ContentType": answer.headers.get("content-type"),
        "ETag": answer.headers.get("etag"),
        "LastModified": answer.headers.get("last-modified"),
    }
    metadata = {
        name.removeprefix(_METADATA): value for name, value in answer.headers.items() if name.startswith(_METADATA)
    }
    return Event(
        worker.blob(answer.body),
        {
            "BlobTrigger": worker.text(path),
            "Uri": worker.text(url),
            "Properties": worker.document(properties),
            "Metadata": worker.document(metadata),
            **{name: worker.text(value) for name, value in tokens.items()},
        },
        reason=f"New blob detected: {path}",
        expressions=lambda: {**tokens, "BlobTrigger": path},
    )


def _path(url: str) -> str:
    """Container and name of a blob's address; an emulator's address begins with the account."""
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    return path if (parts.hostname or "").endswith(".core.windows.net") else path.partition("/")[2]
