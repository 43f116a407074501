"""Azure Machine Learning's run history, for which azure-ai-ml has no public method: it says why a job failed."""

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from pydantic import BaseModel, Field

SCOPE = "https://ml.azure.com/.default"


class _Services(BaseModel):
    api: str


class Problem(BaseModel):
    """Why a run failed.

    Args:
        code: ServiceError, UserError, ValidationError, AzureStorageError, TransientError or RequestThrottled.
        message: The service's own words; empty if it has none.
    """

    code: str = ""
    message: str = ""


class _Error(BaseModel):
    error: Problem = Problem()


class _Metadata(BaseModel):
    error: _Error | None = None


class _RunData(BaseModel):
    metadata: _Metadata = Field(alias="runMetadata")


def error_of(run: str, *, workspace_id: str, discovery_url: str, credential: TokenCredential) -> Problem:
    """The service's word on a run that failed.

    Args:
        run: Name of the job.
        workspace_id: ARM id of its workspace.
        discovery_url: Where the workspace says what its services' addresses are.
        credential: Identity that may read jobs.

    Raises:
        AzureError: The history does not answer, or denies.
        ValueError: It answers something else.

    Source: `rundata` as the SDK itself asks for it; the ARM resource of a job carries no error.
    """
    policies = [RetryPolicy(retry_total=2), BearerTokenCredentialPolicy(credential, SCOPE)]
    with PipelineClient[HttpRequest, HttpResponse](discovery_url, policies=policies) as client:
        services = _Services.model_validate_json(_answer(client, HttpRequest("GET", discovery_url)))
        address = f"{services.api}/history/v1.0{workspace_id}/rundata"
        question = {"runId": run, "selectRunMetadata": True}
        found = _RunData.model_validate_json(_answer(client, HttpRequest("POST", address, json=question)))
    return found.metadata.error.error if found.metadata.error else Problem()


def _answer(client: PipelineClient[HttpRequest, HttpResponse], question: HttpRequest) -> bytes:
    answer = client.send_request(question)
    answer.raise_for_status()
    return answer.read()
