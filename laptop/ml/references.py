"""What the ids and URIs inside jobs and components point at."""

import re
from collections.abc import Mapping
from typing import Any

from laptop.ml.assets import KINDS, Assets, Version
from laptop.ml.datastores import Place, place
from laptop.ml.refusal import not_found, unsupported, user_error
from laptop.ml.runs import Run, Runs
from laptop.stack import ACCOUNT, WORKSPACE_ID

_VERSION = re.compile(rf"(?:azureml:)?{re.escape(WORKSPACE_ID)}/(\w+)/([^/]+)/versions/([^/]+)", re.IGNORECASE)
_JOB_OUTPUT = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths/(.*))?")
_BLOB = re.compile(rf"https?://[^/]+/{ACCOUNT}/([^/?]+)/?([^?]*)")


def output_uri(run: Run, output: str) -> str:
    """Where a job's output is kept: where the job says, else where the service puts it."""
    declared: Mapping[str, Any] = (run.submitted.get("outputs") or {}).get(output) or {}
    return declared.get("uri") or f"azureml://datastores/workspaceblobstore/paths/azureml/{run.name}/{output}/"


def version_of(assets: Assets, identifier: str, collection: str) -> Version:
    """The registered version an id names.

    Args:
        assets: The registry.
        identifier: Its ARM id, with or without ``azureml:`` before it.
        collection: The kind it must have, such as ``components``.

    Raises:
        Refusal: It is not such an id, or there is no such version.
    """
    match = _VERSION.fullmatch(identifier)
    if match is None or match[1] != collection:
        raise user_error(
            f"'{identifier}' is not the ARM id of one of this workspace's {collection};"
            f" use {WORKSPACE_ID}/{collection}/<name>/versions/<version>."
        )
    kind = KINDS[collection]
    found = assets.find(kind, match[2], match[3])
    if found is None:
        raise not_found(f"key: {identifier}, Message: Not found {kind.noun} {match[2]} (version: {match[3]}).")
    return found


def component_of(assets: Assets, identifier: str) -> Mapping[str, Any]:
    """The specification of a registered component.

    Raises:
        Refusal: There is none.
    """
    specification: Mapping[str, Any] = version_of(assets, identifier, "components").properties["componentSpec"]
    return specification


def code_at(assets: Assets, identifier: str) -> Place:
    """Where the folder of a registered code version is stored.

    Raises:
        Refusal: There is none, or it is not stored in this stack.
    """
    uri = str(version_of(assets, identifier, "codes").properties["codeUri"])
    match = _BLOB.fullmatch(uri)
    if match is None:
        raise user_error(f"The code at {uri} is not in this stack's storage account.")
    return Place(match[1], match[2])


def stored_at(assets: Assets, runs: Runs, uri: str) -> Place:
    """Where an input is stored: a data asset's ARM id, a datastore URI, or another job's output.

    Raises:
        Refusal: There is no such asset, or the URI is of another kind.
    """
    if _VERSION.fullmatch(uri):
        return place(str(version_of(assets, uri, "data").properties["dataUri"]))
    if output := _JOB_OUTPUT.fullmatch(uri):
        whole = output_uri(runs.get(output[1]), output[2]).rstrip("/")
        return place(f"{whole}/{output[3] or ''}")
    if uri.startswith("azureml://"):
        return place(uri)
    raise unsupported(f"The input {uri} (an address outside the workspace)")
