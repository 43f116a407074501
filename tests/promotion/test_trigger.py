import base64
import json
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pytest

from functions.errors import Transient
from functions.journal import entries
from functions.model_folder import FILES, missing_of
from functions.ports import JobOrder, JobOutcome, ModelVersion, Row
from functions.promotion.register import register
from functions.promotion.trigger import judge_on_run_ended
from functions.wiring import using
from sketch.profile import Profile
from tests.fakes.cloud import FakeCloud
from tests.messages import run_completed

JOB = "rt-flight-delays-1-0123456789ab"
REPORT = {
    "rows": 5,
    "baseline": {"log_loss": 0.6},
    "challenger": {"log_loss": 0.51, "by_day": {"2013-01-28": {"rows": 5, "log_loss": 0.51}}},
    "champion": None,
}
TWIN = {"judged/model.onnx": b"another graph", "judged/signature.json": b"{}"}
PROFILE = Profile.build({"temp": np.array([30.0, 41.0])}, kinds={"temp": "number"}, scores=np.array([0.1, 0.3]))


@pytest.fixture
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        order = JobOrder(JOB, "flight-delays", "p:1", "c", "e", "t", "l", None, "{}", "1", {})
        cloud.trainer.orders[JOB] = order
        row: Row = {"generation": 1, "state": "started", "launched_at": "2026-03-01T12:00:00+00:00", "champion": ""}
        cloud.rows.insert("jobs", "flight-delays", JOB, row=row)
        yield cloud


def complete(here: FakeCloud, report: object = REPORT) -> None:
    files = {
        "model.onnx": b"onnx",
        "signature.json": b"{}",
        "profile.json": PROFILE.to_json().encode(),
        "samples.json": b"{}",
    }
    for name, data in files.items():
        here.blobs.blobs["outputs", f"out/model/{name}"] = data
    here.blobs.blobs["outputs", "out/report/report.json"] = json.dumps(report).encode()
    here.trainer.ended[JOB] = JobOutcome("completed", {"model": "out/model", "report": "out/report"})


def test_a_better_model_is_registered_with_the_digests_of_what_devices_will_fetch(here: FakeCloud) -> None:
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    (model,) = here.registry.versions("flight-delays")
    files = here.blobs.blobs["models", "flight-delays/1/files.json"]
    assert (model.version, model.lineage["job"]) == ("1", JOB)
    assert model.lineage["sha256"] == sha256(files).hexdigest()
    assert model.lineage["profile"] == PROFILE.hash
    assert json.loads(files)["files"]["model.onnx"] == {"sha256": sha256(b"onnx").hexdigest(), "size_bytes": 4}


def test_what_a_model_is_judged_by_goes_beside_its_files_and_is_none_of_a_devices(here: FakeCloud) -> None:
    complete(here)
    for name, data in TWIN.items():
        here.blobs.blobs["outputs", f"out/model/{name}"] = data
    judge_on_run_ended(run_completed(JOB))
    for name, data in TWIN.items():
        assert here.blobs.blobs["models", f"flight-delays/1/{name}"] == data
    listed = json.loads(here.blobs.blobs["models", "flight-delays/1/files.json"])["files"]
    assert set(listed) == set(FILES)
    (model,) = here.registry.versions("flight-delays")
    assert model.lineage["judged_sha256"] == sha256(b"another graph").hexdigest()
    assert not missing_of(here.blobs, model)


def test_half_of_what_a_model_is_judged_by_is_no_model(here: FakeCloud) -> None:
    complete(here)
    here.blobs.blobs["outputs", "out/model/judged/model.onnx"] = TWIN["judged/model.onnx"]
    judge_on_run_ended(run_completed(JOB))
    (entry,) = entries(here.rows, ["flight-delays"])
    assert (entry.decision, "lacks judged/signature.json" in entry.reason) == ("GiveUp", True)


def test_a_registered_model_says_what_it_was_made_of_and_why_it_was_let_through(here: FakeCloud) -> None:
    complete(here, {**REPORT, "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8"})
    judge_on_run_ended(run_completed(JOB))
    lineage = here.registry.models["flight-delays", "1"].lineage
    assert {
        name: lineage[name] for name in ("loop", "generation", "data_asset", "component", "commit", "champion")
    } == {
        "loop": "flight-delays",
        "generation": "1",
        "data_asset": "flight-delays-training-set:1",
        "component": "p:1",
        "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "champion": "none",
    }
    assert lineage["model_sha256"] == sha256(b"onnx").hexdigest()
    assert lineage["log_loss"] == "0.510000"
    assert lineage["verdict"] == "first model: log loss 0.5100 against 0.6000 for a constant guess"


def test_what_is_not_known_of_a_model_is_said_and_not_guessed(here: FakeCloud) -> None:
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    lineage = here.registry.models["flight-delays", "1"].lineage
    assert lineage["commit"] == "unknown"
    assert "brier" not in lineage


def test_a_registration_that_is_resumed_under_another_gate_is_not_repeated(here: FakeCloud) -> None:
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    before = dict(here.registry.models)
    complete(here, {**REPORT, "baseline": {"log_loss": 0.7}})  # another verdict
    here.rows.change("jobs", "flight-delays", keys=[JOB], values={"state": "started"})
    judge_on_run_ended(run_completed(JOB))
    assert here.registry.models == before
    (job,) = here.rows.find("jobs", "flight-delays")
    assert (job.row["state"], job.row["version"]) == ("registered", "1")


def test_what_devices_check_names_the_model_and_is_signed(here: FakeCloud) -> None:
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    files = here.blobs.blobs["models", "flight-delays/1/files.json"]
    assert {name: json.loads(files)[name] for name in ("model", "version")} == {
        "model": "flight-delays",
        "version": "1",
    }
    signature = json.loads(here.blobs.blobs["models", "flight-delays/1/files.sig"])
    assert here.signer.key is not None
    public = here.signer.key.public_key()
    assert signature["key"] == sha256(public.public_bytes_raw()).hexdigest()[:16]
    assert signature["algorithm"] == "ed25519"
    public.verify(base64.b64decode(signature["signature"]), files)


def test_without_a_key_there_is_no_signature_that_could_be_taken_for_one(here: FakeCloud) -> None:
    here.signer.key = None
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    assert ("flight-delays", "1") in here.registry.models
    assert here.blobs.read("models", "flight-delays/1/files.sig") is None


def test_the_same_end_told_five_times_registers_once(here: FakeCloud) -> None:
    complete(here)
    for _ in range(5):
        judge_on_run_ended(run_completed(JOB))
    assert len(here.registry.models) == 1
    assert [entry.decision for entry in entries(here.rows, ["flight-delays"])] == ["Register"]


def test_a_crash_after_the_registration_finds_its_own_version_again(here: FakeCloud) -> None:
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    here.rows.change("jobs", "flight-delays", keys=[JOB], values={"state": "started"})
    judge_on_run_ended(run_completed(JOB))
    assert list(here.registry.models) == [("flight-delays", "1")]


def test_an_instance_that_came_too_late_leaves_no_files_under_a_number_that_the_next_job_would_step_over(
    here: FakeCloud,
) -> None:
    complete(here)
    loop = here.settings.loops["flight-delays"]
    (seen_before,) = here.rows.find("jobs", "flight-delays")
    judge_on_run_ended(run_completed(JOB))  # another instance was faster
    outcome = here.trainer.outcome(JOB)
    with pytest.raises(Transient, match="judged by another instance"):
        register(here, loop, seen_before, outcome=outcome, report=None, verdict="better")
    assert {name.split("/")[1] for container, name in here.blobs.blobs if container == "models"} == {"1"}


def test_a_version_somebody_registered_by_hand_is_stepped_over(here: FakeCloud) -> None:
    here.registry.register(ModelVersion("flight-delays", "7", "", {}))
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    assert here.registry.models["flight-delays", "8"].lineage["job"] == JOB


@pytest.mark.parametrize(
    "report",
    [{}, {**REPORT, "baseline": {"log_loss": float("nan")}}, {**REPORT, "challenger": {"log_loss": 0.1, "by_day": {}}}],
)
def test_a_report_with_missing_or_unreal_numbers_fails_closed(here: FakeCloud, report: object) -> None:
    complete(here, report)
    judge_on_run_ended(run_completed(JOB))
    assert not here.registry.models
    (entry,) = entries(here.rows, ["flight-delays"])
    assert (entry.decision, here.announcer.kinds()) == ("GiveUp", ["ModelRejected"])


def test_files_that_another_job_left_under_a_version_are_never_registered_as_ours(here: FakeCloud) -> None:
    here.blobs.put("models", "flight-delays/1/model.onnx", b"another job's, which never came to register")
    complete(here)
    judge_on_run_ended(run_completed(JOB))
    (model,) = here.registry.versions("flight-delays")
    assert (model.version, model.folder) == ("2", "flight-delays/2")
    assert here.blobs.read("models", "flight-delays/2/model.onnx") == b"onnx"


@pytest.mark.parametrize("name", ["model.onnx", "profile.json"])
def test_a_model_folder_that_no_device_could_load_is_given_up(here: FakeCloud, name: str) -> None:
    complete(here)
    del here.blobs.blobs["outputs", f"out/model/{name}"]
    judge_on_run_ended(run_completed(JOB))
    assert not here.registry.models
    (entry,) = entries(here.rows, ["flight-delays"])
    assert entry.decision == "GiveUp"
    assert name in entry.reason


def test_an_unsound_profile_is_given_up_with_its_reason(here: FakeCloud) -> None:
    complete(here)
    here.blobs.blobs["outputs", "out/model/profile.json"] = b"{}"
    judge_on_run_ended(run_completed(JOB))
    (entry,) = entries(here.rows, ["flight-delays"])
    assert (entry.decision, "profile.json" in entry.reason) == ("GiveUp", True)


def test_a_script_that_failed_ends_as_a_decision_not_a_traceback(here: FakeCloud) -> None:
    here.trainer.ended[JOB] = JobOutcome("failed", detail="prepare: no usable file")
    judge_on_run_ended(run_completed(JOB))
    (entry,) = entries(here.rows, ["flight-delays"])
    assert (entry.decision, entry.reason) == ("GiveUp", "the job failed: prepare: no usable file")
    (job,) = here.rows.find("jobs", "flight-delays")
    assert job.row["state"] == "giveup"


def test_somebody_else_s_run_is_nothing_to_us(here: FakeCloud) -> None:
    complete(here)
    judge_on_run_ended(run_completed("automl-42"))
    assert not here.registry.models
