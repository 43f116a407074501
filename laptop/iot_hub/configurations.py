"""IoT Hub's automatic deployments as a resource: created once, then only retargeted; with their metrics."""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace

from laptop.iot_hub.bodies import ConfigurationBody, modules_of
from laptop.iot_hub.deployments import (
    CONFIGURATIONS_MAX,
    Configuration,
    InvalidConfiguration,
    system_queries,
    validate,
)
from laptop.iot_hub.errors import HubError
from laptop.iot_hub.query import parse_query
from laptop.iot_hub.registry import check_precondition, now
from laptop.iot_hub.store import Store
from laptop.iot_hub.values import Document

Json = dict[str, object]

_CONFIGURATION = "configuration"


class Configurations:
    """All configurations of the hub; every change is kept at once.

    Args:
        store: Where they are kept.
        ask: Runs a query over the hub's twins: the collection's name to its documents.
    """

    def __init__(self, store: Store, ask: Callable[[str], Iterable[Document]]) -> None:
        self._store = store
        self._ask = ask
        self._all = {name: Configuration(**document) for name, document in store.all(_CONFIGURATION).items()}

    def all(self) -> list[Configuration]:
        """All of them, the oldest first."""
        return sorted(self._all.values(), key=lambda one: one.serial)

    def get(self, name: str) -> Configuration:
        """One of them.

        Raises:
            HubError: 404.
        """
        if name not in self._all:
            raise HubError(404, "ConfigurationNotFound", f"Configuration with id '{name}' was not found on IotHub.")
        return self._all[name]

    def write(self, name: str, body: ConfigurationBody, *, if_match: str | None) -> tuple[Configuration, bool]:
        """Create a configuration, or with a precondition change it, from what the service API takes.

        An etag that is not in quotes is no precondition to the service, as azure-iot-hub-python issue 2 shows. New
        content is ignored without a word: it was set when the configuration was created.

        Returns:
            The configuration, and whether it is new.

        Raises:
            HubError: It exists and no precondition came, the precondition does not hold, or a rule is broken.
        """
        if if_match is not None and if_match != "*" and not if_match.startswith('"'):
            if_match = None
        old = self._all.get(name)
        if old is None and if_match not in (None, "*", '"*"'):
            self.get(name)
        if old is not None:
            if if_match is None:
                message = f"Configuration with id '{name}' already exist on IotHub."
                raise HubError(409, "ConfigurationAlreadyExists", message)
            check_precondition(if_match, etag(old))
        new = self._checked(name, body, old)
        self._all[name] = new
        self._store.put(_CONFIGURATION, name, asdict(new))
        return new, old is None

    def delete(self, name: str, *, if_match: str | None) -> None:
        """Delete a configuration.

        Raises:
            HubError: 404, or 412.
        """
        check_precondition(if_match, etag(self.get(name)))
        del self._all[name]
        self._store.delete(_CONFIGURATION, name)

    def document(self, configuration: Configuration) -> Json:
        """As the service API shows it, its metrics counted now."""
        system, custom = system_queries(configuration), configuration.metrics
        if not configuration.target_condition:
            system = {}
        return {
            "id": configuration.id,
            "schemaVersion": configuration.schema_version,
            "labels": configuration.labels,
            "content": {"modulesContent": configuration.modules},
            "contentType": "assignment",
            "targetCondition": configuration.target_condition,
            "createdTimeUtc": configuration.created,
            "lastUpdatedTimeUtc": configuration.updated,
            "priority": configuration.priority,
            "systemMetrics": {"results": self._count(system), "queries": system},
            "metrics": {"results": self._count(custom), "queries": custom},
            "etag": etag(configuration),
        }

    def _count(self, queries: Mapping[str, str]) -> dict[str, int]:
        parsed = {name: parse_query(text) for name, text in queries.items()}
        return {name: len(query.run(self._ask(query.source))) for name, query in parsed.items()}

    def _checked(self, name: str, body: ConfigurationBody, old: Configuration | None) -> Configuration:
        if old is None and len(self._all) >= CONFIGURATIONS_MAX:
            message = f"Number of deployments exceed the maximum quota {CONFIGURATIONS_MAX} for this IotHub."
            raise HubError(413, "ConfigurationCountLimitExceeded", message)
        at = now()
        blank = Configuration(name, {}, "", 0, self._next_serial(), created=at)
        new = replace(
            old or blank,
            modules=old.modules if old else modules_of(body.content),
            target_condition=body.target_condition or "",
            priority=body.priority or 0,
            metrics=(body.metrics.queries if body.metrics else None) or {},
            labels=body.labels or {},
            schema_version=body.schema_version or (old or blank).schema_version,
            updated=at,
            version=(old.version + 1) if old else 1,
        )
        try:
            validate(new)
        except InvalidConfiguration as problem:
            raise HubError(400, problem.code, str(problem)) from problem
        return new

    def _next_serial(self) -> int:
        return 1 + max((one.serial for one in self._all.values()), default=0)


def etag(configuration: Configuration) -> str:
    """Its etag, without quotes: base64 of the version, as the service writes it."""
    return base64.b64encode(str(configuration.version).encode()).decode()
