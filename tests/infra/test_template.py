"""The templates in infra/: Bicep to three readers, sound in themselves, of one mind with the code, in the policy."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.infra import agreement, references, rights, soundness
from tests.infra.bicep.grammar import is_bicep
from tests.infra.bicep.published import FILE, types
from tests.infra.estate import CASES, FOLDER, ROOT, Estate, estate
from tests.infra.permissions import ROLES
from tests.infra.policy import POLICY

ESTATE = estate()
PATIENCE_S = 60
ENOUGH_ROLES = 10


@pytest.fixture(scope="module")
def infra() -> Estate:
    return ESTATE


def told(findings: Iterator[str]) -> list[str]:
    return sorted(set(findings))


@pytest.mark.parametrize("path", ESTATE.templates)
def test_it_is_bicep_to_the_grammar_that_editors_use(path: str) -> None:
    assert is_bicep(ESTATE.files[path])


def test_it_is_bicep_to_pycep_too() -> None:
    """In a process of its own, because there are texts on which pycep never ends."""
    paths = [str(FOLDER / path) for path in ESTATE.templates]
    order = [sys.executable, "-m", "tests.infra.bicep.pycep_reads", *paths]
    said = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    answers = [json.loads(line) for line in said.splitlines()]
    assert [path for path, _ in answers] == paths
    assert [(path, problem) for path, problem in answers if problem] == []


@pytest.mark.parametrize("check", soundness.CHECKS)
def test_the_templates_are_sound(infra: Estate, check: str) -> None:
    assert told(soundness.CHECKS[check](infra)) == []


@pytest.mark.parametrize("check", agreement.CHECKS)
def test_the_templates_mean_what_the_code_means(infra: Estate, check: str) -> None:
    assert told(agreement.CHECKS[check](infra)) == []


@pytest.mark.parametrize("check", references.CHECKS)
def test_what_is_named_is_there(infra: Estate, check: str) -> None:
    assert told(references.CHECKS[check](infra)) == []


@pytest.mark.parametrize("check", rights.CHECKS)
def test_each_right_is_needed_and_each_need_has_its_right(infra: Estate, check: str) -> None:
    assert told(rights.CHECKS[check](infra)) == []


def test_everything_that_the_code_asks_of_azure_takes_a_right_that_the_app_has() -> None:
    assert told(rights.asked_of_azure()) == []


def test_the_app_has_no_right_that_nothing_takes() -> None:
    assert told(rights.needed_by_the_code()) == []


def test_the_roles_have_the_numbers_that_microsoft_gave_them() -> None:
    """ROLES.md beside the project was read from Microsoft's documents; it shortens names, and has not all of them."""
    path = FILE.with_name("ROLES.md")
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {path.parent}: no copy is kept here")
    said = path.read_text("utf-8")
    found = {guid: words for words, guid in re.findall(r"(?:^|\| )([\w ()]+?) ([0-9a-f-]{36})", said, re.MULTILINE)}
    shared = ROLES.keys() & found.keys()
    assert len(shared) >= ENOUGH_ROLES
    assert {guid: found[guid] for guid in shared if not ROLES[guid].name.endswith(found[guid])} == {}


@pytest.mark.parametrize("sentence", POLICY)
def test_policy(infra: Estate, sentence: str) -> None:
    assert told(POLICY[sentence](infra)) == []


@pytest.mark.parametrize("case", CASES)
def test_each_case_deploys_something(infra: Estate, case: str) -> None:
    """Else every check above would find nothing wrong with nothing."""
    made = infra.worlds[case].made()
    assert len(made) > 100
    assert all(isinstance(one.name, str) and one.name for one in made)


def test_the_types_that_are_not_published_beside_the_project_are_those_that_are_said(infra: Estate) -> None:
    known = types().known
    used = {(one.type, one.api) for _, world in infra.every_world() for one in world.resources}
    assert {kind for kind, api in used if f"{kind}@{api}".lower() not in known} == soundness.NO_TYPES
