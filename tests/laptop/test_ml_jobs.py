"""Jobs that really run: steps as processes, their data, their ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop.stack import Stack
from tests.laptop.ml import (
    BLOCK,
    TEXT,
    Speaker,
    blocking,
    folder,
    one_step,
    process_is_gone,
    same_storage,
    workspace,
    written,
)
from tests.laptop.serving import eventually

pytestmark = pytest.mark.enable_socket
FOLDER = {"type": "uri_folder"}


@pytest.fixture(scope="module")
def speaker(azurite_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    with workspace(same_storage(azurite_stack, tmp_path_factory.mktemp("jobs"))) as found:
        yield found


def test_steps_run_on_the_declared_inputs_and_the_outputs_are_kept(speaker: Speaker) -> None:
    join = speaker.register(
        "join",
        {
            "type": "command",
            "command": (
                "cat ${{inputs.texts}}/*.txt > ${{outputs.whole}}/all"
                " $[[ && echo ${{inputs.more}} >> ${{outputs.whole}}/all ]]"
            ),
            "inputs": {"texts": FOLDER, "more": {**TEXT, "optional": True}},
            "outputs": {"whole": FOLDER},
        },
    )
    count = speaker.register(
        "count",
        {
            "type": "command",
            "command": 'wc -c < ${{inputs.whole}}/all > ${{outputs.size}}; test -n "$AZUREML_ROOT_RUN_ID"',
            "inputs": {"whole": FOLDER},
            "outputs": {"size": {"type": "uri_file"}},
        },
    )
    pipeline = speaker.register(
        "measure",
        {
            "type": "pipeline",
            "inputs": {"texts": FOLDER, "more": {**TEXT, "optional": True}},
            "outputs": {"whole": FOLDER, "size": {"type": "uri_file"}},
            "jobs": {
                "join": {
                    "componentId": join,
                    "inputs": {"texts": "${{parent.inputs.texts}}", "more": "${{parent.inputs.more}}"},
                    "outputs": {"whole": "${{parent.outputs.whole}}"},
                },
                "count": {
                    "componentId": count,
                    "inputs": {"whole": "${{parent.jobs.join.outputs.whole}}"},
                    "outputs": {"size": "${{parent.outputs.size}}"},
                },
            },
        },
    )
    speaker.upload("landing", **{"texts/a.txt": "one\n", "texts/b.txt": "two\n", "textsxyz/c.txt": "not mine\n"})
    texts = folder("azureml://datastores/landing/paths/texts/")
    speaker.submit("without", pipeline, texts=texts)
    speaker.submit("with", pipeline, texts=texts, more="three")
    assert [speaker.ended(name) for name in ("without", "with")] == ["Completed", "Completed"]
    assert speaker.read("azureml", "azureml/without/whole/all") == "one\ntwo\n"
    assert speaker.read("azureml", "azureml/with/whole/all") == "one\ntwo\nthree\n"
    assert speaker.read("azureml", "azureml/with/size/").strip() == "14"
    expected = ["queued", "preparing", "running", "finalizing", "completed", "RunCompleted"]
    eventually(lambda: speaker.told("with") == expected, "the events were others")


def test_a_later_job_reads_what_an_earlier_one_made(speaker: Speaker) -> None:
    write = {"command": "echo made > ${{outputs.o}}/f", "outputs": {"o": {"jobOutputType": "uri_folder"}}}
    assert speaker.put("/jobs/first", jobType="Command", **write).status_code == 201
    assert speaker.ended("first") == "Completed"
    read = {"command": "grep made ${{inputs.i}}/f", "inputs": {"i": folder("azureml://jobs/first/outputs/o/paths/")}}
    assert speaker.put("/jobs/second", jobType="Command", **read).status_code == 201
    assert speaker.ended("second") == "Completed"


def test_steps_that_do_not_need_each_other_run_at_the_same_time(speaker: Speaker, tmp_path: Path) -> None:
    meet = "touch ${{inputs.mark}}/$AZUREML_RUN_ID; until [ $(ls ${{inputs.mark}} | wc -l) = 2 ]; do sleep 0.02; done"
    step = speaker.register("meet-step", one_step(meet))
    node = {"componentId": step, "inputs": {"mark": "${{parent.inputs.mark}}"}, "limits": {"timeout": 20}}
    nodes = {"one": node, "other": node}
    pipeline = speaker.register("meet", {"type": "pipeline", "inputs": {"mark": TEXT}, "jobs": nodes})
    (tmp_path / "meeting").mkdir()
    speaker.submit("meet", pipeline, mark=tmp_path / "meeting")
    assert speaker.ended("meet") == "Completed"


def test_a_failed_step_fails_the_job_and_says_why(speaker: Speaker) -> None:
    fail = speaker.register("fail", {"type": "command", "command": "echo no rows; exit 3", "outputs": {"o": FOLDER}})
    never = speaker.register("never", {"type": "command", "command": "true", "inputs": {"i": FOLDER}})
    after = {"componentId": never, "inputs": {"i": "${{parent.jobs.fail.outputs.o}}"}}
    nodes = {"fail": {"componentId": fail}, "after": after}
    speaker.submit("failing", speaker.register("failing", {"type": "pipeline", "jobs": nodes}))
    assert speaker.ended("failing") == "Failed"
    found = speaker.details("failing")
    assert found["error"] == "Step fail failed with exit code 3. Its log ends:\nno rows\n"
    steps = {step["name"]: step for step in found["steps"]}
    assert (steps["fail"]["status"], steps["after"]["status"]) == ("Failed", "NotStarted")
    log = f"ExperimentRun/dcid.{steps['fail']['run_id']}/user_logs/std_log.txt"
    assert speaker.read("azureml", log) == "no rows\n"
    eventually(lambda: speaker.told("failing")[-1:] == ["failed"], "no event said so")
    assert "RunCompleted" not in speaker.told("failing")


def test_an_empty_input_fails_the_job_before_any_step(speaker: Speaker) -> None:
    look = speaker.register("look", {"type": "command", "command": "ls", "inputs": {"i": FOLDER}})
    node = {"componentId": look, "inputs": {"i": "${{parent.inputs.i}}"}}
    pipeline = speaker.register("looking", {"type": "pipeline", "inputs": {"i": FOLDER}, "jobs": {"look": node}})
    speaker.submit("empty", pipeline, i=folder("azureml://datastores/landing/paths/nothing-here/"))
    assert speaker.ended("empty") == "Failed"
    assert speaker.details("empty")["error"] == "The input i is empty: there is nothing at landing/nothing-here/."


def test_a_step_over_its_limit_is_ended_with_all_it_started(speaker: Speaker, tmp_path: Path) -> None:
    job = {"command": BLOCK.replace("${{inputs.mark}}", str(tmp_path)), "limits": {"timeout": "PT0.5S"}}
    assert speaker.put("/jobs/slow", jobType="Command", **job).status_code == 201
    assert speaker.ended("slow") == "Failed"
    assert "Ended after its limit of 0.5 s." in speaker.details("slow")["error"]
    assert process_is_gone(int(written(tmp_path / "waiting")))


def test_a_cancelled_job_ends_with_all_it_started(speaker: Speaker, tmp_path: Path) -> None:
    process = blocking(speaker, "unwanted", tmp_path)
    path = "/subscriptions/{}".format(speaker.get("/jobs/unwanted").json()["id"].partition("/subscriptions/")[2])
    asked = speaker.http.post(f"{path}/cancel", params={"api-version": "2023-04-01-preview"})
    assert asked.status_code == 202
    assert speaker.ended("unwanted") == "Canceled"
    assert speaker.http.get(asked.headers["Location"]).status_code == 200
    assert process_is_gone(process)
    eventually(lambda: speaker.told("unwanted")[-2:] == ["cancelrequested", "canceled"], "no event said so")
