"""Azure Container Registry's tasks, which azure-mgmt-containerregistry no longer has: named runs that build an image.

Source: Microsoft.ContainerRegistry/registries/taskRuns and listBuildSourceUploadUrl, 2019-06-01-preview.
"""

from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions.cloud.refusals import Service
from functions.errors import Refused, Transient
from functions.ports import ImageBuild, ImageState

API_VERSION = "2019-06-01-preview"
SCOPE = "https://management.azure.com/.default"
NOT_FOUND, TIMEOUT_S = 404, 1800
WAITING = ("Queued", "Started", "Running")
REGISTRY = Service(
    name="Container Registry",
    role="a role with Microsoft.ContainerRegistry/registries/taskRuns/* and listBuildSourceUploadUrl/action",
    final=(400, 404, 409, 501),
    remedy="see the reason; without CONTAINER_REGISTRY_ID no model image is made",
    patience="wait for the next turn; check CONTAINER_REGISTRY_ID if it persists",
)


class _Wire(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class _Upload(_Wire):
    path: str = Field(alias="relativePath")
    url: str = Field(alias="uploadUrl")


class _Image(_Wire):
    repository: str = ""
    tag: str = ""
    digest: str = ""


class _Run(_Wire):
    id: str = Field("", alias="runId")
    status: str = "Queued"
    error: str = Field("", alias="runErrorMessage")
    images: list[_Image] | None = Field(None, alias="outputImages")


class _Result(_Wire):
    properties: _Run = _Run()


class _TaskRun(_Wire):
    state: str = Field("Creating", alias="provisioningState")
    result: _Result | None = Field(None, alias="runResult")


class _Resource(_Wire):
    properties: _TaskRun


class RegistryImages:
    """Images backed by a registry's tasks.

    Args:
        registry_id: ARM id of the registry.
        login_server: Its host, under which images are pulled.
        manager: Azure Resource Manager's endpoint.
        blob_endpoint: Blob service of the data account: uploads go to a host of the same service, and to no other.
        credential: Identity that may start task runs.
    """

    def __init__(
        self, registry_id: str, login_server: str, *, manager: str, blob_endpoint: str, credential: TokenCredential
    ) -> None:
        self._registry, self._server, self._manager = registry_id, login_server, manager.rstrip("/")
        self._storage = (urlsplit(blob_endpoint).hostname or "").partition(".")[2]
        policies = [_retry(), BearerTokenCredentialPolicy(credential, SCOPE)]
        self._arm = PipelineClient[HttpRequest, HttpResponse](self._manager, policies=policies)
        self._plain = PipelineClient[HttpRequest, HttpResponse](
            self._manager, policies=[_retry()]
        )  # its URL is its key

    def ensure(self, build: ImageBuild) -> ImageState:
        """Start the named run if there is none, and say how it stands."""
        with REGISTRY.asked(f"image {build.repository}:{build.tag}"):
            found = self._find(build.name)
            if found is None:
                found = self._start(build)
        return self._state(build, found)

    def _find(self, name: str) -> _TaskRun | None:
        answer = self._arm.send_request(self._request("GET", f"taskRuns/{name}"))
        if answer.status_code == NOT_FOUND:
            return None
        return _read(answer, _Resource).properties

    def _start(self, build: ImageBuild) -> _TaskRun:
        upload = _read(self._arm.send_request(self._request("POST", "listBuildSourceUploadUrl")), _Upload)
        self._check_host(upload.url)
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/gzip"}
        sent = self._plain.send_request(HttpRequest("PUT", upload.url, headers=headers, content=build.context()))
        sent.raise_for_status()
        order = {
            "type": "DockerBuildRequest",
            "imageNames": [f"{build.repository}:{build.tag}"],
            "isPushEnabled": True,
            "noCache": False,
            "dockerFilePath": "Dockerfile",
            "platform": {"os": "Linux", "architecture": "amd64"},
            "sourceLocation": upload.path,
            "timeout": TIMEOUT_S,
        }
        body = {"properties": {"runRequest": order}}
        return _read(self._arm.send_request(self._request("PUT", f"taskRuns/{build.name}", body)), _Resource).properties

    def _check_host(self, url: str) -> None:
        place, ours = urlsplit(url), urlsplit(self._manager)
        host = place.hostname or ""
        of_storage = bool(self._storage) and host.partition(".")[2] == self._storage and place.port in (None, 443)
        if place.scheme != "https" or place.username or not (of_storage or place.netloc == ours.netloc):
            why, fix = f"it would have the source sent to {host!r}", "check AZURE_RESOURCE_MANAGER_ENDPOINT"
            raise Refused("Container Registry names a place that is not Blob Storage", why=why, fix=fix)

    def _state(self, build: ImageBuild, found: _TaskRun) -> ImageState:
        run = found.result.properties if found.result else _Run()
        if run.status in WAITING and found.state not in ("Failed", "Canceled"):
            return ImageState("building")
        digests = [
            one.digest
            for one in run.images or []
            if (one.repository, one.tag) == (build.repository, build.tag) and one.digest
        ]
        if run.status == "Succeeded" and digests:
            return ImageState("built", image=f"{self._server}/{build.repository}@{digests[0]}")
        detail = run.error or f"run {run.id or build.name} ended as {run.status}" + (
            "" if digests else ", without a digest"
        )
        return ImageState("failed", detail=detail)

    def _request(self, method: str, path: str, body: object = None) -> HttpRequest:
        url = f"{self._manager}{self._registry}/{path}"
        return HttpRequest(method, url, params={"api-version": API_VERSION}, json=body)


def _retry() -> RetryPolicy[HttpRequest, HttpResponse]:
    """One for each pipeline: a pipeline links its policies to each other."""
    return RetryPolicy(retry_total=2, retry_backoff_factor=0.5)


def _read[Answer: BaseModel](answer: HttpResponse, kind: type[Answer]) -> Answer:
    answer.raise_for_status()
    try:
        return kind.model_validate_json(answer.read())
    except (ValidationError, AzureError) as problem:
        why, fix = str(problem), "wait for the next turn"
        raise Transient("Container Registry answered something else", why=why, fix=fix) from problem
