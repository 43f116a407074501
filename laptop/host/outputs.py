"""Output bindings: a queue message, a blob, or events for an Event Grid topic."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from azure.functions.meta import Datum

from laptop.host.client import Client, Unreachable
from laptop.host.queues import encode
from laptop.host.settings import HostJson, Settings, missing
from laptop.host.storage import Queue, Storage, account
from laptop.host.worker import Binding, Function

_EXPRESSION = re.compile(r"\{([^{}:]+)\}")
_TOPIC_RESOURCE = "https://eventgrid.azure.net"
_GONE = 404


class Outputs:
    """Writes what functions put out.

    Args:
        settings: The app settings, which name the accounts and topics.
        client: The host's HTTPS client.
        host_json: How queue messages are encoded.
    """

    def __init__(self, settings: Settings, client: Client, host_json: HostJson) -> None:
        self._settings, self._client = settings, client
        self._encode: Callable[[str | bytes], str] = (
            encode if host_json.extensions.queues.message_encoding.lower() == "base64" else _plain
        )

    def check(self, function: Function, binding: Binding) -> None:
        """Find everything the binding will need.

        Raises:
            CannotStart: A setting is missing.
        """
        where = f"function {function.name}, output {binding.name}"
        if binding.kind == "eventGrid":
            self._topic(binding, where)
        else:
            self._storage(binding, where)

    async def write(self, binding: Binding, value: Datum, expressions: Mapping[str, object]) -> None:
        """Write one value.

        Args:
            binding: Where to.
            value: What the function set, encoded by azure.functions.
            expressions: What `{name}` in the binding's path or queue name stands for.

        Raises:
            ValueError: The path names something the trigger does not give.
            OSError: The service did not take it.
        """
        match binding.kind:
            case "queue":
                queue = Queue(_fill(binding.text("queueName"), expressions), self._storage(binding, binding.name))
                for message in _messages(value):
                    await queue.send(self._encode(message))
            case "blob":
                await self._put(_fill(binding.text("path"), expressions), value, self._storage(binding, binding.name))
            case _:
                await self._publish(binding, value)

    async def _put(self, path: str, value: Datum, storage: Storage) -> None:
        body = value.value.encode() if isinstance(value.value, str) else bytes(value.value)
        headers = {"x-ms-blob-type": "BlockBlob"}
        answer = await storage.send("PUT", path, headers=headers, body=body, expect=[_GONE])
        if answer.status == _GONE:
            await storage.send("PUT", path.partition("/")[0], params={"restype": "container"})
            await storage.send("PUT", path, headers=headers, body=body)

    async def _publish(self, binding: Binding, value: Datum) -> None:
        url, key = self._topic(binding, binding.name)
        events = json.loads(value.value)
        headers = {"aeg-sas-key": key} if key else {"Authorization": await self._client.bearer(_TOPIC_RESOURCE)}
        answer = await self._client.send(
            "POST",
            url,
            headers=headers | {"Content-Type": "application/json"},
            params={"api-version": "2018-01-01"},
            body=json.dumps(events if isinstance(events, list) else [events]).encode(),
        )
        if not answer.succeeded:
            raise Unreachable(f"the topic {url} answered {answer}")

    def _storage(self, binding: Binding, where: str) -> Storage:
        connection = binding.text("connection", "AzureWebJobsStorage")
        found = account(self._settings, connection, "queue" if binding.kind == "queue" else "blob", where=where)
        return Storage(found, self._client)

    def _topic(self, binding: Binding, where: str) -> tuple[str, str]:
        """The topic's address and key; without a key the managed identity signs."""
        connection = binding.text("connection")
        if connection:
            url = self._settings.connection(connection, "topicEndpointUri")
            if not url:
                raise missing(where, f"{connection}__topicEndpointUri")
            self._settings.need("IDENTITY_ENDPOINT", where)
            return url, ""
        return (
            self._settings.need(binding.text("topicEndpointUri"), where),
            self._settings.need(binding.text("topicKeySetting"), where),
        )


def _plain(message: str | bytes) -> str:
    return message if isinstance(message, str) else message.decode()


def _messages(value: Datum) -> list[str | bytes]:
    """One value as queue messages: a list becomes several, anything else one."""
    if value.type != "json":
        return [value.value]
    found = json.loads(value.value)
    return [_body(one) for one in (found if isinstance(found, list) else [found])]


def _body(message: object) -> str:
    if isinstance(message, dict) and "body" in message:
        return str(message["body"])  # a func.QueueMessage, as azure.functions encodes it
    return message if isinstance(message, str) else json.dumps(message)


def _fill(template: str, expressions: Mapping[str, object]) -> str:
    return _EXPRESSION.sub(lambda match: _value(match[1], expressions), template)


def _value(name: str, expressions: Mapping[str, object]) -> str:
    if name.lower() in {"rand-guid", "sys.randguid"}:
        return str(uuid.uuid4())
    if name.lower() in {"datetime", "sys.utcnow"}:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    found: object = expressions
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise ValueError(f"no value for the named parameter {name!r}")
        found = found[part]
    return str(found)
