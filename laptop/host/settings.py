"""What configures a function app: host.json, local.settings.json and the environment."""

import os
import re
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

_SETTING = re.compile(r"%([^%]+)%")
_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)")
_DEFAULT_TIMEOUT = timedelta(minutes=30)  # what the host uses outside the Consumption plan


class CannotStart(Exception):
    """The host cannot run this app as it is configured.

    Args:
        what: What failed.
        why: The cause as observed.
        fix: What the reader can do next.
        details: More for the log file, such as a stack.
    """

    def __init__(self, what: str, *, why: str, fix: str, details: str = "") -> None:
        super().__init__(f"{what}\n  because: {why}\n  fix: {fix}")
        self.details = details


class _Http(msgspec.Struct, rename="camel"):
    route_prefix: str = "api"


class _Queues(msgspec.Struct, rename="camel"):
    batch_size: int = 16
    new_batch_threshold: int | None = None  # half a batch
    max_dequeue_count: int = 5
    visibility_timeout: str = "00:00:00"
    max_polling_interval: str = "00:00:02"  # what the host uses in development; a minute in Azure
    message_encoding: str = "base64"


class _EventHubs(msgspec.Struct, rename="camel"):
    max_event_batch_size: int = 100


class _Extensions(msgspec.Struct, rename="camel"):
    http: _Http = msgspec.field(default_factory=_Http)
    queues: _Queues = msgspec.field(default_factory=_Queues)
    event_hubs: _EventHubs = msgspec.field(default_factory=_EventHubs)


class HostJson(msgspec.Struct, rename="camel"):
    """The parts of host.json this host reads; what is left out has the real host's defaults."""

    function_timeout: str | None = None
    extensions: _Extensions = msgspec.field(default_factory=_Extensions)

    @property
    def timeout_seconds(self) -> float | None:
        """How long an invocation may take; None means as long as it likes."""
        if self.function_timeout == "-1":
            return None
        return (span(self.function_timeout) if self.function_timeout else _DEFAULT_TIMEOUT).total_seconds()


class _LocalSettings(msgspec.Struct, rename="pascal"):
    is_encrypted: bool = False
    values: dict[str, str | int | float | bool] = {}


def span(text: str) -> timedelta:
    """A .NET time span such as 00:05:00 or 1.00:00:00.

    Raises:
        ValueError: It is not one.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time span like 00:05:00")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def read_host_json(app: Path) -> HostJson:
    """The app's host.json, or the defaults when it has none.

    Raises:
        CannotStart: It is not JSON, or a value has the wrong type.
    """
    path = app / "host.json"
    host_json = _read(path, HostJson) if path.exists() else HostJson()
    queues = host_json.extensions.queues
    for value in (host_json.function_timeout, queues.visibility_timeout, queues.max_polling_interval):
        try:
            _ = value in {None, "-1"} or span(str(value))
        except ValueError as problem:
            raise CannotStart(f"{path} is not usable", why=str(problem), fix="write hh:mm:ss") from problem
    return host_json


def apply_local_settings(app: Path, environment: MutableMapping[str, str]) -> None:
    """Add the values of local.settings.json to the environment, which keeps what it already has.

    Raises:
        CannotStart: The file is not JSON, or it is encrypted.
    """
    path = app / "local.settings.json"
    if not path.exists():
        return
    settings = _read(path, _LocalSettings)
    if settings.is_encrypted:
        raise CannotStart(
            f"{path} is not usable", why="it is encrypted", fix="run `func settings decrypt` in its folder"
        )
    for name, value in settings.values.items():
        environment.setdefault(name, str(value))


def _read[T](path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as problem:
        raise CannotStart(f"{path} is not usable", why=str(problem), fix="correct that value") from problem


class Settings:
    """App settings, and the connections named by them.

    Args:
        values: The settings by name.
    """

    def __init__(self, values: Mapping[str, str] = os.environ) -> None:
        self._values = values

    def get(self, name: str) -> str | None:
        """A setting, or None."""
        return self._values.get(name)

    def expand(self, value: str, where: str) -> str:
        """Replace every %NAME% by its setting.

        Args:
            value: A binding's option.
            where: Who asks, for the error: function, binding and option.

        Raises:
            CannotStart: A named setting does not exist.
        """
        return _SETTING.sub(lambda match: self.need(match[1], where), value)

    def expand_all(self, options: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The options of a binding with every %NAME% replaced; raises as `expand` does."""
        return {
            key: self.expand(value, f"{where}, {key}") if isinstance(value, str) else value
            for key, value in options.items()
        }

    def need(self, name: str, where: str) -> str:
        """A setting that must exist; raises CannotStart as `expand` does."""
        value = self._values.get(name)
        if value is None:
            raise missing(where, name)
        return value

    def connection(self, name: str, part: str = "") -> str | None:
        """A connection's setting, also under the prefix AzureWebJobs, as the real host looks for it.

        Args:
            name: The binding's `connection`.
            part: What follows the double underscore, such as `queueServiceUri`; empty for a connection string.
        """
        tail = f"__{part}" if part else ""
        return self.get(f"AzureWebJobs{name}{tail}") or self.get(f"{name}{tail}")

    def is_disabled(self, function: str) -> bool:
        """Whether AzureWebJobs.<function>.Disabled says so."""
        return (self.get(f"AzureWebJobs.{function}.Disabled") or "").lower() in {"1", "true"}


def missing(where: str, setting: str) -> CannotStart:
    """The error for a setting that a binding needs and nobody gave."""
    return CannotStart(
        f"{where} cannot be bound",
        why=f"the setting {setting} does not exist",
        fix=f"set {setting} in the environment or under Values in local.settings.json",
    )
