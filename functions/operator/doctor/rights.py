"""The rights of the app's own identity, as they are given in Azure: for a person who is allowed other things."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from functions.errors import LoopError
from functions.operator.doctor.finding import Finding, Right
from functions.operator.doctor.patient import Patient

IDENTITIES, ASSIGNMENTS = "2024-11-30", "2022-04-01"
READ, WRITTEN = ("deadletter", "outputs"), ("manifests", "models", "quarantine", "versions")  # besides what lands


@dataclass(frozen=True, slots=True)
class Need:
    """What the app does somewhere.

    Args:
        scope: ARM id.
        actions: In Azure's words.
        role: The least built-in role that has them.
        data: Whether these are actions on data.
    """

    scope: str
    actions: Sequence[str]
    role: str
    data: bool = True


def needs(patient: Patient) -> list[Need]:
    """Every right that the adapters in functions/cloud/ use."""
    ours = patient.settings
    blobs, rows = (
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs",
        "Microsoft.Storage/storageAccounts/tableServices/tables/entities",
    )
    ml, hub = "Microsoft.MachineLearningServices/workspaces", "Microsoft.Devices/IotHubs"
    container = f"{ours.account_id}/blobServices/default/containers"
    only_read = {*READ, *(loop.data.container for loop in patient.loops.values())}
    return [
        *(Need(f"{container}/{name}", [f"{blobs}/read"], "Storage Blob Data Reader") for name in sorted(only_read)),
        *(
            Need(f"{container}/{name}", [f"{blobs}/read", f"{blobs}/write"], "Storage Blob Data Contributor")
            for name in WRITTEN
        ),
        Need(ours.account_id, [f"{rows}/read", f"{rows}/write"], "Storage Table Data Contributor"),
        Need(
            ours.workspace_id, [f"{ml}/jobs/write", f"{ml}/models/versions/write"], "AzureML Data Scientist", data=False
        ),
        Need(ours.hub_id, [f"{hub}/configurations/write"], "IoT Hub Data Contributor"),
    ]


def rights(patient: Patient) -> Iterator[Finding]:
    """Whether the app's identity may do what the app does."""
    principal = _principal(patient)
    if principal is None:
        client = patient.settings.identity_client_id
        why, fix = f"no user-assigned identity of {patient.group} has it", "set AZURE_CLIENT_ID to the app's identity's"
        yield Finding("rights", "error", f"the app's identity ({client or 'not set'}) is not found", why, fix)
        return
    for need in needs(patient):
        yield _allowed(patient, principal, need)


def covers(permissions: Sequence[Mapping[str, Any]], action: str, *, data: bool) -> bool:
    """Whether a role's permissions include an action, in Azure's wildcards."""
    yes, no = ("dataActions", "notDataActions") if data else ("actions", "notActions")
    return any(_any(one.get(yes), action) and not _any(one.get(no), action) for one in permissions)


def _any(patterns: Sequence[str] | None, action: str) -> bool:
    return any(fnmatchcase(action.casefold(), pattern.casefold()) for pattern in patterns or ())


def _principal(patient: Patient) -> str | None:
    path = f"{patient.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    for one in patient.manager.list(path, IDENTITIES):
        if one["properties"].get("clientId") == patient.settings.identity_client_id:
            return str(one["properties"]["principalId"])
    return None


def _allowed(patient: Patient, principal: str, need: Need) -> Finding:
    path = f"{need.scope}/providers/Microsoft.Authorization/roleAssignments?$filter=assignedTo('{principal}')"
    try:
        given = [str(one["properties"]["roleDefinitionId"]) for one in patient.manager.list(path, ASSIGNMENTS)]
    except LoopError as problem:
        return Finding("rights", "warning", f"the roles on {need.scope} cannot be read", problem.why, problem.fix)
    held = [patient.manager.get(one, ASSIGNMENTS).json.get("properties", {}).get("permissions", ()) for one in given]
    lacks = [action for action in need.actions if not any(covers(one, action, data=need.data) for one in held)]
    if lacks:
        what = f"the app's identity may not {', '.join(lacks)}"
        return Finding("rights", "error", what, f"on {need.scope}", Right(need.role, need.scope, principal).command)
    return Finding("rights", "ok", f"the app's identity has what {need.role} gives on {need.scope.rpartition('/')[2]}")
