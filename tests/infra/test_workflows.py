"""What GitHub runs: pinned, with no more rights than it needs, and the same commands as everywhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from tests.infra.estate import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
ACTIONS = sorted((FOLDER / "actions").glob("*/action.yml"))
PINNED = re.compile(r"uses: (?:\$/[\w./-]+|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$")
OURS = ROOT / ".ci" / "run"


def jobs(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return said


def steps(path: Path) -> Iterator[dict[str, Any]]:
    said = yaml.safe_load(path.read_text("utf-8"))
    yield from (
        said["runs"]["steps"] if "runs" in said else (step for job in said["jobs"].values() for step in job["steps"])
    )


def test_zizmor_has_nothing_to_say() -> None:
    order = [
        str(Path(sys.executable).with_name("zizmor")),
        "--offline",
        "--no-progress",
        "--quiet",
        "--color=never",
        str(FOLDER),
    ]
    said = subprocess.run(order, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.startswith("No findings to report")) == (0, True), said.stdout


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_action_is_pinned_to_a_commit_and_says_its_version(path: Path) -> None:
    used = [line.strip().removeprefix("- ") for line in path.read_text("utf-8").splitlines() if "uses: " in line]
    assert [line for line in used if not PINNED.fullmatch(line)] == []
    assert used


def test_one_action_is_one_commit_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in (*WORKFLOWS, *ACTIONS):
        for name, commit in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", path.read_text("utf-8")):
            pins.setdefault(name.lower(), set()).add(commit)
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_only_the_rights_that_it_names(path: Path) -> None:
    assert yaml.safe_load(path.read_text("utf-8"))["permissions"] == {}
    for name, job in jobs(path).items():
        rights = {"contents": "read", **({"id-token": "write"} if "environment" in job else {})}
        assert job["permissions"] == rights, name
        assert job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: str(path.relative_to(FOLDER)))
def test_there_is_no_secret_and_no_text_from_outside_in_a_script(path: Path) -> None:
    assert "secrets." not in path.read_text("utf-8")
    assert [step for step in steps(path) if "${{" in step.get("run", "")] == []


def test_a_push_is_tested_by_the_commands_of_everybody() -> None:
    runs = [
        step["run"]
        for job in jobs(FOLDER / "workflows" / "test.yml").values()
        for step in job["steps"]
        if "run" in step
    ]
    ours = [line for line in OURS.read_text("utf-8").splitlines() if line.startswith("make ")]
    assert [run for run in runs if run.startswith("make ")] == ours
    assert "infra/check.sh --required" in runs


def test_only_a_person_deploys_and_only_into_an_environment() -> None:
    deploy = jobs(FOLDER / "workflows" / "deploy.yml")["deploy"]
    assert deploy["if"] == "github.event_name == 'workflow_dispatch'"
    assert deploy["environment"] == "${{ inputs.environment }}"
    shown = jobs(FOLDER / "workflows" / "deploy.yml")["what-if"]
    assert "azd provision --preview --no-prompt" in [step.get("run") for step in shown["steps"]]
    assert not any("azd deploy" in step.get("run", "") for step in shown["steps"])


def test_every_variable_that_is_asked_of_an_environment_is_one_that_something_reads() -> None:
    said = (FOLDER / "workflows" / "deploy.yml").read_text("utf-8").partition("name: deploy")[0]
    asked = set(re.findall(r"\b[A-Z][A-Z]+_[A-Z_]+\b", said))
    read = set(re.findall(r"\$\{(\w+)", (ROOT / "infra" / "main.parameters.json").read_text("utf-8")))
    steps_read = {
        name for path in (ROOT / "infra" / "steps").glob("*.py") for name in re.findall(r"[A-Z_]{6,}", path.read_text())
    }
    assert asked <= read | steps_read | {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}
