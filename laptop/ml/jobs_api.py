"""Jobs over HTTP: submit, look, list, cancel, and the part of the run history that says why a job failed."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from laptop.ml.answers import json_object, page, properties, view
from laptop.ml.assets import Assets
from laptop.ml.jobs import Executor
from laptop.ml.refusal import LOCATION, unsupported, user_error
from laptop.ml.runs import ENDED, WORKSPACE_GUID, Run, Runs
from laptop.ml.submission import accept, resubmit
from laptop.stack import SUBSCRIPTION, Stack

CANCEL_VERSION = "2023-04-01-preview"


class JobsApi:
    """Answers for everything that runs.

    Args:
        stack: The stack, for addresses.
        assets: The registry jobs refer to.
        runs: The jobs.
        executor: What runs them.
        may_submit: Checks the second token that submitting a pipeline takes; raises Unauthorized.
    """

    def __init__(
        self, stack: Stack, assets: Assets, *, runs: Runs, executor: Executor, may_submit: Callable[[Request], None]
    ) -> None:
        self._stack, self._assets, self._runs, self._executor = stack, assets, runs, executor
        self._may_submit = may_submit

    async def put(self, request: Request) -> Response:
        """Submit a job, or change the tags of one that exists."""
        name, content = request.path_params["name"], await properties(request)
        if content.get("jobType") == "Pipeline":
            self._may_submit(request)
        existing = self._runs.find(name)
        if existing is not None:
            return JSONResponse(self._runs.save(resubmit(existing, content)).resource())
        run = self._runs.save(accept(self._stack, self._assets, self._runs, name=name, properties=content))
        self._executor.submit(name)
        return JSONResponse(run.resource(), status_code=201)

    async def get(self, request: Request) -> Response:
        """One job."""
        return JSONResponse(self._runs.get(request.path_params["name"]).resource())

    async def list(self, request: Request) -> Response:
        """Jobs, newest first."""
        found = [run.resource() for run in self._runs.every() if _is_asked_for(run, request)]
        return page(request, self._stack.ml_url, resources=found)

    async def cancel(self, request: Request) -> Response:
        """Ask a job to end: 202, and where to watch it."""
        run = self._runs.get(request.path_params["name"])
        if run.status in ENDED:
            raise user_error(
                f"The pipeline run {run.name} is in terminal status, it can't be canceled.",
                "BadArgument",
                "ArgumentInvalid",
                "CancelPipelineRunInTerminalStatus",
            )
        if run.status != "CancelRequested":
            await self._executor.cancel(run.name)
        return Response(status_code=202, headers=self._watch(run.name))

    async def operation(self, request: Request) -> Response:
        """How far a cancellation got: 202 until the job has ended, then 200."""
        run = self._runs.get(request.path_params["name"])
        if run.status in ENDED:
            return JSONResponse({})
        return Response(status_code=202, headers=self._watch(run.name))

    async def run_data(self, request: Request) -> Response:
        """A run as the history service keeps it: its status and, when it failed, why.

        Source: POST rundata in the SDK's recorded sessions.
        """
        asked = await json_object(request)
        if extra := set(asked) - {"runId", "selectRunMetadata", "selectRunDefinition", "selectJobSpecification"}:
            raise unsupported(f"The option {', '.join(sorted(extra))} of rundata")
        return JSONResponse({"runMetadata": _metadata(self._runs.get(str(asked.get("runId"))))})

    async def details(self, request: Request) -> Response:
        """What this laptop knows about a job: the page behind its Studio link."""
        run = self._runs.get(request.path_params["name"])
        steps = [
            {
                "name": step.name,
                "run_id": step.run_id,
                "status": step.status,
                "exit_code": step.exit_code,
                "log": step.log,
            }
            for step in run.steps.values()
        ]
        return JSONResponse({"name": run.name, "status": run.status, "error": run.error, "steps": steps})

    def _watch(self, name: str) -> dict[str, str]:
        where = (
            f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/{LOCATION}"
            f"/mfeOperationResults/jc:{WORKSPACE_GUID}:{name}?api-version={CANCEL_VERSION}"
        )
        return {"Location": f"{self._stack.ml_url}{where}", "Retry-After": "1"}


def _is_asked_for(run: Run, request: Request) -> bool:
    query, asked = request.query_params, view(request)
    if asked != "All" and run.properties["isArchived"] != (asked == "ArchivedOnly"):
        return False
    if "tag" in query and query["tag"] not in run.properties["tags"]:
        return False
    return query.get("jobType") in (None, run.properties["jobType"])


def _metadata(run: Run) -> dict[str, Any]:
    error = {"code": run.blame, "message": run.error, "referenceCode": "PipelineHasStepJobFailed", "details": []}
    return {
        "runId": run.name,
        "rootRunId": run.name,
        "parentRunId": None,
        "experimentId": run.experiment_id,
        "status": run.status,
        "createdUtc": run.created.isoformat(),
        "startTimeUtc": run.started and run.started.isoformat(),
        "endTimeUtc": run.ended and run.ended.isoformat(),
        "error": {"error": error} if run.error else None,
        "tags": run.properties["tags"],
        "properties": run.properties["properties"],
    }
