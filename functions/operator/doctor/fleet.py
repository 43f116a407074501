"""IoT Hub: rights, and whether what is deployed there fits this app."""

import base64
import binascii
import json
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import Any

from functions.errors import Refused
from functions.operator.doctor.finding import Finding, of_answer
from functions.operator.doctor.patient import IOT_HUB, Patient
from functions.operator.doctor.storage import NOTHING
from functions.ports import Deployment

API_VERSION = "2021-04-12"
ROLE = "IoT Hub Data Contributor"
SCHEMAS = ("1.0", "1.1")  # of $edgeAgent, as IoT Edge 1.6 takes them
RUNTIME = "1.6"


def hub(patient: Patient) -> Iterator[Finding]:
    """Whether deployments may be read and written, and devices asked for."""
    place, version = f"https://{patient.settings.hub_hostname}", f"?api-version={API_VERSION}"
    right = patient.right(ROLE, patient.settings.hub_id)
    meant = partial(of_answer, "hub", right=right, fix="check IOTHUB_HOSTNAME, and the hub's network rules")
    ask = partial(patient.asker.ask, audience=IOT_HUB)
    yield meant(ask("GET", f"{place}/configurations{version}&top=1"), what=f"deployments of {place} are read", fine=())
    gone = ask("DELETE", f"{place}/configurations/{NOTHING}{version}", headers={"If-Match": "*"})
    yield meant(gone, what="deployments may be written (tried on one that is not there)", fine=(404, 412))
    query = json.dumps({"query": "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true"}).encode()
    headers = {"Content-Type": "application/json", "x-ms-max-item-count": "1"}
    yield meant(
        ask("POST", f"{place}/devices/query{version}", headers=headers, body=query), what="devices are found", fine=()
    )


def deployments(patient: Patient) -> Iterator[Finding]:
    """Whether each loop has a base deployment that IoT Edge takes, and whose devices trust this app's key."""
    every = patient.here.fleet.deployments()
    for loop in patient.loops.values():
        ours = [one for one in every if one.labels.get("loop") == loop.name and "$edgeHub" in one.content]
        if not ours:
            why, fix = "no deployment with its label runs the modules", "the deployment hook makes it; see docs/edge.md"
            yield Finding("deployments", "warning", f"{loop.name} has no base deployment", why, fix)
        for one in ours:
            yield from _runtime(one)
            yield _key(patient, one, loop.rollout.module)


def _runtime(one: Deployment) -> Iterator[Finding]:
    agent = _desired(one)
    schema = str(agent.get("schemaVersion"))
    images = {str(module.get("settings", {}).get("image")) for module in agent.get("systemModules", {}).values()}
    old = sorted(image for image in images if "/azureiotedge-" in image and image.rpartition(":")[2] != RUNTIME)
    if schema not in SCHEMAS:
        why, fix = f"IoT Edge takes {' and '.join(SCHEMAS)}", "make the base deployment again with this release"
        yield Finding("deployments", "error", f"{one.id} has schema {schema} of $edgeAgent", why, fix)
    elif old:
        why, fix = (
            f"IoT Edge 1.5 ended on 10 November 2026; it runs {', '.join(old)}",
            "deploy the base of this release",
        )
        yield Finding("deployments", "warning", f"{one.id} runs an IoT Edge without support", why, fix)
    else:
        yield Finding("deployments", "ok", f"{one.id} is of IoT Edge {RUNTIME}, schema {schema}")


def _key(patient: Patient, one: Deployment, module: str) -> Finding:
    environment = _desired(one).get("modules", {}).get(module, {}).get("env", {})
    told = str(environment.get("MODEL_KEYS", {}).get("value", ""))
    try:
        signed = patient.here.signer.sign(b"refluent doctor")
        trusted = {
            sha256(base64.b64decode(key.partition("@")[0], validate=True)).hexdigest()[:16]
            for key in told.split(",")
            if key
        }
    except Refused as refused:
        return Finding("key", "error", refused.what, refused.why, refused.fix)
    except binascii.Error as problem:
        why, fix = str(problem), "give the devices the raw public key as base64; docs/settings.md"
        return Finding("key", "error", f"MODEL_KEYS in {one.id} is not usable", why, fix)
    if signed is None:
        if not trusted:
            why, fix = "there is no MODEL_SIGNING_KEY, and devices ask for no signature", "see docs/security.md"
            return Finding("key", "warning", "models are not signed", why, fix)
        fix = "set MODEL_SIGNING_KEY to the key whose public half they have"
        return Finding("key", "error", "this app has no key", f"devices of {one.id} trust {sorted(trusted)} alone", fix)
    if signed.key not in trusted:
        why = f"they trust {sorted(trusted)}, and models are signed with {signed.key}"
        fix = "add the key to MODEL_KEYS of the base deployment first; docs/runbook.md#key-rotation"
        return Finding("key", "error", f"devices of {one.id} would refuse every new model", why, fix)
    return Finding("key", "ok", f"devices of {one.id} trust the key {signed.key} that models are signed with")


def _desired(one: Deployment) -> dict[str, Any]:
    agent = one.content.get("$edgeAgent")
    found = agent.get("properties.desired", {}) if isinstance(agent, dict) else {}
    return found if isinstance(found, dict) else {}
