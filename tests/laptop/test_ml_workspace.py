"""The workspace as Microsoft's own SDK sees it, and as somebody sees it who asks for what it does not have."""

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from laptop.identity import Identity
from laptop.ml.answers import PAGE
from laptop.stack import RESOURCE_GROUP, WORKSPACE_ID, Stack
from tests.laptop.ml import VERSION, Speaker, same_storage, workspace
from tests.laptop.serving import eventually
from training.register_components import CONTENT, Unpublishable, _note_commit, publish

if TYPE_CHECKING:
    from tests.laptop.ml_sdk import Customer

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning"),  # azure-ai-ml at import
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # azure-ai-ml at every call
]
ENVIRONMENT = "name: tiny\nversion: '1'\nimage: a/b:c\n"
STEP = """
type: command
name: tiny_{name}
version: "1"
inputs:
  before: {{type: uri_folder}}
  word: {{type: string, optional: true}}
outputs:
  after: {{type: uri_folder}}
environment: azureml:tiny:1
additional_includes: [../training, ../sketch]
command: python -m training.shout ${{{{inputs.before}}}} ${{{{outputs.after}}}} $[[--word '${{{{inputs.word}}}}']]
"""
PIPELINE = """
type: pipeline
name: tiny_pipeline
version: "1"
inputs:
  before: {type: uri_folder}
  word: {type: string, optional: true}
outputs:
  after: {type: uri_folder}
jobs:
  first:
    type: command
    component: ./first.yml
    inputs:
      before: ${{parent.inputs.before}}
      word: ${{parent.inputs.word}}
  second:
    type: command
    component: ./second.yml
    inputs:
      before: ${{parent.jobs.first.outputs.after}}
    outputs:
      after: ${{parent.outputs.after}}
"""
SHOUT = """
import pathlib, sys
from sketch.louder import louder
before, after, *word = sys.argv[1:]
for file in pathlib.Path(before).iterdir():
    pathlib.Path(after, file.name).write_text(louder(file.read_text() + "".join(word[1:])))
"""


@pytest.fixture(scope="module")
def speaker(azurite_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    stack = same_storage(azurite_stack, tmp_path_factory.mktemp("workspace"))
    with workspace(stack) as found, pytest.MonkeyPatch.context() as patch:
        for name, value in stack.sdk_environment().items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(scope="module")
def customer(speaker: Speaker) -> "Customer":
    from tests.laptop.ml_sdk import Customer  # noqa: PLC0415 - takes seconds, which collecting tests should not

    return Customer(speaker)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a two-step pipeline whose steps import a package beside them."""
    root = tmp_path_factory.mktemp("project")
    files = {
        "training/__init__.py": "",
        "training/environment.yml": ENVIRONMENT,
        "training/first.yml": STEP.format(name="first"),
        "training/second.yml": STEP.format(name="second"),
        "training/pipeline.yml": PIPELINE,
        "training/shout.py": SHOUT,
        "sketch/__init__.py": "",
        "sketch/louder.py": "def louder(text):\n    return text.upper() + '!'\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="module")
def pipeline(customer: "Customer", sources: Path) -> str:
    """The ARM id of the published pipeline."""
    assert customer.ml
    done = publish(WORKSPACE_ID, DefaultAzureCredential(), root=sources)
    return f"{WORKSPACE_ID}/components/{done.name}/versions/{done.version}"


def test_what_is_published_notes_which_commit_it_is(tmp_path: Path) -> None:
    root, note = tmp_path / "root", tmp_path / "commit.txt"
    root.mkdir()
    (root / "train.py").write_text("print()")
    _note_commit(root, note)
    assert not note.exists()  # not under git
    somebody = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    for command in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)  # noqa: S607 - as the script finds it
    _note_commit(root, note)
    assert re.fullmatch(r"[0-9a-f]{40}\n", note.read_text())
    (root / "train.py").write_text("print(1)")
    _note_commit(root, note)
    assert note.read_text().endswith("-dirty\n")


def test_one_request_starts_a_job_and_its_outputs_are_where_it_said(
    speaker: Speaker, customer: "Customer", pipeline: str
) -> None:
    customer.land("shout")
    before = speaker.requests()
    job = customer.ml.jobs.create_or_update(customer.order("shout", pipeline, word=" there"))
    assert speaker.requests() - before == 1
    assert job.name == "shout"
    assert speaker.ended("shout") == "Completed"
    done = customer.ml.jobs.get("shout")
    assert (done.status, done.tags, done.properties["generation"]) == ("Completed", {"loop": "tiny"}, "1")
    assert done.outputs["after"].path == "azureml://datastores/workspaceblobstore/paths/jobs/shout/"
    assert speaker.read("azureml", "jobs/shout/a.txt") == "HELLO THERE!!"


def test_a_fresh_client_starts_a_job_in_two_requests_at_most(
    speaker: Speaker, customer: "Customer", pipeline: str
) -> None:
    customer.land("cold")
    before = speaker.requests()
    customer.fresh_client().jobs.create_or_update(customer.order("cold", pipeline))
    assert speaker.requests() - before <= 2
    assert speaker.ended("cold") == "Completed"


def test_ordering_a_job_twice_starts_it_once_and_another_job_cannot_take_its_name(
    speaker: Speaker, customer: "Customer", pipeline: str
) -> None:
    customer.land("twice")
    customer.ml.jobs.create_or_update(customer.order("twice", pipeline, word="a"))
    customer.ml.jobs.create_or_update(customer.order("twice", pipeline, word="a"))
    with pytest.raises(HttpResponseError, match="A job with this name already exists") as refused:
        customer.ml.jobs.create_or_update(customer.order("twice", pipeline, word="b"))
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (400, "UserError")
    assert speaker.ended("twice") == "Completed"
    eventually(lambda: "RunCompleted" in speaker.told("twice"), "no event said so")
    assert speaker.told("twice").count("running") == 1


def test_a_failed_job_says_why_behind_its_studio_link(speaker: Speaker, customer: "Customer", pipeline: str) -> None:
    customer.land("sad")
    job = customer.order("sad", pipeline, word="it's")  # an apostrophe ends the quotes of the command line
    customer.ml.jobs.create_or_update(job)
    assert speaker.ended("sad") == "Failed"
    link = customer.ml.jobs.get("sad").studio_url
    assert link is not None
    assert speaker.http.get(link).json()["error"].startswith("Step first failed with exit code")
    why = speaker.http.post(
        f"/history/v1.0{WORKSPACE_ID}/rundata",
        json={"runId": "sad", "selectRunMetadata": True},
        headers={"Authorization": f"Bearer {speaker.http.headers['x-azureml-token']}"},
    )
    assert "Step first failed" in why.json()["runMetadata"]["error"]["error"]["message"]


def test_the_sdk_waits_for_a_cancelled_job(speaker: Speaker, customer: "Customer") -> None:
    speaker.put("/jobs/endless", jobType="Command", command="sleep 300")
    eventually(lambda: speaker.status("endless") == "Running", "it did not start")
    customer.ml.jobs.begin_cancel("endless").result()
    assert customer.ml.jobs.get("endless").status == "Canceled"
    with pytest.raises(HttpResponseError, match="in terminal status"):
        customer.ml.jobs.begin_cancel("endless")


def test_the_sdk_follows_a_list_over_several_pages(speaker: Speaker, customer: "Customer") -> None:
    for version in range(PAGE + 5):
        uri = f"azureml://datastores/models/paths/many/{version}/"
        assert speaker.put(f"/models/many/versions/{version}", modelUri=uri).status_code == 201
    listed = [model.version for model in customer.ml.models.list("many")]
    assert listed == [str(version) for version in reversed(range(PAGE + 5))]


def test_jobs_are_listed_newest_first_and_filtered(speaker: Speaker, customer: "Customer") -> None:
    for name, tags in (("older", {"night": "1"}), ("newer", {}), ("newest", {"night": "2"})):
        speaker.put(f"/jobs/{name}", jobType="Command", command="true", tags=tags)
        assert speaker.ended(name) == "Completed"
    listed = [job.name for job in customer.ml.jobs.list()]
    assert listed[:3] == ["newest", "newer", "older"]
    tagged = speaker.http.get(f"{WORKSPACE_ID}/jobs", params=VERSION | {"tag": "night"}).json()["value"]
    assert [job["name"] for job in tagged] == ["newest", "older"]


def test_a_model_version_keeps_its_properties_and_changes_its_tags(speaker: Speaker, customer: "Customer") -> None:
    customer.ml.models.create_or_update(customer.model())
    customer.ml.models.create_or_update(customer.model(tags={"stage": "old"}))
    with pytest.raises(HttpResponseError, match="properties cannot be changed"):
        customer.ml.models.create_or_update(customer.model(properties={"job": "other"}))
    stored = customer.ml.models.get("m", "3")
    assert (stored.tags, stored.properties) == ({"stage": "old"}, {"job": "shout"})
    assert stored.path is not None
    assert str(stored.path).endswith("/datastores/models/paths/m/3/")
    told = [event for event in speaker.events if event.subject == "models/m:3"]
    assert [(event.type, event.data["ModelVersion"]) for event in told] == [
        ("Microsoft.MachineLearningServices.ModelRegistered", 3)
    ]
    assert told[0].data["ModelProperties"] == {"job": "shout"}


def test_model_versions_are_counted_listed_and_archived(customer: "Customer") -> None:
    for version in ("9", "10"):
        customer.ml.models.create_or_update(customer.model(name="n", version=version))
    counted = customer.ml.models.create_or_update(customer.model(name="n", version=None))
    assert counted.version == "11"
    assert customer.ml.models.get("n", label="latest").version == "11"
    customer.ml.models.archive("n", "11")
    assert [model.version for model in customer.ml.models.list("n")] == ["10", "9"]
    with pytest.raises(ResourceNotFoundError):
        customer.ml.models.get("n", "12")
    with pytest.raises(ResourceNotFoundError):
        list(customer.ml.models.list("unknown"))


def test_the_datastores_lead_to_the_stacks_containers(customer: "Customer") -> None:
    containers = {store.name: store.container_name for store in customer.ml.datastores.list()}
    assert containers["workspaceblobstore"] == "azureml"
    assert {containers[name] for name in ("landing", "manifests", "models")} == {"landing", "manifests", "models"}
    assert customer.ml.compute.get("cpu-cluster").type == "amlcompute"


def test_publishing_again_asks_one_question_and_other_content_needs_another_version(
    speaker: Speaker, pipeline: str, sources: Path
) -> None:
    before = speaker.requests()
    again = publish(WORKSPACE_ID, DefaultAzureCredential(), root=sources)
    assert (again.new, speaker.requests() - before) == (False, 1)
    kept = speaker.get(pipeline.removeprefix(WORKSPACE_ID)).json()["properties"]["tags"]
    assert kept == {CONTENT: again.content}
    script = sources / "training" / "shout.py"
    text = script.read_text()
    script.write_text(text + "# changed\n")
    with pytest.raises(Unpublishable, match="raise `version`"):
        publish(WORKSPACE_ID, DefaultAzureCredential(), root=sources)
    script.write_text(text)


def test_the_sdk_uploads_equal_code_once(speaker: Speaker, customer: "Customer", pipeline: str, sources: Path) -> None:
    assert pipeline
    customer.register(sources / "training" / "first.yml", version="7")
    asked = speaker.http.get("/laptop/requests").json()["requests"]
    assert len([request for request in asked if request.endswith("startPendingUpload")]) == 1


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": ""}, 401, "InvalidAuthenticationToken"),
        ({"Authorization": "Bearer x.y.z"}, 401, "InvalidAuthenticationToken"),
        ({"x-azureml-token": ""}, 401, "InvalidAuthenticationToken"),
    ],
)
def test_a_pipeline_takes_both_tokens(speaker: Speaker, headers: dict[str, str], status: int, code: str) -> None:
    answer = speaker.http.put(
        f"{WORKSPACE_ID}/jobs/j", params=VERSION, json={"properties": {"jobType": "Pipeline"}}, headers=headers
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_token_for_storage_opens_nothing_here(speaker: Speaker) -> None:
    token = Identity(speaker.stack).token("https://storage.azure.com")
    answer = speaker.http.get(WORKSPACE_ID, params=VERSION, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "udience" in answer.json()["error"]["message"]


@dataclasses.dataclass(frozen=True)
class Asked:
    method: str
    path: str
    status: int
    code: str
    query: str = "api-version=2024-01-01-preview"
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path.rpartition(WORKSPACE_ID)[2]} {self.code} {self.body[-60:].decode()}"


@pytest.mark.parametrize(
    "asked",
    [
        Asked("GET", WORKSPACE_ID, 400, "MissingApiVersionParameter", query=""),
        Asked("GET", WORKSPACE_ID, 400, "InvalidApiVersionParameter", query="api-version=2099-01-01"),
        Asked("GET", f"{WORKSPACE_ID}/jobs", 400, "NotSupported", query="api-version=2023-04-01&color=red"),
        Asked("GET", f"{WORKSPACE_ID}/jobs/none", 404, "NotFound"),
        Asked("GET", f"{WORKSPACE_ID}/schedules/none", 404, "NotFound"),
        Asked("GET", f"{WORKSPACE_ID}/a/b/c/d/e", 404, "InvalidResourceType"),
        Asked("DELETE", f"{WORKSPACE_ID}/models/m/versions/3", 405, "MethodNotAllowed"),
        Asked("GET", WORKSPACE_ID.replace(RESOURCE_GROUP, "other", 1), 404, "ResourceNotFound"),
        Asked("PUT", f"{WORKSPACE_ID}/jobs/j", 400, "InvalidRequestContent", body=b"{"),
        Asked("PUT", f"{WORKSPACE_ID}/jobs/j", 400, "InvalidRequestContent", body=b"[]"),
        Asked("PUT", f"{WORKSPACE_ID}/jobs/j", 400, "NotSupported", body=b'{"properties": {"jobType": "Spark"}}'),
        Asked("PUT", f"{WORKSPACE_ID}/jobs/..x", 400, "UserError", body=b'{"properties": {"jobType": "Command"}}'),
        Asked("PUT", f"{WORKSPACE_ID}/models/m/versions/1", 400, "UserError", body=b'{"properties": {}}'),
        Asked(
            "PUT", f"{WORKSPACE_ID}/jobs/j", 404, "NotFound",
            body=b'{"properties": {"jobType": "Command", "command": "true", "computeId": "gpu"}}',
        ),
        Asked(
            "PUT", f"{WORKSPACE_ID}/jobs/j", 404, "NotFound",
            body=b'{"properties": {"jobType": "Pipeline", "componentId": "%s/components/c/versions/1"}}'
            % WORKSPACE_ID.encode(),
        ),
        Asked(
            "PUT", f"{WORKSPACE_ID}/data/d/versions/1", 404, "NotFound",
            body=b'{"properties": {"dataType": "uri_folder", "dataUri": "azureml://datastores/elsewhere/paths/x"}}',
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_there_is_refused_in_the_services_own_words(speaker: Speaker, asked: Asked) -> None:
    answer = speaker.http.request(asked.method, f"{asked.path}?{asked.query}", content=asked.body)
    assert answer.status_code == asked.status, answer.text
    assert answer.json()["error"]["code"] == asked.code
    assert answer.json()["error"]["message"]
