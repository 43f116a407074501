"""What runs around a deployment: shell scripts and azd's file, and that each step finds what it reads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter_powershell
import yaml  # type: ignore[import-untyped]  # ships no types
from tree_sitter import Language, Parser

from infra.steps import base_deployments
from tests.infra.estate import MAIN, ROOT, estate

SEVERITY = {"infra": "style", "laptop": "warning", "edge": "warning"}  # by folder
SCRIPTS = sorted(path for folder in SEVERITY for path in (ROOT / folder).rglob("*.sh"))
AZD = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
POWERSHELL = Parser(Language(tree_sitter_powershell.language()))
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_is_plain_sh(path: Path) -> None:
    assert path.read_text("utf-8").startswith("#!/bin/sh\n")
    assert path.stat().st_mode & 0o111
    subprocess.run(["/bin/sh", "-n", str(path)], check=True)


@pytest.mark.parametrize("folder", SEVERITY)
def test_shellcheck_has_nothing_to_say(folder: str) -> None:
    scripts = [str(path) for path in SCRIPTS if path.is_relative_to(ROOT / folder)]
    order = [str(SHELLCHECK), "--shell=sh", f"--severity={SEVERITY[folder]}", *scripts]
    said = subprocess.run(order, capture_output=True, text=True, check=False)
    assert said.stdout == ""


@pytest.mark.parametrize("path", sorted((ROOT / "infra").rglob("*.ps1")), ids=lambda path: path.name)
def test_a_hook_for_windows_is_powershell_to_a_grammar_of_it(path: Path) -> None:
    assert not POWERSHELL.parse(path.read_bytes()).root_node.has_error
    assert POWERSHELL.parse(path.read_bytes().replace(b"}", b"", 1)).root_node.has_error
    assert b"$ErrorActionPreference = 'Stop'" in path.read_bytes()


def test_every_hook_is_there_for_both_shells_and_does_the_same_steps() -> None:
    hooks = {**AZD["hooks"], **AZD["services"]["backend"]["hooks"]}
    assert set(hooks) == {"preprovision", "postprovision", "prepackage", "postdeploy"}
    for name, hook in hooks.items():
        assert hook["posix"] == {"shell": "sh", "run": f"infra/hooks/{name}.sh"}
        assert hook["windows"] == {"shell": "pwsh", "run": f"infra/hooks/{name}.ps1"}
        scripts = [(ROOT / hook[system]["run"]).read_text("utf-8") for system in ("posix", "windows")]
        steps = [re.findall(r"-m ([\w.]+)", script) for script in scripts]
        assert steps[0] == steps[1], name
        assert sorted(_variables(scripts[0])) == sorted(_variables(scripts[1])), name


def test_azd_deploys_this_folder_as_the_site_that_says_so() -> None:
    service = AZD["services"]["backend"]
    assert (service["project"], service["host"], service["language"]) == (".", "function", "python")
    assert AZD["infra"] == {"provider": "bicep", "path": "infra", "module": MAIN.removesuffix(".bicep")}


def test_each_step_reads_what_is_an_output_or_what_a_hook_has_set() -> None:
    infra = estate()
    hooks = [said for path, said in infra.files.items() if path.startswith("hooks/")]
    set_by_hooks = {name for said in hooks for name in re.findall(r"azd env set (\w+)", said)}
    known = infra.templates[MAIN].outputs.keys() | set_by_hooks
    assert set(base_deployments.NEEDED) <= known
    assert "AZUREML_WORKSPACE_ID" in known  # what training.register_components reads


def _variables(script: str) -> set[str]:
    """Those it reads."""
    return set(re.findall(r"\$(?:env:|\{)?([A-Z][A-Z0-9_]{3,})\b(?! =)", script)) - {"LASTEXITCODE"}
