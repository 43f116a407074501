"""What functions/ports.py promises of Trainer."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from functions.cloud.ml import workspace
from functions.errors import Refused, Transient
from functions.ports import JobOrder, JobOutcome
from functions.wiring import Azure, Cloud
from tests.fakes.cloud import FakeCloud
from tests.laptop.ml import TEXT, Speaker
from tests.laptop.serving import eventually

FOLDER = {"type": "uri_folder"}
COMPLAINT = "prepare: no file of the training set is usable"
WAIT = "until [ -e ${{inputs.schema}} ]; do sleep 0.02; done"  # the schema of these jobs is a path: they end with it
COPY = "cp -r ${{inputs.training_set}}/. ${{outputs.model}}; touch ${{outputs.report}}/report.json"
FAIL = f"echo {COMPLAINT} >&2; exit 3"


@dataclass(frozen=True, slots=True)
class Workshop:
    """The trainer under test, and what a test does behind its back."""

    cloud: Cloud
    unique: str
    gates: Path
    speaker: Speaker | None

    def order(self, name: str = "", *, pipeline: str = "contract-train", **changes: str) -> JobOrder:
        """A job's order on a training set that is there; each change is one more fact of its lineage."""
        name = name or f"rt-{self.unique}-1"
        training_set = f"{self.unique}/{changes.get('training_set_sha256', '1')}"
        self.cloud.blobs.put("manifests", f"{training_set}/manifest.json", b"{}")
        self.cloud.blobs.put("versions", f"{self.unique}/key/a.parquet", b"rows")
        lineage = {"loop": self.unique, "generation": "1", "trigger": "data", "training_set_sha256": "1", **changes}
        return JobOrder(
            name=name,
            loop=self.unique,
            pipeline=f"{pipeline}:1",
            compute="cpu-cluster",
            experiment="contracts",
            training_set=training_set,
            landing=self.unique,
            champion=None,
            schema=str(self.gates / name),
            version=lineage["generation"],
            lineage=lineage,
        )

    def jobs(self) -> list[str]:
        """The jobs that exist for this loop."""
        if self.speaker is None:
            assert isinstance(self.cloud, FakeCloud)
            return list(self.cloud.trainer.orders)
        found = self.speaker.get("/jobs").json()["value"]
        return [job["name"] for job in found if job["properties"]["tags"].get("loop") == self.unique]

    def end(self, order: JobOrder, outcome: JobOutcome) -> None:
        """Let a job end in the way its pipeline does."""
        if isinstance(self.cloud, FakeCloud):
            self.cloud.trainer.ended[order.name] = outcome
            return
        Path(order.schema).touch()
        eventually(lambda: self.cloud.trainer.outcome(order.name).status != "running", f"{order.name} does not end")


@pytest.fixture
def workshop(cloud: Cloud, unique: str, tmp_path: Path, request: pytest.FixtureRequest) -> Workshop:
    speaker = None if isinstance(cloud, FakeCloud) else request.getfixturevalue("pipelines")
    return Workshop(cloud, unique, tmp_path, speaker)


@pytest.fixture(scope="session")
def pipelines(speaker: Speaker) -> Speaker:
    """Registered pipelines with the inputs and outputs of a loop's own: one that trains, and one that fails."""
    inputs = {"landing": FOLDER, "training_set": FOLDER, "schema": TEXT, "champion": {**FOLDER, "optional": True}}
    outputs = {"model": FOLDER, "report": FOLDER}
    for name, command in (("contract-train", f"{WAIT}; {COPY}"), ("contract-fail", FAIL)):
        step = {"type": "command", "command": command, "inputs": inputs, "outputs": outputs}
        job = {
            "componentId": speaker.register(f"{name}-step", step),
            "inputs": {key: f"${{{{parent.inputs.{key}}}}}" for key in inputs},
            "outputs": {key: f"${{{{parent.outputs.{key}}}}}" for key in outputs},
        }
        pipeline = {"type": "pipeline", "inputs": inputs, "outputs": outputs, "jobs": {"train": job}}
        speaker.register(name, pipeline)
    return speaker


def test_an_order_given_twice_starts_one_job(workshop: Workshop) -> None:
    order = workshop.order()
    for _ in range(2):
        workshop.cloud.trainer.start(order)
    assert workshop.jobs() == [order.name]
    workshop.end(order, JobOutcome("completed", {"model": "m", "report": "r"}))
    workshop.cloud.trainer.start(order)
    assert workshop.jobs() == [order.name]


def test_an_order_resumed_after_another_model_became_champion_is_the_job_that_stands(workshop: Workshop) -> None:
    order = workshop.order()
    workshop.cloud.trainer.start(order)
    workshop.cloud.trainer.start(replace(order, champion=f"{workshop.unique}/1"))
    assert workshop.jobs() == [order.name]
    workshop.end(order, JobOutcome("completed", {}))


def test_a_job_runs_and_completes_with_its_outputs(workshop: Workshop) -> None:
    order = workshop.order()
    workshop.cloud.trainer.start(order)
    assert workshop.cloud.trainer.outcome(order.name) == JobOutcome("running")
    outputs = {name: f"{order.name}/{name}" for name in ("model", "report")}
    workshop.end(order, JobOutcome("completed", outputs))
    outcome = workshop.cloud.trainer.outcome(order.name)
    assert (outcome.status, outcome.outputs, outcome.detail) == ("completed", outputs, "")
    made_of = {"data_asset": f"{order.loop}-training-set:{order.version}", "component": order.pipeline}
    assert outcome.lineage.items() >= {**order.lineage, **made_of}.items()
    if workshop.speaker is not None:
        assert workshop.cloud.blobs.read("outputs", f"{outputs['model']}/manifest.json") == b"{}"


def test_a_champion_is_handed_to_the_job(workshop: Workshop) -> None:
    order = replace(workshop.order(), champion=f"{workshop.unique}/1")
    workshop.cloud.blobs.put("models", f"{order.champion}/model.onnx", b"onnx")
    workshop.cloud.trainer.start(order)
    workshop.end(order, JobOutcome("completed", {}))
    assert workshop.cloud.trainer.outcome(order.name).status == "completed"


def test_a_name_taken_by_a_job_on_other_data_is_refused(workshop: Workshop) -> None:
    ours = workshop.order()
    workshop.cloud.trainer.start(ours)
    for other in (
        workshop.order(training_set_sha256="2"),
        workshop.order(training_set_sha256="2", generation="2"),
    ):
        with pytest.raises(Refused) as refusal:
            workshop.cloud.trainer.start(other)
        assert refusal.value.why
        assert refusal.value.fix
    assert workshop.jobs() == [ours.name]
    workshop.cloud.trainer.cancel(ours.name)  # the cluster has two nodes


def test_a_job_that_failed_says_why(workshop: Workshop) -> None:
    order = workshop.order(pipeline="contract-fail")
    workshop.cloud.trainer.start(order)
    workshop.end(order, JobOutcome("failed", detail=f"exit code 3: {COMPLAINT}"))
    outcome = workshop.cloud.trainer.outcome(order.name)
    assert (outcome.status, outcome.outputs) == ("failed", {})
    assert COMPLAINT in outcome.detail


def test_a_job_nobody_started_is_missing(workshop: Workshop) -> None:
    assert workshop.cloud.trainer.outcome(f"rt-{workshop.unique}-9").status == "missing"


def test_a_job_that_is_canceled_ends_so(workshop: Workshop) -> None:
    order = workshop.order()
    workshop.cloud.trainer.start(order)
    workshop.cloud.trainer.cancel(order.name)
    eventually(lambda: workshop.cloud.trainer.outcome(order.name).status == "canceled", "it was not canceled")


def test_a_training_set_is_described_as_often_as_one_likes(workshop: Workshop) -> None:
    order = workshop.order()
    for _ in range(2):
        workshop.cloud.trainer.describe(order)
    if workshop.speaker is not None:
        asset = workshop.speaker.get(f"/data/{workshop.unique}-training-set/versions/1").json()["properties"]
        assert asset["properties"] == {**order.lineage, "job": order.name}


@pytest.mark.enable_socket
def test_launching_is_two_requests_at_first_and_one_afterwards(
    azure: Azure, pipelines: Speaker, unique: str, tmp_path: Path
) -> None:
    workshop = Workshop(azure, unique, tmp_path, pipelines)
    orders = [workshop.order(f"rt-{unique}-{number}") for number in range(3)]
    workspace.cache_clear()
    trainer, asked = Azure(azure.settings).trainer, [pipelines.requests()]
    for order in orders:
        trainer.start(order)
        asked.append(pipelines.requests())
    for order in orders:
        trainer.cancel(order.name)
    assert [later - before for before, later in pairwise(asked)] == [2, 1, 1]


@pytest.mark.enable_socket
def test_a_workspace_that_is_asked_too_often_is_asked_again_and_then_later(
    azure: Azure, pipelines: Speaker, unique: str, tmp_path: Path
) -> None:
    workshop = Workshop(azure, unique, tmp_path, pipelines)
    order = workshop.order()
    pipelines.http.put("/laptop/throttle", json={"requests": 1})
    azure.trainer.start(order)
    assert workshop.jobs() == [order.name]
    pipelines.http.put("/laptop/throttle", json={"requests": 4})
    with pytest.raises(Transient):
        azure.trainer.outcome(order.name)
    azure.trainer.cancel(order.name)
