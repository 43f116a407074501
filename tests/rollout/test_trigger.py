"""From a registration to the last ring: the registry's word, the devices' reports, and everything delivered twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.errors import Refused
from functions.events import RolloutAdvanced, RolloutPaused
from functions.journal import entries
from functions.ports import Deployment, ModelVersion, Progress
from functions.rollout import rings
from functions.rollout.manifest import base, layer
from functions.rollout.trigger import advance_on_timer, deploy_on_model_registered
from functions.settings import Settings
from functions.wiring import using
from tests.fakes.cloud import ENVIRONMENT, FakeCloud, FakeRegistry
from tests.messages import registered

LOOP = "flight-delays"


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def made(here: FakeCloud, version: str) -> ModelVersion:
    """A version that a job of ours made, judged and registered."""
    job = f"rt-{LOOP}-{version}"
    here.rows.insert("jobs", LOOP, job, row={"state": "registered", "version": version})
    lineage = {"job": job, "sha256": version * 64, "profile": version * 16}
    model = ModelVersion(LOOP, version, f"{LOOP}/{version}", lineage)
    assert here.registry.register(model)
    return model


def deployed(here: FakeCloud, version: str) -> list[Deployment]:
    """Deployments of a version, in the order they were made."""
    return [one for one in here.fleet.made.values() if one.labels.get("model") == f"{LOOP}:{version}"]


def report(here: FakeCloud, deployment: Deployment, targeted: int, *, ready: int, failed: int = 0) -> None:
    here.fleet.reports[deployment.id] = Progress(targeted, {"ready": ready, "failed": failed})


def dwell(here: FakeCloud, version: str) -> None:
    """An hour passes in the ring that a version has reached."""
    since = datetime.now(UTC) - timedelta(hours=1)
    here.rows.change("rollouts", LOOP, keys=[f"{int(version):09}"], values={"since": since})


def state(here: FakeCloud, version: str) -> tuple[object, object]:
    stored = here.rows.get("rollouts", LOOP, f"{int(version):09}")
    assert stored is not None
    return stored.row["state"], stored.row["ring"]


def decisions(here: FakeCloud) -> list[str]:
    return [entry.decision for entry in entries(here.rows, [LOOP])]


def roll_out(here: FakeCloud, version: str) -> None:
    """Every ring takes a version."""
    made(here, version)
    deploy_on_model_registered(registered(version))
    for ring in range(2):
        report(here, deployed(here, version)[ring], 3, ready=3)
        dwell(here, version)
        advance_on_timer(None)


def test_a_model_goes_from_the_canary_to_every_device_as_they_report(here: FakeCloud) -> None:
    model, loop = made(here, "1"), here.settings.loops[LOOP]
    deploy_on_model_registered(registered("1"))
    (canary,) = deployed(here, "1")
    assert canary == rings.offer(loop, model, 0, store=here.settings.blob_endpoint, members={})
    report(here, canary, 1, ready=0)
    advance_on_timer(None)
    report(here, canary, 1, ready=1)
    advance_on_timer(None)
    assert len(deployed(here, "1")) == 1
    dwell(here, "1")
    advance_on_timer(None)
    _, everywhere = deployed(here, "1")
    assert everywhere.target == "tags.fleet = 'new-york'"
    report(here, everywhere, 3, ready=3)
    advance_on_timer(None)
    advance_on_timer(None)
    assert state(here, "1") == ("done", 1)
    assert decisions(here) == ["Deploy", "Hold", "Hold", "Advance", "Finish"]
    assert here.announcer.kinds() == ["RolloutAdvanced", "RolloutAdvanced"]


def test_each_advance_names_its_ring_its_deployment_and_its_reason(here: FakeCloud) -> None:
    roll_out(here, "1")
    canary, everywhere = here.announcer.announced.values()
    assert isinstance(canary, RolloutAdvanced)
    assert isinstance(everywhere, RolloutAdvanced)
    assert [canary.ring, everywhere.ring] == ["canary", "everywhere"]
    assert [canary.deployment, everywhere.deployment] == [one.id for one in deployed(here, "1")]
    assert canary.reason == f"made by rt-{LOOP}-1, which passed the gate"
    (entry,) = [entry for entry in entries(here.rows, [LOOP]) if entry.decision == "Deploy"]
    assert entry.links == (canary.deployment, f"rt-{LOOP}-1")


@pytest.mark.parametrize("times", [2, 50])
def test_a_registration_delivered_again_makes_no_other_deployment(here: FakeCloud, times: int) -> None:
    made(here, "1")
    for _ in range(times):
        deploy_on_model_registered(registered("1"))
        deploy_on_model_registered(registered(1))
    assert len(here.fleet.made) == 1
    assert decisions(here) == ["Deploy"]
    assert here.announcer.kinds() == ["RolloutAdvanced"]


def test_a_registration_delivered_late_takes_nothing_back(here: FakeCloud) -> None:
    roll_out(here, "1")
    before = dict(here.fleet.made)
    deploy_on_model_registered(registered("1"))
    advance_on_timer(None)
    assert state(here, "1") == ("done", 1)
    assert here.fleet.made == before


def test_a_registration_whose_event_was_lost_is_found_by_the_timer(here: FakeCloud) -> None:
    made(here, "1")
    for _ in range(2):
        advance_on_timer(None)
    deploy_on_model_registered(registered("1"))
    assert len(deployed(here, "1")) == 1
    assert [decision for decision in decisions(here) if decision != "Hold"] == ["Deploy"]


def test_a_crash_after_the_deployment_was_made_is_made_good_by_the_next_delivery(here: FakeCloud) -> None:
    model = made(here, "1")
    here.fleet.apply(layer(here.settings.loops[LOOP], model, 0, store=here.settings.blob_endpoint))
    deploy_on_model_registered(registered("1"))
    assert len(here.fleet.made) == 1
    assert state(here, "1") == ("rolling", 0)


@pytest.mark.parametrize(
    "lineage",
    [
        {},
        {"sha256": "ab" * 32},
        {"job": "rt-nobody-1", "sha256": "ab" * 32, "profile": "0" * 16},
        {"job": f"rt-{LOOP}-1", "sha256": "ab" * 32, "profile": "0" * 16},
    ],
)
def test_a_model_registered_by_hand_waits_for_approval_and_reaches_nobody(
    here: FakeCloud, lineage: dict[str, str]
) -> None:
    here.rows.insert("jobs", LOOP, f"rt-{LOOP}-1", row={"state": "registered", "version": "1"})
    here.registry.register(ModelVersion(LOOP, "7", f"{LOOP}/7", lineage))
    for _ in range(2):
        deploy_on_model_registered(registered("7"))
        advance_on_timer(None)
    assert not here.fleet.made
    assert state(here, "7") == ("awaiting approval", -1)
    assert decisions(here) == ["AwaitApproval"]


def test_a_held_model_holds_up_none_of_ours(here: FakeCloud) -> None:
    here.registry.register(ModelVersion(LOOP, "7", "", {}))
    deploy_on_model_registered(registered("7"))
    roll_out(here, "3")
    assert state(here, "3") == ("done", 1)


def test_version_1_after_version_2_changes_nothing(here: FakeCloud) -> None:
    for version in ("2", "1"):
        made(here, version)
        deploy_on_model_registered(registered(version))
    assert (len(deployed(here, "2")), deployed(here, "1")) == (1, [])
    assert state(here, "1") == ("superseded", -1)
    assert decisions(here) == ["Deploy", "Supersede"]


def test_a_newer_version_stops_the_older_where_it_is(here: FakeCloud) -> None:
    for version in ("1", "2"):
        made(here, version)
        deploy_on_model_registered(registered(version))
    report(here, deployed(here, "1")[0], 1, ready=1)
    dwell(here, "1")
    advance_on_timer(None)
    assert state(here, "1") == ("superseded", 0)
    assert state(here, "2") == ("rolling", 0)
    assert len(deployed(here, "1")) == 1
    assert deployed(here, "2")[0].priority > deployed(here, "1")[0].priority


def test_a_device_that_refuses_pauses_the_rollout_for_good(here: FakeCloud) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    (canary,) = deployed(here, "1")
    report(here, canary, 2, ready=1, failed=1)
    dwell(here, "1")
    advance_on_timer(None)
    report(here, canary, 2, ready=2)
    advance_on_timer(None)
    assert state(here, "1") == ("paused", 0)
    assert len(here.fleet.made) == 1
    (paused,) = [event for event in here.announcer.announced.values() if isinstance(event, RolloutPaused)]
    assert (paused.version, paused.ring) == ("1", "canary")
    assert paused.reason == "1 of 2 devices of canary refused it"


def test_a_ring_without_devices_is_held_and_said(here: FakeCloud) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    dwell(here, "1")
    for _ in range(3):
        advance_on_timer(None)
    assert state(here, "1") == ("rolling", 0)
    assert [entry.reason for entry in entries(here.rows, [LOOP])][1:] == [
        "no device matches \"tags.fleet = 'new-york' AND tags.site = 'lga'\""
    ]


def test_a_deployment_that_somebody_deleted_is_held_and_said(here: FakeCloud) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    here.fleet.made.clear()
    advance_on_timer(None)
    assert state(here, "1") == ("rolling", 0)
    assert entries(here.rows, [LOOP])[-1].reason == "IoT Hub has no deployment for canary any more"


def test_a_version_that_left_the_registry_goes_no_further(here: FakeCloud) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    report(here, deployed(here, "1")[0], 1, ready=1)
    dwell(here, "1")
    here.registry = FakeRegistry()
    advance_on_timer(None)
    assert len(here.fleet.made) == 1
    assert entries(here.rows, [LOOP])[-1].reason == "the registry has it no longer"


def test_a_version_that_left_the_registry_untold_keeps_no_other_waiting(here: FakeCloud) -> None:
    made(here, "1")
    here.registry = FakeRegistry()
    roll_out(here, "2")
    assert state(here, "2") == ("done", 1)
    assert not here.blobs.blobs


def test_a_loop_file_that_lost_a_ring_ends_the_rollout_in_its_last_one(here: FakeCloud, tmp_path: Path) -> None:
    made(here, "1")
    deploy_on_model_registered(registered("1"))
    report(here, deployed(here, "1")[0], 1, ready=1)
    dwell(here, "1")
    advance_on_timer(None)
    report(here, deployed(here, "1")[1], 3, ready=3)
    dwell(here, "1")
    text = Path(f"tests/loops/{LOOP}.toml").read_text(encoding="utf-8")
    second = text[text.index('[[rollout.ring]]\nname = "everywhere"') : text.index("[drift]")]
    (tmp_path / f"{LOOP}.toml").write_text(text.replace(second, ""), encoding="utf-8")
    here.settings = Settings.model_validate({**ENVIRONMENT, "LOOPS_FOLDER": str(tmp_path)})
    advance_on_timer(None)
    assert state(here, "1")[0] == "done"


def test_an_id_taken_by_other_content_is_refused_and_nothing_is_noted(here: FakeCloud) -> None:
    model = made(here, "1")
    ours = layer(here.settings.loops[LOOP], model, 0, store=here.settings.blob_endpoint)
    here.fleet.apply(replace(ours, content={"$edgeAgent": {}}))
    with pytest.raises(Refused) as refusal:
        deploy_on_model_registered(registered("1"))
    assert ours.id in refusal.value.what
    assert here.rows.get("rollouts", LOOP, "000000001") is None


def test_a_model_the_registry_does_not_know_is_set_aside(here: FakeCloud) -> None:
    for _ in range(2):
        deploy_on_model_registered(registered("5"))
    ((container, name),) = here.blobs.blobs
    assert (container, name.split("/")[:2]) == ("quarantine", ["deploy_on_model_registered", "MODEL_UNKNOWN"])
    assert json.loads(here.blobs.blobs[container, name])["fix"]
    assert not here.fleet.made


def test_somebody_else_s_model_is_passed_over(here: FakeCloud) -> None:
    deploy_on_model_registered(registered("1", "somebody-else-s"))
    assert not here.blobs.blobs
    assert not here.rows.tables


def test_a_layer_lies_on_the_base_and_leaves_it_alone(here: FakeCloud) -> None:
    loop = here.settings.loops[LOOP]
    beneath = base(loop, image="localhost/edge@sha256:ab", devices="tags.fleet = 'new-york'", environment={})
    here.fleet.apply(beneath)
    roll_out(here, "1")
    for above in deployed(here, "1"):
        assert above.priority > beneath.priority
        assert set(above.content) == {"$edgeAgent", "inference"}
        assert above.content["$edgeAgent"] == {}
    assert here.fleet.made[beneath.id] == beneath
    assert len(here.fleet.made) == 3
