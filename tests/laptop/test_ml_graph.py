"""What a job runs, read off its description."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.ml.command import render
from laptop.ml.graph import Data, Literal, Made, duration, plan
from laptop.ml.refusal import Refusal

FOLDER = {"type": "uri_folder"}
COPY = {
    "type": "command",
    "command": "cp ${{inputs.source}} ${{outputs.copy}} $[[--also ${{inputs.also}}]] ${{inputs.times}}",
    "inputs": {
        "source": FOLDER,
        "also": {"type": "string", "optional": True},
        "times": {"type": "integer", "default": "1"},
    },
    "outputs": {"copy": FOLDER},
}
TWICE = {
    "type": "pipeline",
    "inputs": {"source": FOLDER, "also": {"type": "string", "optional": True}},
    "outputs": {"result": FOLDER},
    "jobs": {
        "second": {
            "componentId": "copy",
            "inputs": {"source": {"value": "${{parent.jobs.first.outputs.copy}}", "job_input_type": "literal"}},
            "outputs": {"copy": {"value": "${{parent.outputs.result}}", "type": "literal"}},
        },
        "first": {
            "componentId": "copy",
            "inputs": {"source": "${{parent.inputs.source}}", "also": "${{parent.inputs.also}}", "times": 3},
        },
    },
}
FOUR_TIMES = {
    "type": "pipeline",
    "inputs": {"source": FOLDER},
    "outputs": {"result": FOLDER},
    "jobs": {
        "outer": {"componentId": "twice", "inputs": {"source": "${{parent.inputs.source}}"}},
        "again": {
            "componentId": "twice",
            "inputs": {"source": "${{parent.jobs.outer.outputs.result}}"},
            "outputs": {"result": "${{parent.outputs.result}}"},
        },
    },
}
COMPONENTS: Mapping[str, Mapping[str, Any]] = {"copy": COPY, "twice": TWICE, "four": FOUR_TIMES}
LANDING = {"uri": "azureml://datastores/landing/paths/x/", "jobInputType": "uri_folder"}


def job(component: str, **inputs: object) -> dict[str, Any]:
    return {"jobType": "Pipeline", "componentId": component, "inputs": inputs}


def test_a_step_gets_stored_data_literals_and_what_another_step_made() -> None:
    steps = plan(job("twice", source=LANDING, also={"value": "b"}), COMPONENTS.__getitem__).steps
    assert steps["first"].inputs == {
        "source": Data("azureml://datastores/landing/paths/x/", folder=True),
        "also": Literal("b"),
        "times": Literal("3"),
    }
    assert steps["second"].inputs == {"source": Made("first", "copy"), "times": Literal("1")}
    assert steps["second"].needs == {"first"}


def test_a_nested_pipeline_becomes_steps_of_the_whole() -> None:
    whole = plan(job("four", source=LANDING), COMPONENTS.__getitem__)
    assert set(whole.steps) == {"outer/first", "outer/second", "again/first", "again/second"}
    assert whole.steps["again/first"].needs == {"outer/second"}
    assert whole.outputs == {"result": Made("again/second", "copy")}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "Required input 'source'"),
        ({"source": LANDING, "wrong": {"value": "1"}}, "no input named wrong"),
        ({"source": {"uri": "azureml://datastores/landing/paths/x/", "jobInputType": "mltable"}}, "mltable"),
    ],
)
def test_a_job_whose_inputs_do_not_fit_its_component_is_refused(inputs: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        plan(job("twice", **inputs), COMPONENTS.__getitem__)


def test_steps_that_wait_for_each_other_are_refused() -> None:
    nodes = {
        name: {"componentId": "copy", "inputs": {"source": f"${{{{parent.jobs.{other}.outputs.copy}}}}"}}
        for name, other in [("a", "b"), ("b", "a")]
    }
    with pytest.raises(Refusal, match="a, b wait for each other"):
        plan({"jobType": "Pipeline", "jobs": nodes}, COMPONENTS.__getitem__)


@pytest.mark.parametrize(
    "change",
    [{"type": "sweep"}, {"command": ""}, {"command": "x ${{inputs.nothing}}"}, {"distribution": {"type": "mpi"}}],
)
def test_a_step_that_cannot_run_here_is_refused_when_the_job_is_submitted(change: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        plan(job("twice", source=LANDING), {**COMPONENTS, "copy": COPY | change}.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(90, timedelta(seconds=90)), ("PT1H30M", timedelta(minutes=90)), ("P1DT0.5S", timedelta(days=1, seconds=0.5))],
)
def test_a_limit_is_seconds_or_an_iso_duration(text: object, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "P", "soon", "-5"])
def test_any_other_limit_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="not a duration"):
        duration(text)


def test_an_optional_part_is_there_only_with_its_value() -> None:
    template = "run $[[--champion ${{inputs.champion}}]] ${{outputs.model}}"
    assert render(template, inputs={}, outputs={"model": "/m"}) == "run  /m"
    assert render(template, inputs={"champion": "/c"}, outputs={"model": "/m"}) == "run --champion /c /m"


@given(st.text())
def test_a_value_goes_into_the_command_untouched(value: str) -> None:
    assert render("a ${{inputs.x}} b", inputs={"x": value}, outputs={}) == f"a {value} b"
