"""What a trigger test says of a fleet kept by dictionaries: versions, reports, time, and what hub and rows hold."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from functions import field
from functions.field import Period, Use
from functions.journal import Entry, entries
from functions.ports import Deployment, ModelVersion, Progress
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from laptop.iot_hub.query import parse_target_condition
from tests.fakes.cloud import FakeCloud
from tests.messages import registered

LOOP = "flight-delays"


def made(here: FakeCloud, version: str) -> ModelVersion:
    """A version that a job of ours made, judged and registered, with its files where devices fetch them."""
    job, listing = f"rt-{LOOP}-{version}", json.dumps({"version": version}).encode()
    here.rows.insert("jobs", LOOP, job, row={"state": "registered", "version": version})
    here.blobs.put("models", f"{LOOP}/{version}/files.json", listing)
    lineage = {"job": job, "sha256": sha256(listing).hexdigest(), "profile": version * 16}
    model = ModelVersion(LOOP, version, f"{LOOP}/{version}", lineage)
    assert here.registry.register(model)
    return model


def layers(here: FakeCloud, version: str, kind: str = "") -> list[Deployment]:
    """Layers that carry a version, in the order they were made: its own, or those with a label such as pin."""
    found = [one for one in here.fleet.made.values() if one.labels.get("model") == f"{LOOP}:{version}"]
    return [
        one for one in found if (kind in one.labels if kind else not {"pin", "instead_of", "shadow"} & set(one.labels))
    ]


def report(here: FakeCloud, deployment: Deployment, targeted: int, *, ready: int, failed: int = 0) -> None:
    here.fleet.reports[deployment.id] = Progress(targeted, {"ready": ready, "failed": failed})


def dwell(here: FakeCloud, version: str) -> None:
    """Half an hour passes in the ring that a version has reached."""
    since = datetime.now(UTC) - timedelta(minutes=30)
    here.rows.change("rollouts", LOOP, keys=[f"{int(version):09}"], values={"since": since})


def roll_out(here: FakeCloud, version: str, *, rings: int = 2) -> None:
    """Rings take a version, one after the other; after the last it is done."""
    made(here, version)
    deploy_on_model_registered(registered(version))
    for ring in range(rings):
        report(here, layers(here, version)[ring], 3, ready=3)
        dwell(here, version)
        advance_on_timer(None)


def state(here: FakeCloud, version: str) -> tuple[object, object]:
    stored = here.rows.get("rollouts", LOOP, f"{int(version):09}")
    assert stored is not None
    return stored.row["state"], stored.row["ring"]


def decisions(here: FakeCloud, subject: str = "") -> list[str]:
    return [entry.decision for entry in journal(here) if entry.subject.endswith(subject)]


def journal(here: FakeCloud) -> list[Entry]:
    return entries(here.rows, [LOOP])


def effective(here: FakeCloud, site: str = "lga") -> str:
    """The version that the highest layer gives a device of a site."""
    device = {"deviceId": site, "tags": {"fleet": "new-york", "site": site}}
    found = [one for one in here.fleet.made.values() if parse_target_condition(one.target).matches(device)]
    answering = [one for one in found if "shadow" not in one.labels]
    top = max(answering, key=lambda one: one.priority)
    desired = top.content["inference"]
    assert isinstance(desired, dict)
    return str(desired["properties.desired.model"]["version"])


def observe(here: FakeCloud, device: str, **uses: Use) -> None:
    """What telemetry wrote of a device: v1, v2, … for its versions."""
    row = {field.COLUMN: field.to_bytes({name.removeprefix("v"): use for name, use in uses.items()})}
    if not here.rows.insert("devices", LOOP, device, row=row):
        here.rows.change("devices", LOOP, keys=[device], values=row)


def scored(version: str, *, periods: range = range(20), failed: int = 0) -> Use:
    """A version's use on a device: two hundred requests a period, so many of them refused."""
    told = tuple(Period(at, 200, 200, failed + at % 2, (), (0,) * 66) for at in periods)
    return Use(version, rows=200 * len(told), requests=200 * len(told), periods=told)
