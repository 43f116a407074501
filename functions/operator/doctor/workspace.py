"""Azure Machine Learning: what the loops name there, and the rights to use it."""

from collections.abc import Iterator
from functools import partial

from functions.cloud.asking import Answer
from functions.drift.room import too_wide
from functions.jobs import champion
from functions.loops import Loop
from functions.model_folder import CONTAINER
from functions.operator.doctor.finding import Finding, of_answer
from functions.operator.doctor.patient import MANAGEMENT, Patient
from functions.operator.doctor.storage import NOTHING
from functions.wishes import pipeline
from sketch.profile import Profile

API_VERSION = "2023-04-01"
DATASTORES = ("manifests", "models", "outputs", "versions")
ROLE = "AzureML Data Scientist"
NOT_FOUND = 404


def workspace(patient: Patient) -> Iterator[Finding]:
    """Whether the workspace answers, its datastores are there, and jobs may be managed."""
    place = patient.settings.workspace_id
    meant = partial(of_answer, "workspace", right=patient.right(ROLE, place), fix="check AZUREML_WORKSPACE_ID")
    yield meant(patient.manager.get(place, API_VERSION), what=f"{place} answers", fine=())
    for name in DATASTORES:
        answer = patient.manager.get(f"{place}/datastores/{name}", API_VERSION)
        fix = "deploy infra/ again: it makes the datastores, by identity"
        yield _there(answer, f"datastore {name}", fix) or meant(answer, what=f"datastore {name} is there", fine=())
    nothing = f"{patient.settings.manager_endpoint.rstrip('/')}{place}/jobs/{NOTHING}/cancel?api-version={API_VERSION}"
    asked = patient.asker.ask("POST", nothing, audience=MANAGEMENT, headers={"Content-Length": "0"}, body=b"")
    yield meant(asked, what="jobs may be managed (tried on one that is not there)", fine=(NOT_FOUND,))


def named_by_loops(patient: Patient) -> Iterator[Finding]:
    """Whether the component and the compute that each loop names exist."""
    for loop in patient.loops.values():
        component, _, version = pipeline(patient.here.rows, loop).partition(":")
        wanted = {
            f"components/{component}/versions/{version}": (
                f"pipeline component {component}:{version} of {loop.name}",
                "python -m training.register_components publishes it; or correct retrain.pipeline",
            ),
            f"computes/{loop.retrain.compute}": (
                f"compute {loop.retrain.compute} of {loop.name}",
                "make it, or correct retrain.compute",
            ),
        }
        for path, (what, fix) in wanted.items():
            answer = patient.manager.get(f"{patient.settings.workspace_id}/{path}", API_VERSION)
            right = patient.right(ROLE, patient.settings.workspace_id)
            yield _there(answer, what, fix) or of_answer(
                "workspace", answer, what=f"{what} is there", right=right, fine=(), fix=fix
            )


def profiles(patient: Patient) -> Iterator[Finding]:
    """Whether the profile of each champion can be read: without it no telemetry of its devices is counted."""
    for loop in patient.loops.values():
        version = champion(patient.here.rows, loop)
        if version is None:
            yield Finding("profile", "ok", f"{loop.name} has no model yet")
        else:
            yield _profile(patient, loop, version)


def _profile(patient: Patient, loop: Loop, version: str) -> Finding:
    name = f"{loop.name}/{version}/profile.json"
    data, fix = (
        patient.here.blobs.read(CONTAINER, name),
        f"refluent train {loop.name} --because 'a profile that is read'",
    )
    if data is None:
        return Finding("profile", "error", f"{CONTAINER}/{name} is not there", "its version serves", fix)
    try:
        found = Profile.from_json(data.decode())
    except ValueError as problem:
        return Finding("profile", "error", f"{CONTAINER}/{name} is not usable", str(problem), fix)
    unknown = sorted(set(loop.drift.features) - {one.name for one in found.features})
    if unknown:
        why = f"it counts no {', '.join(unknown)}, which drift.features names"
        return Finding("profile", "error", f"{CONTAINER}/{name} does not fit its loop", why, fix)
    why, fewer = too_wide(found, loop), f"name fewer as drift.features in loops/{loop.name}.toml"
    if why:
        return Finding("profile", "error", f"{CONTAINER}/{name} is too wide: no device's telemetry counts", why, fewer)
    return Finding("profile", "ok", f"the profile of {loop.name}:{version} is read, and counts what the loop watches")


def _there(answer: Answer, what: str, fix: str) -> Finding | None:
    """That something is missing; None if it is there, or nobody knows."""
    if answer.status != NOT_FOUND:
        return None
    return Finding("workspace", "error", f"there is no {what}", answer.said, fix)
