"""Every app setting, read once and checked when the app starts."""

import base64
import binascii
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from functions import loops
from functions.errors import Refused

ARM_ID = r"(?i)^/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/{}/[^/\s]+$"  # in any case, as Azure takes it
AccountId = Annotated[str, Field(pattern=ARM_ID.format("Microsoft.Storage/storageAccounts"))]
WorkspaceId = Annotated[str, Field(pattern=ARM_ID.format("Microsoft.MachineLearningServices/workspaces"))]
HubId = Annotated[str, Field(pattern=ARM_ID.format("Microsoft.Devices/IotHubs"))]
RegistryId = Annotated[str, Field(pattern=ARM_ID.format("Microsoft.ContainerRegistry/registries"))]
HttpsUrl = Annotated[str, Field(pattern=r"^https://[^\s/?#@]+(/[^\s?#]*)?$")]


def _pem(text: str) -> str:
    """The PEM of a private key that may have come as base64 on one line; ValueError never repeats the text."""
    try:
        plain = text if text.startswith("-----") else base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        plain = ""
    if not plain.startswith("-----BEGIN PRIVATE KEY-----"):
        raise ValueError("is neither a PKCS8 PEM private key nor the base64 of one")
    return plain


Pem = Annotated[SecretStr, BeforeValidator(_pem)]


class Settings(BaseModel):
    """Typed view of the app settings; each field's alias is the setting's name."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    blob_endpoint: HttpsUrl = Field(alias="DATA_BLOB_ENDPOINT", description="blob service of the data account")
    table_endpoint: HttpsUrl = Field(alias="DATA_TABLE_ENDPOINT", description="table service of the data account")
    account_id: AccountId = Field(alias="DATA_ACCOUNT_ID", description="ARM id of the data account")
    workspace_id: WorkspaceId = Field(alias="AZUREML_WORKSPACE_ID", description="ARM id of the Azure ML workspace")
    topic_endpoint: HttpsUrl = Field(alias="EVENT_TOPIC_ENDPOINT", description="custom Event Grid topic")
    hub_hostname: str = Field(alias="IOTHUB_HOSTNAME", pattern=r"^[A-Za-z0-9.:-]+$", description="host of the IoT Hub")
    hub_id: HubId = Field(alias="IOTHUB_ID", description="ARM id of the IoT Hub")
    loops_folder: Path = Field(Path("loops"), alias="LOOPS_FOLDER", description="folder of the loop files")
    model_signing_key: Pem | None = Field(
        None, alias="MODEL_SIGNING_KEY", description="private key over what devices fetch; without it, unsigned"
    )
    requests_at_once: int = Field(
        8, alias="REQUESTS_AT_ONCE", ge=1, le=64, description="uploads that are looked into at the same time"
    )
    registry_id: RegistryId | None = Field(
        None, alias="CONTAINER_REGISTRY_ID", description="ARM id of the registry; without it, no model images"
    )
    registry_login_server: str = Field(
        "", alias="CONTAINER_REGISTRY_LOGIN_SERVER", pattern=r"^[A-Za-z0-9.:-]*$", description="host images come from"
    )
    model_image_base: str = Field(
        "",
        alias="MODEL_IMAGE_BASE",
        pattern=r"^([^/@\s]+/[^@\s:]+@sha256:[0-9a-f]{64})?$",
        description="the slim edge image by digest, under every model image",
    )
    manager_endpoint: HttpsUrl = Field(
        "https://management.azure.com", alias="AZURE_RESOURCE_MANAGER_ENDPOINT", description="Azure Resource Manager"
    )
    identity_client_id: str | None = Field(
        None, alias="AZURE_CLIENT_ID", description="client id of the app's user-assigned identity"
    )

    insights_connection: SecretStr | None = Field(
        None,
        alias="APPLICATIONINSIGHTS_CONNECTION_STRING",
        description="where traces, metrics and logs go",
    )
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = Field(
        None, alias="OTEL_EXPORTER_OTLP_ENDPOINT", description="or a collector they go to by OTLP over HTTP"
    )

    @model_validator(mode="after")
    def _images_are_complete(self) -> "Settings":
        if self.registry_id and not (self.registry_login_server and self.model_image_base):
            raise ValueError("needs CONTAINER_REGISTRY_LOGIN_SERVER and MODEL_IMAGE_BASE beside CONTAINER_REGISTRY_ID")
        return self

    @property
    def loops(self) -> Mapping[str, loops.Loop]:
        """Loops by name."""
        return _loops(self.loops_folder)


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the settings and every loop file.

    Raises:
        Refused: A setting is missing or unusable, or a loop file is broken.
    """
    settings = read(environment)
    _loops(settings.loops_folder)
    return settings


def read(environment: Mapping[str, str]) -> Settings:
    """Read and check the settings alone; a blank one is a missing one.

    Raises:
        Refused: A setting is missing or unusable.
    """
    known = {str(field.alias): environment.get(str(field.alias)) for field in Settings.model_fields.values()}
    try:
        return Settings.model_validate({name: value for name, value in known.items() if value})
    except ValidationError as problem:
        wrong = [f"{error['loc'][0]}: {error['msg']}" for error in problem.errors(include_url=False)]
        raise Refused(
            f"{len(wrong)} app setting(s) are missing or unusable",
            why="; ".join(wrong),
            fix="compare local.settings.json (or the app's configuration) with local.settings.sample.json",
        ) from problem


@cache
def _loops(folder: Path) -> Mapping[str, loops.Loop]:
    return loops.load(folder)
