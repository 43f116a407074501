"""What callers of IoT Hub's service API send: the bodies, checked where they arrive."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from laptop.iot_hub.errors import HubError


class _Body(BaseModel):
    """Unknown members are ignored: callers send back what they have read, with all that only the service sets."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", strict=True, frozen=True)


class SymmetricKey(_Body):
    """Keys in base64; the hub makes those that are missing."""

    primary_key: str | None = None
    secondary_key: str | None = None


class Authentication(_Body):
    """How an identity proves itself."""

    symmetric_key: SymmetricKey | None = None
    type: str | None = None


class Capabilities(_Body):
    """What a device is."""

    iot_edge: bool | None = None


class IdentityBody(_Body):
    """A device or a module."""

    device_id: str | None = None
    module_id: str | None = None
    status: Literal["enabled", "disabled"] | None = None
    status_reason: str | None = None
    authentication: Authentication | None = None
    capabilities: Capabilities | None = None
    managed_by: str | None = None


class TwinProperties(_Body):
    """The part of a twin's properties that the cloud may set."""

    desired: dict[str, Any] | None = None


class TwinBody(_Body):
    """A patch of a twin, or a whole one."""

    tags: dict[str, Any] | None = None
    properties: TwinProperties | None = None


class Metrics(_Body):
    """Custom metrics, by name."""

    queries: dict[str, str] | None = None


class Content(_Body):
    """What a configuration sets."""

    modules_content: dict[str, dict[str, Any]] | None = None
    module_content: dict[str, Any] | None = None
    device_content: dict[str, Any] | None = None


class ConfigurationBody(_Body):
    """An automatic deployment."""

    schema_version: str | None = None
    labels: dict[str, str] | None = None
    content: Content | None = None
    target_condition: str | None = None
    priority: int | None = None
    metrics: Metrics | None = None


class TestQueriesBody(_Body):
    """Queries to be tried before they become part of a configuration."""

    target_condition: str | None = None
    custom_metric_queries: dict[str, str] | None = None


class QueryBody(_Body):
    """A query over twins."""

    query: str


class MethodBody(_Body):
    """A direct method."""

    method_name: str = Field(min_length=1, max_length=100)
    payload: Any = None
    response_timeout_in_seconds: int = Field(default=30, ge=5, le=300)
    connect_timeout_in_seconds: int = Field(default=0, ge=0, le=300)


def read[Body: _Body](kind: type[Body], data: bytes) -> Body:
    """The body of a request.

    Raises:
        HubError: 400: it is no JSON, or not of this shape.
    """
    try:
        return kind.model_validate_json(data or b"null")
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise HubError(400, "ArgumentInvalid", f"{where}: {first['msg']}") from problem


def modules_of(content: Content | None) -> Mapping[str, Mapping[str, object]]:
    """The modules' content of a configuration, or of what is applied to a single device.

    Raises:
        HubError: There is none, or there is content for devices that are not IoT Edge devices.
    """
    if content is None or not content.modules_content:
        raise HubError(400, "InvalidConfigurationContent", "content.modulesContent is missing or empty")
    if content.device_content or content.module_content:
        raise HubError(
            400, "InvalidConfigurationContent", "the laptop's IoT Hub deploys modulesContent only: use IoT Edge devices"
        )
    return content.modules_content
