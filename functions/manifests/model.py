"""Manifests as typed models: built, written as IoT Hub takes them, and read back to the same bytes.

Source: IoT Edge deployment manifest, $edgeAgent and $edgeHub schema 1.1.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from functions.manifests.options import chunked, is_chunk, joined, parsed
from functions.manifests.read import AGENT, DESIRED, HUB

type Plain = dict[str, object]
UInt32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
NAME = r"^[A-Za-z0-9_-]{1,128}$"


class Part(BaseModel):
    """One object of a manifest; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


class Settings(Part):
    """A container: its image, and Docker's options for creating it."""

    image: Annotated[str, Field(min_length=1)]
    options: Mapping[str, Any] = {}  # Docker's own shapes; the allow-list is in options.py

    @model_validator(mode="before")
    @classmethod
    def _join(cls, data: object) -> object:
        if not isinstance(data, dict) or not any(is_chunk(name) for name in data):
            return data
        others = {name: value for name, value in data.items() if not is_chunk(name)}
        return {**others, "options": parsed(joined(data))}

    @model_serializer
    def _cut(self) -> Plain:
        return {"image": self.image, **chunked(json.dumps(self.options, sort_keys=True, separators=(",", ":")))}


class Variable(Part):
    """A variable of a container's environment."""

    value: str | int | float | bool


class AgentModule(Part):
    """The agent itself, which nobody starts or stops."""

    type: Literal["docker"] = "docker"
    settings: Settings
    env: dict[str, Variable] | None = None


class Module(AgentModule):
    """A module that the agent runs."""

    status: Literal["running", "stopped"] = "running"
    restart_policy: Literal["never", "on-failure", "on-unhealthy", "always"] = Field("always", alias="restartPolicy")
    startup_order: UInt32 | None = Field(None, alias="startupOrder")
    image_pull_policy: Literal["never", "on-create"] | None = Field(None, alias="imagePullPolicy")
    version: str | None = None


class SystemModules(Part):
    """The runtime's own modules."""

    agent: AgentModule = Field(alias="edgeAgent")
    hub: Module = Field(alias="edgeHub")


class Runtime(Part):
    """The container runtime; registries are reached by the device's own identity, so there are no credentials."""

    type: Literal["docker"] = "docker"
    settings: dict[str, str] = {}


class Agent(Part):
    """Desired properties of $edgeAgent."""

    schema_version: Literal["1.1"] = Field("1.1", alias="schemaVersion")
    runtime: Runtime = Runtime()
    system_modules: SystemModules = Field(alias="systemModules")
    modules: dict[Annotated[str, Field(pattern=NAME)], Module]


class Route(Part):
    """Where messages go, before which others, and how long they are kept while it cannot be reached."""

    route: str
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    keep_s: UInt32 | None = Field(None, alias="timeToLiveSecs")


class StoreAndForward(Part):
    """How long messages are kept while the cloud cannot be reached."""

    keep_s: UInt32 = Field(alias="timeToLiveSecs")


class Hub(Part):
    """Desired properties of $edgeHub."""

    schema_version: Literal["1.1"] = Field("1.1", alias="schemaVersion")
    routes: dict[Annotated[str, Field(pattern=NAME)], str | Route]
    store_and_forward: StoreAndForward = Field(alias="storeAndForwardConfiguration")


class Base(Part):
    """A deployment that brings everything a device runs."""

    agent: Agent
    hub: Hub

    def content(self) -> Plain:
        """As IoT Hub takes it: module -> properties."""
        return {AGENT: {DESIRED: _plain(self.agent)}, HUB: {DESIRED: _plain(self.hub)}}

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Base":
        """Read it back.

        Raises:
            ValidationError: It is no base of schema 1.1.
        """
        return cls.model_validate({"agent": content[AGENT][DESIRED], "hub": content[HUB][DESIRED]})


class Layer(Part):
    """A deployment that lies on a base: modules and routes it adds, and properties of modules' twins it sets."""

    modules: dict[Annotated[str, Field(pattern=NAME)], Module] = {}
    routes: dict[Annotated[str, Field(pattern=NAME)], str | Route] = {}
    twins: dict[str, dict[str, Any]] = {}  # module -> path below properties.desired -> value

    def content(self) -> Plain:
        """As IoT Hub takes it; $edgeAgent is there even if nothing in it is set."""
        agent = {f"{DESIRED}.modules.{name}": _plain(module) for name, module in self.modules.items()}
        hub = {f"{DESIRED}.routes.{name}": _plain(route) for name, route in self.routes.items()}
        twins = {
            module: {f"{DESIRED}.{path}": value for path, value in paths.items()}
            for module, paths in self.twins.items()
        }
        return {AGENT: agent, **({HUB: hub} if hub else {}), **twins}

    @classmethod
    def parse(cls, content: Mapping[str, Mapping[str, Any]]) -> "Layer":
        """Read it back.

        Raises:
            ValidationError: It is no layer of schema 1.1.
        """

        def below(section: Mapping[str, Any], prefix: str) -> dict[str, Any]:
            return {key.removeprefix(prefix): value for key, value in section.items()}

        return cls.model_validate(
            {
                "modules": below(content[AGENT], f"{DESIRED}.modules."),
                "routes": below(content.get(HUB, {}), f"{DESIRED}.routes."),
                "twins": {
                    module: below(section, f"{DESIRED}.")
                    for module, section in content.items()
                    if module not in (AGENT, HUB)
                },
            }
        )


def _plain(part: Part | str) -> object:
    return part if isinstance(part, str) else part.model_dump(mode="json", by_alias=True, exclude_none=True)
