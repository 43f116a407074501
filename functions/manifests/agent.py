"""What $edgeAgent reads: runtime, system modules, modules; whole in a base, path by path in a layer.

Source: Azure/iotedge, edge-agent (DeploymentConfig.cs, DockerDesiredModule.cs, EdgeHubDockerModule.cs, EnvVal.cs).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from functions.manifests.findings import Finding, Place, finding
from functions.manifests.images import check_image
from functions.manifests.options import check_options, is_chunk
from functions.manifests.placeholders import holds_surely, is_open
from functions.manifests.values import no_choice, out_of_range, unknown_keys, wrong_type

SYSTEM = ("edgeAgent", "edgeHub")
VERSIONS, HUB_VERSIONS = ("1.0", "1.1"), ("1.0", "1.1", "1.2", "1.3")
MODULES_MAX, MODULES_FENCE = 50, 20
UINT32 = 2**32 - 1
_VERSION = re.compile(r"(\d+)\.(\d+)(\.\d+){0,2}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_BAD_ENV = re.compile(r"[\x00-\x20\x7f-\x9f.$]|^$")
_FIELDS = ("version", "type", "status", "restartPolicy", "imagePullPolicy", "startupOrder", "settings", "env")
_CHOICES = {
    "type": ("MODULE_TYPE", ("docker",)),
    "status": ("MODULE_STATUS", ("running", "stopped")),
    "restartPolicy": ("RESTART_POLICY", ("never", "on-failure", "on-unhealthy", "always")),
    "imagePullPolicy": ("PULL_POLICY", ("never", "on-create")),
}
_RUNTIME = ("minDockerVersion", "loggingOptions", "registryCredentials")
_REMARKS = ("_comment", "//", "__comment")
_CREDENTIALS = ("address", "username", "password")


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """Checks of one $edgeAgent section.

    Args:
        template: Whether a tool fills something in later.
        registries: Hosts that images may come from; empty for any.
    """

    template: bool
    registries: tuple[str, ...]

    def whole(self, desired: Mapping[str, object], at: Place) -> Iterator[Finding]:
        """The whole of $edgeAgent, as a base has it."""
        yield from check_version(desired.get("schemaVersion"), (*at, "schemaVersion"), known=VERSIONS)
        yield from self._runtime(desired.get("runtime"), (*at, "runtime"))
        yield from self._system(desired.get("systemModules"), (*at, "systemModules"))
        modules = desired.get("modules")
        if modules is None:
            yield finding("MISSING_DEFAULT", at, "there is no modules")
        else:
            yield from self._modules(modules, (*at, "modules"))
        if desired.get("schemaVersion") == "1.0":
            yield from _startup_orders(desired, at)
        yield from unknown_keys(
            desired, at, known=("schemaVersion", "runtime", "systemModules", "modules", "integrity")
        )

    def path(self, parts: tuple[str, ...], value: object, at: Place) -> Iterator[Finding]:
        """One path of $edgeAgent, as a layer has it.

        Args:
            parts: Names below `properties.desired`, such as modules, filter.
            value: What is set there.
            at: Its place.
        """
        match parts:
            case ("modules",):
                yield from self._modules(value, at)
            case ("modules", name):
                yield from self._named(name, value, at)
            case (("modules" | "systemModules") as group, _, *inner) if inner:
                yield from self._part(tuple(inner), value, at, runtime=group == "systemModules")
            case ("systemModules",):
                yield from self._system(value, at)
            case ("systemModules", name):
                yield from self.module(value, at, system=name)
            case ("runtime",):
                yield from self._runtime(value, at)
            case ("schemaVersion",):
                yield from check_version(value, at, known=VERSIONS)

    def module(self, value: object, at: Place, *, system: str = "") -> Iterator[Finding]:
        """One module.

        Args:
            value: Its definition.
            at: Its place.
            system: edgeAgent or edgeHub; empty for a module of the user.
        """
        if not isinstance(value, dict):
            yield from wrong_type(value, at, dict)
            return
        needed = {"edgeAgent": ("type", "settings")}.get(system, ("type", "status", "settings"))
        yield from _missing(value, at, needed)
        if system != "edgeAgent" and value.get("restartPolicy") is None:
            yield finding("MISSING_DEFAULT", at, "there is no restartPolicy")
        for name, inner in value.items():
            if inner is not None:
                yield from self._part((name,), inner, (*at, name), runtime=bool(system))
        yield from unknown_keys(value, at, known=_FIELDS)

    def _part(self, parts: tuple[str, ...], value: object, at: Place, *, runtime: bool) -> Iterator[Finding]:
        match parts:
            case ("settings", *inner):
                yield from self._settings(tuple(inner), value, at, runtime=runtime)
            case ("env",):
                yield from _environment(value, at)
            case ("env", name):
                yield from _variable(name, value, at)
            case ("startupOrder",):
                yield from out_of_range(value, at, most=UINT32, rule="WRONG_TYPE")
            case ("version",):
                yield from wrong_type(value, at, str)
            case (name,) if name in _CHOICES:
                code, choices = _CHOICES[name]
                yield from no_choice(value, at, of=choices, rule=code)

    def _settings(self, inner: tuple[str, ...], value: object, at: Place, *, runtime: bool) -> Iterator[Finding]:
        if inner == ("image",):
            yield from check_image(value, at, registries=self.registries, runtime=runtime)
        elif inner and is_chunk(inner[0]):
            yield from check_options({inner[0]: value}, at[:-1], template=self.template)
        elif inner or is_open(value):
            return
        elif not isinstance(value, dict):
            yield from wrong_type(value, at, dict)
        else:
            yield from _missing(value, at, ("image",))
            if value.get("image") is not None:
                yield from check_image(value["image"], (*at, "image"), registries=self.registries, runtime=runtime)
            yield from check_options(value, at, template=self.template)
            others = {name: inner for name, inner in value.items() if not is_chunk(name)}
            yield from unknown_keys(others, at, known=("image", "digest"))

    def _modules(self, value: object, at: Place) -> Iterator[Finding]:
        if not isinstance(value, dict):
            yield from wrong_type(value, at, dict)
            return
        if len(value) > MODULES_MAX:
            yield finding("MODULE_COUNT", at, f"{len(value)} modules")
        elif len(value) > MODULES_FENCE:
            yield finding("MODULE_MANY", at, f"{len(value)} modules")
        for name, module in value.items():
            yield from self._named(str(name), module, (*at, name))

    def _named(self, name: str, module: object, at: Place) -> Iterator[Finding]:
        if name in SYSTEM:
            yield finding("MODULE_RESERVED", at, f"a module is named {name}")
        elif not _NAME.fullmatch(name) and not holds_surely(name):
            yield finding("MODULE_NAME", at, f"a module is named {name[:60]!r}")
        if module is not None:  # null removes it
            yield from self.module(module, at)

    def _system(self, value: object, at: Place) -> Iterator[Finding]:
        if not isinstance(value, dict):
            yield from _no_object(value, at)
            return
        yield from _missing(value, at, SYSTEM)
        for name in SYSTEM:
            if value.get(name) is not None:
                yield from self.module(value[name], (*at, name), system=name)
        yield from unknown_keys(value, at, known=SYSTEM)

    def _runtime(self, value: object, at: Place) -> Iterator[Finding]:
        if not isinstance(value, dict):
            yield from _no_object(value, at)
            return
        yield from _missing(value, at, ("type",))
        if value.get("type") is not None:
            yield from no_choice(value["type"], (*at, "type"), of=("docker",), rule="MODULE_TYPE")
        settings = value.get("settings")
        if settings is None:
            yield finding("MISSING_DEFAULT", at, "there is no settings")
        elif not isinstance(settings, dict):
            yield from wrong_type(settings, (*at, "settings"), dict)
        else:
            yield from unknown_keys(settings, (*at, "settings"), known=_RUNTIME)
            yield from _credentials(settings.get("registryCredentials"), (*at, "settings", "registryCredentials"))


def check_version(value: object, at: Place, *, known: tuple[str, ...]) -> Iterator[Finding]:
    """The schemaVersion of $edgeAgent or $edgeHub."""
    if value is None:
        yield finding("MISSING", at, "there is no schemaVersion")
    elif not isinstance(value, str):
        yield from wrong_type(value, at, str)
    elif not is_open(value):
        match = _VERSION.fullmatch(value)
        short = f"{match[1]}.{match[2]}" if match else value
        if short in HUB_VERSIONS and short not in known:
            yield finding("SCHEMA_VERSION_HUB_ONLY", at, f"{value!r} is a version of $edgeHub")
        elif short not in known:
            yield finding("SCHEMA_VERSION", at, f"{value[:40]!r} is none of {', '.join(known)}")


def _missing(value: Mapping[str, object], at: Place, names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        if value.get(name) is None:
            yield finding("MISSING", at, f"there is no {name}")


def _no_object(value: object, at: Place) -> Iterator[Finding]:
    if value is None:
        yield finding("MISSING", at[:-1], f"there is no {at[-1]}")
    else:
        yield from wrong_type(value, at, dict)


def _environment(value: object, at: Place) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield from wrong_type(value, at, dict)
        return
    for name, variable in value.items():
        yield from _variable(str(name), variable, (*at, name))


def _variable(name: str, value: object, at: Place) -> Iterator[Finding]:
    if _BAD_ENV.search(name) and not holds_surely(name):
        yield finding("ENV", at, f"the name {name[:60]!r} has a control character, a space, a dot or a $")
    if value is None or is_open(value):
        return  # null removes it
    inner = value.get("value") if isinstance(value, dict) else None
    if isinstance(value, str) and name.startswith(_REMARKS):
        yield finding("UNKNOWN_KEY", at, "a remark where a variable is due")
    elif not isinstance(value, dict) or "value" not in value:
        yield finding("ENV", at, 'is not {"value": …}')
    elif not isinstance(inner, str | int | float | bool):
        yield finding("ENV", (*at, "value"), "is no text, number or boolean")


def _credentials(value: object, at: Place) -> Iterator[Finding]:
    if value is None or is_open(value):
        return
    if not isinstance(value, dict):
        yield from wrong_type(value, at, dict)
        return
    for name, one in value.items():
        if one is None or is_open(one):
            continue
        absent = [part for part in _CREDENTIALS if not isinstance(one, dict) or not isinstance(one.get(part), str)]
        empty = [part for part in _CREDENTIALS if isinstance(one, dict) and one.get(part) == ""]
        if absent or empty:
            yield finding("CREDENTIALS", (*at, name), f"without {', '.join(absent or empty)}")


def _startup_orders(desired: Mapping[str, object], at: Place) -> Iterator[Finding]:
    for group in ("systemModules", "modules"):
        modules = desired.get(group)
        for name, module in modules.items() if isinstance(modules, dict) else ():
            if isinstance(module, dict) and "startupOrder" in module:
                yield finding("STARTUP_ORDER_VERSION", (*at, group, name, "startupOrder"), "schemaVersion is 1.0")
