"""Another loop, with somebody else's training code, through the real adapters and a job that really runs."""

import json
import random
from pathlib import Path

import pytest

from functions.journal import entries
from functions.promotion.trigger import judge_on_timer
from functions.retraining.trigger import count_overlooked_on_timer, describe_training_sets_on_timer, retrain_on_timer
from functions.settings import Settings
from functions.wiring import Azure, using
from laptop.settings import app_settings
from laptop.stack import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, Stack
from tests.laptop.ml import Speaker
from tests.laptop.serving import eventually

PUMPS = Path(__file__).parents[1] / "pumps"
ROWS = 40

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning"),  # azure-ai-ml at import
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # azure-ai-ml at every call
]


@pytest.fixture
def pumps(azure: Azure, stack: Stack) -> Azure:
    """The same cloud, with another folder of loops, and the component that its loop names."""
    from azure.ai.ml import MLClient, load_component, load_environment  # noqa: PLC0415 - takes seconds
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - likewise

    client = MLClient(DefaultAzureCredential(), SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE)
    client.environments.create_or_update(load_environment(PUMPS / "component" / "environment.yml"))
    client.components.create_or_update(load_component(PUMPS / "component" / "pipeline.yml"))
    settings = {**app_settings(stack), "LOOPS_FOLDER": str(PUMPS / "loops")}
    assert azure.settings.loops_folder != PUMPS / "loops"
    return Azure(Settings.model_validate(settings))


def readings(day: int) -> bytes:
    """A day of one site: what vibrates, fails."""
    dice = random.Random(day)  # noqa: S311 - readings, not a secret
    rows = [(dice.gauss(0, 1), dice.gauss(60, 5)) for _ in range(ROWS)]
    lines = [f"{shake:.3f},{heat:.1f},{int(shake + dice.gauss(0, 0.5) > 0)}" for shake, heat in rows]
    return "\n".join(["vibration,heat,fails", *lines]).encode()


def test_a_loop_with_its_own_component_goes_from_uploads_to_a_registered_model(pumps: Azure, speaker: Speaker) -> None:
    names = [f"pumps/{site}/2026-02-{day:02}.csv" for site in ("north", "south") for day in range(10, 18)]
    with using(pumps):
        for number, name in enumerate([*names, "pumps/north/2025-12-01.csv"]):
            pumps.blobs.put("landing", name, readings(number))
        count_overlooked_on_timer(None)
        retrain_on_timer(None)
        (job,) = pumps.rows.find("jobs", "pumps")
        for name in names:
            pumps.blobs.put("landing", name, b"sent again, and broken")
        describe_training_sets_on_timer(None)
        eventually(lambda: pumps.trainer.outcome(job.key).status != "running", "the job does not end")
        judge_on_timer(None)
        told = {entry.decision: entry.reason for entry in entries(pumps.rows, ["pumps"])}
    assert pumps.trainer.outcome(job.key).status == "completed", told
    report = json.loads(pumps.blobs.read("outputs", f"{job.key}/report/report.json") or b"")
    assert (sorted(report["files"]), report["rows_read"]) == (sorted(names), ROWS * len(names))
    assert told.get("Register", "").startswith("first model:"), told
    (model,) = pumps.registry.versions("pumps")
    assert (model.version, model.lineage["job"]) == ("1", job.key)
    asset = speaker.get("/data/pumps-training-set/versions/1").json()["properties"]
    assert (asset["properties"]["job"], asset["properties"]["files"]) == (job.key, str(len(names)))
    submitted = speaker.get(f"/jobs/{job.key}").json()["properties"]
    assert submitted["experimentName"] == "pumps"
    assert submitted["tags"] == {"loop": "pumps", "generation": "1", "trigger": "data", "owner": "maintenance"}
    assert submitted["identity"]["identityType"] == "Managed"
