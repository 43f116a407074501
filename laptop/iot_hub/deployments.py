"""Automatic deployments: which configurations reach a device, and what its modules' twins become."""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from laptop.iot_hub.query import QueryError, parse_query, parse_target_condition
from laptop.iot_hub.twins import SECTION_BYTES_MAX, TwinError, check, merged
from laptop.iot_hub.values import Document

Json = dict[str, object]
Sections = Mapping[str, Mapping[str, object]]

AGENT = "$edgeAgent"
CONFIGURATIONS_MAX = 100  # of a paid hub
_METRICS_MAX = 5
_MODULES_MAX = 50
_WHOLE = "properties.desired"
_ID = re.compile(r"[a-z0-9\-+%_*!']{1,128}")


class InvalidConfiguration(ValueError):
    """A configuration the service would not store.

    Args:
        code: The service's error code.
        message: What is wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Configuration:
    """An automatic deployment.

    Args:
        id: Its name.
        modules: Per module, what is set: ``properties.desired`` (all of it) or ``properties.desired.<path>``.
        target_condition: Which devices; empty targets none.
        priority: The highest wins.
        serial: Grows with every creation: among equal priorities the newest wins.
        metrics: Named queries whose rows the service counts.
        labels: Free names and values.
        created: When it was created, UTC, ISO 8601.
        updated: When it was last changed, UTC, ISO 8601.
        version: Counts its changes; the etag is made of it.
        schema_version: As given by the caller.
    """

    id: str
    modules: Sections
    target_condition: str
    priority: int
    serial: int
    metrics: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    updated: str = ""
    version: int = 1
    schema_version: str = "1.0"

    @property
    def is_base(self) -> bool:
        """Whether it brings the whole of $edgeAgent, and not a layer on top of one that does."""
        return _WHOLE in self.modules.get(AGENT, {})

    def targets(self, device: Document) -> bool:
        """Whether a device twin meets the target condition; only IoT Edge devices can."""
        capabilities = device.get("capabilities")
        edge = isinstance(capabilities, Mapping) and capabilities.get("iotEdge") is True
        return edge and bool(self.target_condition) and parse_target_condition(self.target_condition).matches(device)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one device gets.

    Args:
        targeted: Every configuration whose condition it meets.
        applied: Those that have effect, the base first, each later one overriding the earlier; empty for an orphan.
    """

    targeted: tuple[Configuration, ...]
    applied: tuple[Configuration, ...]

    def desired(self, module: str, current: Mapping[str, object]) -> Json | None:
        """A module's desired properties from now on.

        Args:
            module: The module's name.
            current: Its desired properties so far. They stay where no configuration sets them: also those that a
                deleted configuration has left behind.

        Returns:
            The new desired properties; None when no configuration speaks of the module.
        """
        sections = [section for one in self.applied if (section := one.modules.get(module))]
        if not sections:
            return None
        result: Json = {} if any(_WHOLE in section for section in sections) else deepcopy(dict(current))
        for section in sections:
            for key, value in sorted(section.items()):  # the whole sorts before the paths into it
                if key == _WHOLE:
                    result = dict(deepcopy(value)) if isinstance(value, Mapping) else {}
                else:
                    _set(result, key.removeprefix(f"{_WHOLE}.").split("."), deepcopy(value))
        return merged({}, result)  # a twin holds no null

    def status(self, module: str) -> dict[str, str]:
        """How each targeting configuration stands in a module: Applied when it sets something there and has effect.

        A layer that leaves $edgeAgent alone is Targeted there for ever (reported as Azure/iotedge issue 5299).
        """
        applied = {one.id for one in self.applied if one.modules.get(module)}
        return {one.id: "Applied" if one.id in applied else "Targeted" for one in self.targeted}


def resolve(device: Document, configurations: Iterable[Configuration]) -> Resolution:
    """Which configurations reach a device.

    The base of the highest priority wins; every layer of a priority above the base's is laid on it, in order of
    priority; equal priorities are decided by age, the newest on top. Without a base nothing applies: the device
    keeps what it has.

    Args:
        device: The device twin, as queries see it.
        configurations: All of the hub, in any order.
    """
    targeted = sorted((one for one in configurations if one.targets(device)), key=_rank)
    bases = [one for one in targeted if one.is_base]
    if not bases:
        return Resolution(tuple(targeted), ())
    layers = [one for one in targeted if not one.is_base and one.priority > bases[-1].priority]
    return Resolution(tuple(targeted), (bases[-1], *layers))


def system_queries(configuration: Configuration) -> dict[str, str]:
    """The queries behind the system metrics of a configuration."""
    applied = f"FROM devices.modules WHERE moduleId = '{AGENT}' AND configurations.[[{configuration.id}]].status"
    current = "properties.desired.$version = properties.reported.lastDesiredVersion"
    code = "properties.reported.lastDesiredStatus.code"
    condition = configuration.target_condition
    matched = "" if condition.strip() == "*" else f" AND ({condition})"
    return {
        "targetedCount": f"SELECT deviceId FROM devices WHERE capabilities.iotEdge = true{matched}",  # noqa: S608 - no SQL
        "appliedCount": f"SELECT deviceId {applied} = 'Applied'",
        "reportedSuccessfulCount": f"SELECT deviceId {applied} = 'Applied' AND {current} AND {code} = 200",
        "reportedFailedCount": f"SELECT deviceId {applied} = 'Applied' AND {current} AND {code} != 200",
    }


def validate(configuration: Configuration) -> None:
    """Hold a configuration against the service's rules.

    Raises:
        InvalidConfiguration: A rule is broken.
    """
    if not _ID.fullmatch(configuration.id):
        raise InvalidConfiguration(
            "ArgumentInvalid",
            f"Configuration id '{configuration.id}' is invalid: up to 128 of a-z, 0-9 and -+%_*!' are allowed",
        )
    if configuration.priority < 0:
        raise InvalidConfiguration("ArgumentInvalid", f"Priority {configuration.priority} is negative")
    check_content(configuration.modules)
    try:
        if configuration.target_condition:
            parse_target_condition(configuration.target_condition)
    except QueryError as problem:
        raise InvalidConfiguration("InvalidConfigurationTargetCondition", str(problem)) from problem
    _check_metrics(configuration.metrics)


def check_content(modules: Sections) -> None:
    """Hold the modules' content against the service's rules.

    Raises:
        InvalidConfiguration: A rule is broken; the code is InvalidConfigurationContent.
    """
    try:
        _check_modules(modules)
    except TwinError as problem:
        raise InvalidConfiguration("InvalidConfigurationContent", str(problem)) from problem


def _check_modules(modules: Sections) -> None:
    if not isinstance(modules.get(AGENT), Mapping):
        raise TwinError(f"modulesContent must hold {AGENT}")
    if len(modules) > _MODULES_MAX:
        raise TwinError(f"{len(modules)} modules exceed the limit of {_MODULES_MAX}")
    for module, section in modules.items():
        _check_section(module, section)


def _check_section(module: str, section: object) -> None:
    if not isinstance(section, Mapping):
        raise TwinError(f"{module} must be an object of 'properties.desired…' keys")
    for key, value in section.items():
        if key != _WHOLE and not key.startswith(f"{_WHOLE}."):
            raise TwinError(f"{module}: key '{key}' must be '{_WHOLE}' or '{_WHOLE}.<path>'")
        if key == _WHOLE and not isinstance(value, Mapping):
            raise TwinError(f"{module}: '{key}' must be an object")
        check(value if isinstance(value, Mapping) else {"value": value}, SECTION_BYTES_MAX)


def _check_metrics(metrics: Mapping[str, str]) -> None:
    code = "InvalidConfigurationCustomMetricsQuery"
    if len(metrics) > _METRICS_MAX:
        raise InvalidConfiguration(code, f"{len(metrics)} custom metrics exceed the limit of {_METRICS_MAX}")
    for name, text in metrics.items():
        try:
            parse_query(text)
        except QueryError as problem:
            raise InvalidConfiguration(code, f"{name}: {problem}") from problem


def _rank(configuration: Configuration) -> tuple[int, int]:
    return configuration.priority, configuration.serial


def _set(target: Json, path: list[str], value: object) -> None:
    for name in path[:-1]:
        inner = target.get(name)
        if not isinstance(inner, dict):
            inner = target[name] = {}
        target = inner
    target[path[-1]] = value
