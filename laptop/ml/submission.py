"""Taking a job in: is it sound, what does the service add to it, and what may a second submission change."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from laptop.ml.assets import Assets
from laptop.ml.datastores import place
from laptop.ml.graph import Data, plan
from laptop.ml.references import code_at, component_of, stored_at
from laptop.ml.refusal import not_found, unsupported, user_error
from laptop.ml.runs import Run, Runs, now
from laptop.stack import WORKSPACE_ID, Stack

CLUSTER = "cpu-cluster"  # the one compute this workspace has
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_CHANGEABLE = ("description", "tags", "displayName", "properties", "isArchived")
_FIXED = (
    "jobType", "componentId", "computeId", "experimentName", "jobs", "inputs", "outputs", "settings",
    "command", "codeId", "environmentId", "environmentVariables", "limits", "resources",
)  # fmt: skip


def accept(stack: Stack, assets: Assets, runs: Runs, *, name: str, properties: Mapping[str, Any]) -> Run:
    """A new job, checked as far as it can be before it runs.

    Args:
        stack: The stack, for the addresses in the answer.
        assets: The registry the job refers to.
        runs: The other jobs, whose outputs it may read.
        name: The job's name.
        properties: What was submitted.

    Raises:
        Refusal: The job cannot run here.
    """
    submitted = _plain(properties)
    experiment = str(submitted.get("experimentName") or "Default")
    for what, text in (("job", name), ("experiment", experiment)):
        if not _NAME.fullmatch(text):
            raise user_error(f"The {what} name '{text}' is invalid: letters, digits, - and _ only, 255 at most.")
    _check(assets, runs, submitted)
    return Run(
        name=name,
        submitted=submitted,
        properties=_answer(stack, name, submitted) | {"experimentName": experiment},
        status="NotStarted",
        created=now(),
    )


def resubmit(run: Run, properties: Mapping[str, Any]) -> Run:
    """An existing job submitted again: the same work with, perhaps, other tags.

    Raises:
        Refusal: It describes other work.
    """
    again = _plain(properties)
    changed = [
        field
        for field in _FIXED
        if again.get(field) and again[field] not in (run.submitted.get(field), _plain(run.properties).get(field))
    ]
    if changed:
        raise user_error(
            "A job with this name already exists. If you are trying to create a new job, use a different name. If you"
            f" are trying to update an existing job, the existing job's {', '.join(changed)} cannot be changed. Only"
            " description, tags, displayName, properties, and isArchived can be updated.",
            "BadArgument",
            "ImmutableProperty",
        )
    new = {field: again[field] for field in _CHANGEABLE if field in again}
    for merged in ("tags", "properties"):
        new[merged] = run.properties[merged] | new.get(merged, {})
    return replace(run, properties={**run.properties, **new})


def _check(assets: Assets, runs: Runs, job: Mapping[str, Any]) -> None:
    """Everything a job refers to exists."""
    _check_compute(job)
    for step in plan(job, partial(component_of, assets)).steps.values():
        for source in step.inputs.values():
            if isinstance(source, Data):
                stored_at(assets, runs, source.uri)
        if step.code:
            code_at(assets, step.code)
    for output in (job.get("outputs") or {}).values():
        if output.get("assetName") or output.get("assetVersion"):
            raise unsupported("Registering an output as an asset (assetName, assetVersion)")
        if "uri" in output:
            place(output["uri"])


def _check_compute(job: Mapping[str, Any]) -> None:
    known = ("serverless", f"{WORKSPACE_ID}/computes/{CLUSTER}")
    for compute in (job.get("computeId"), (job.get("settings") or {}).get("default_compute")):
        if compute and compute not in known:
            raise not_found(f"The compute {compute} does not exist; this workspace has {CLUSTER}.")


def _answer(stack: Stack, name: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """The job's properties as the service completes them."""
    mine = {"description": None, "displayName": name, "computeId": None, "componentId": None, "identity": None}
    return {
        **mine,
        **job,
        "tags": job.get("tags") or {},
        "properties": {**(job.get("properties") or {}), **_stamps(job)},
        "isArchived": False,
        "inputs": {key: _described(value, "ReadOnlyMount") for key, value in (job.get("inputs") or {}).items()},
        "outputs": _outputs(name, job),
        "services": {
            "Tracking": _service("Tracking", f"azureml://{stack.address}/mlflow/v1.0{WORKSPACE_ID}?"),
            "Studio": _service("Studio", f"{stack.ml_url}/laptop/runs/{name}?wsid={WORKSPACE_ID}"),
        },
        "sourceJobId": None,
    }


def _stamps(job: Mapping[str, Any]) -> dict[str, str]:
    if job["jobType"] != "Pipeline":
        return {"_azureml.ComputeTargetType": "amlctrain"}
    literals = {name: value["value"] for name, value in (job.get("inputs") or {}).items() if "value" in value}
    stamps = {
        "azureml.DevPlatv2": "true",
        "azureml.runsource": "azureml.PipelineRun",
        "runSource": "MFE",
        "runType": "HTTP",
        "azureml.parameters": json.dumps(literals),
        "azureml.pipelineComponent": "pipelinerun",
    }
    return stamps | ({"azureml.SourceComponentId": job["componentId"]} if job.get("componentId") else {})


def _outputs(name: str, job: Mapping[str, Any]) -> dict[str, Any]:
    outputs = {key: _described(value, "ReadWriteMount") for key, value in (job.get("outputs") or {}).items()}
    if job["jobType"] == "Command":
        uri = f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{name}"
        outputs["default"] = _described({"jobOutputType": "uri_folder", "uri": uri}, "ReadWriteMount")
    return outputs


def _described(value: Mapping[str, Any], mode: str) -> dict[str, Any]:
    stored = {} if "value" in value else {"uri": None, "mode": mode}
    return {"description": None, **stored, **value}


def _service(kind: str, endpoint: str) -> dict[str, Any]:
    silent = dict.fromkeys(("port", "status", "errorMessage", "properties", "nodes"))
    return {"jobServiceType": kind, "endpoint": endpoint, **silent}


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Without the nulls, which mean the same as absence in ARM bodies."""
    return {
        key: _plain(found) if isinstance(found, Mapping) else found for key, found in value.items() if found is not None
    }
