"""Azure Machine Learning (azure-ai-ml): jobs and models. Imported only when one of them is needed: it takes seconds."""

import io
import json
import logging
import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

from azure.ai.ml import MLClient, load_job
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Data, Job, Model
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from functions.cloud.refusals import Service
from functions.cloud.run_history import Problem, error_of
from functions.errors import Refused
from functions.ports import JobOrder, JobOutcome, ModelVersion

WORKSPACE = Service(
    name="Azure Machine Learning",
    role="AzureML Data Scientist on the workspace",
    patience="wait for the next try",
    final=(400, 404, 409),
    remedy="compare the loop's pipeline, compute and datastores with the workspace",
)
DIGEST = "training_set_sha256"  # the property that says whether a job of our name is our job
STORE = "outputs"  # of that container; the workspace's own container has a name that is only known once it is there
OUTPUTS = ("model", "report")
EXISTS = "already exists"
SILENT = "NotResponding"  # the node that ran it is gone
TAG_LIMIT = 256  # characters of a tag, as Azure allows
DETAIL_LIMIT = 2_000  # characters of a failure; the end of a log says more than its beginning
ENDED: dict[str, Literal["completed", "failed", "canceled"]] = {
    "Completed": "completed",
    "Failed": "failed",
    SILENT: "failed",
    "Canceled": "canceled",
}
PLATFORM = {"ServiceError", "AzureStorageError", "TransientError", "RequestThrottled"}  # codes of a run's error
log = logging.getLogger("refluent.cloud.ml")


@cache
def workspace(arm_id: str, credential: TokenCredential) -> MLClient:
    """The workspace's client, one per process."""
    _, subscription, _, group, *_, name = arm_id.strip("/").split("/")
    # Throttled, the service says how long to wait: so long, three times; then the timer's next turn asks
    return MLClient(credential, subscription, group, name, retry_total=3, retry_backoff_factor=0.5, retry_backoff_max=8)


class WorkspaceTrainer:
    """Trainer backed by registered pipeline components.

    Args:
        client: Of a workspace whose identity may submit jobs (AzureML Data Scientist).
        credential: The same identity, for the run history.
    """

    def __init__(self, client: MLClient, credential: TokenCredential) -> None:
        self._client, self._credential = client, credential

    def start(self, order: JobOrder) -> None:
        """Start the job; one of that name that trains on the same set is this job.

        Two requests if the client has asked nothing yet, and one afterwards.
        """
        job = load_job(io.StringIO(json.dumps(_pipeline(order))))  # JSON is YAML
        with WORKSPACE.asked(f"job {order.name}"):
            try:
                self._client.jobs.create_or_update(job)
            except HttpResponseError as problem:
                if EXISTS not in str(problem.message):
                    raise
                self._compare(order)

    def outcome(self, job: str) -> JobOutcome:
        """The service's word on a job; its outputs once it completed."""
        with WORKSPACE.asked(f"job {job}"):
            try:
                found = self._client.jobs.get(job)
            except ResourceNotFoundError:
                return JobOutcome("missing", detail="Azure Machine Learning does not know it")
        status = ENDED.get(found.status or "")
        if status is None:
            return JobOutcome("running")
        if status == "failed":
            return self._failed(found)
        if status != "completed":
            return JobOutcome(status)
        lineage = {str(name): str(value) for name, value in (found.properties or {}).items()}
        return JobOutcome(status, outputs={name: _output(job, name) for name in OUTPUTS}, lineage=lineage)

    def cancel(self, job: str) -> None:
        """Ask a running job to end, and do not wait for it."""
        with WORKSPACE.asked(f"job {job}"):
            self._client.jobs.begin_cancel(job, polling=False)

    def describe(self, order: JobOrder) -> None:
        """Keep the training set as a versioned data asset; one that is there already is left as it is."""
        name, _, version = _asset(order).partition(":")
        path = f"azureml://datastores/manifests/paths/{order.training_set}/"
        lineage = {**order.lineage, "job": order.name}
        asset = Data(name=name, version=version, type=AssetTypes.URI_FOLDER, path=path, properties=lineage)
        with WORKSPACE.asked(f"training set {name}:{version}"):
            try:
                self._client.data.create_or_update(asset)
            except HttpResponseError as problem:
                if EXISTS not in str(problem.message):
                    raise

    def _failed(self, job: Job) -> JobOutcome:
        """The service's own words; a job that failed is judged without them too, if the history does not answer."""
        try:
            workspace = self._client.workspaces.get(self._client.workspace_name)
            said = error_of(
                str(job.name),
                workspace_id=str(workspace.id),
                discovery_url=str(workspace.discovery_url),
                credential=self._credential,
            )
        except (AzureError, ValueError) as problem:
            log.warning("why job %s failed cannot be read: %s", job.name, problem)
            said = Problem()
        platform = said.code in PLATFORM or job.status == SILENT
        detail = said.message.strip()[-DETAIL_LIMIT:] or f"see its log: {job.studio_url}"
        return JobOutcome("failed", detail=detail, blame="platform" if platform else "script")

    def _compare(self, order: JobOrder) -> None:
        existing: Job = self._client.jobs.get(order.name)
        if existing.properties.get(DIGEST) != order.lineage[DIGEST]:
            raise Refused(
                f"job {order.name} cannot be started",
                why="another job has that name and trains on other data",
                fix="find out who started it; archive it, then let the timer try again",
            )


class WorkspaceRegistry:
    """Registry backed by the workspace's models.

    Args:
        client: Of a workspace whose identity may register models.
    """

    def __init__(self, client: MLClient) -> None:
        self._client = client

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """Every version of a model that is not archived, by number; versions that are no numbers are left out."""
        with WORKSPACE.asked(f"model {model}"):
            try:
                found = [_version(one) for one in self._client.models.list(name=model)]
            except ResourceNotFoundError:
                return []
        return sorted((one for one in found if one.version.isdigit()), key=lambda one: int(one.version))

    def get(self, model: str, version: str) -> ModelVersion | None:
        """One version, or None."""
        with WORKSPACE.asked(f"model {model}:{version}"):
            try:
                return _version(self._client.models.get(model, version))
            except ResourceNotFoundError:
                return None

    def register(self, version: ModelVersion) -> bool:
        """Store an explicit version unless it exists; False if it does and has another lineage."""
        wanted = Model(
            name=version.model,
            version=version.version,
            type=AssetTypes.CUSTOM_MODEL,
            path=f"azureml://datastores/models/paths/{version.folder}/",
            properties=dict(version.lineage),
            tags={name: value[:TAG_LIMIT] for name, value in version.lineage.items()},
        )
        existing = self.get(version.model, version.version)
        if existing is None:
            with WORKSPACE.asked(f"model {version.model}:{version.version}"):
                self._client.models.create_or_update(wanted)
            existing = self.get(version.model, version.version)
        return existing is not None and existing.lineage.items() >= version.lineage.items()


def _pipeline(order: JobOrder) -> dict[str, object]:
    """A pipeline job of one step, the registered component, so that submitting it is one request."""
    folder = {"type": "uri_folder", "mode": "ro_mount"}
    inputs: dict[str, object] = {
        "landing": {**folder, "path": f"azureml://datastores/versions/paths/{order.landing}/"},
        "training_set": {**folder, "path": f"azureml://datastores/manifests/paths/{order.training_set}/"},
        "schema": order.schema,
    }
    if order.champion:
        inputs["champion"] = {**folder, "path": f"azureml://datastores/models/paths/{order.champion}/"}
    outputs = {
        name: {"type": "uri_folder", "path": f"azureml://datastores/{STORE}/paths/{_output(order.name, name)}/"}
        for name in OUTPUTS
    }
    step = {
        "type": "pipeline",
        "component": f"azureml:{order.pipeline}",
        "inputs": {name: f"${{{{parent.inputs.{name}}}}}" for name in inputs},
        "outputs": {name: f"${{{{parent.outputs.{name}}}}}" for name in outputs},
    }
    return {
        "type": "pipeline",
        "name": order.name,
        "display_name": order.name,
        "experiment_name": order.experiment,
        "settings": {"default_compute": f"azureml:{order.compute}"},
        "inputs": inputs,
        "outputs": outputs,
        "properties": {**order.lineage, "data_asset": _asset(order), "component": order.pipeline},
        "tags": {**order.tags, **{name: order.lineage[name] for name in ("loop", "generation", "trigger")}},
        **({"identity": {"type": order.identity}} if order.identity else {}),
        "jobs": {"pipeline": step},
    }


def _asset(order: JobOrder) -> str:
    return f"{order.loop}-training-set:{order.version}"


def _output(job: str, name: str) -> str:
    return f"{job}/{name}"


def _version(model: Model) -> ModelVersion:
    folder = re.search(r"/datastores/models/paths/([^?#]+?)/?$", str(model.path))
    return ModelVersion(
        model=str(model.name),
        version=str(model.version),
        folder=folder[1] if folder else "",
        lineage={str(name): str(value) for name, value in (model.properties or {}).items()},
    )
