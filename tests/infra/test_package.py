"""What is uploaded to Azure, built by the rules of .funcignore, installed and indexed as it is there."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from pathspec import GitIgnoreSpec

from bench.app_process import ROOT
from bench.package import PACKAGES, Indexed, bring, build, index, size_mib, uploaded
from tests.test_docs import indexed

UPLOADED = {
    "function_app.py",
    "functions",
    "sketch",
    "loops",
    "host.json",
    "requirements.txt",
}  # and PACKAGES, which git has not
MIB_MAX = 1.0
OF_THE_WORKER = "laptop"  # stands between this test and Microsoft's library; it is no part of the package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked, with the ZIP file beside it."""
    folder = tmp_path_factory.mktemp("upload") / "package"
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def rules() -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def found(package: Path) -> Indexed:
    """What Microsoft's worker library finds in it, on a Python that has nothing but what the package brings along."""
    bring(ROOT, package)
    return index(package)


def test_it_holds_the_app_and_nothing_beside_it() -> None:
    assert {PurePosixPath(path).parts[0] for path in uploaded(ROOT)} == UPLOADED
    assert {PurePosixPath(path).suffix for path in uploaded(ROOT)} == {".py", ".json", ".toml", ".txt"}


def test_another_reader_of_the_same_rules_leaves_out_the_same(rules: GitIgnoreSpec) -> None:
    """azd and Core Tools each have a reader of their own, written after git's."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607
    kept = [path for path in tracked.split("\0") if path and not rules.match_file(path) and (ROOT / path).is_file()]
    assert sorted(kept) == uploaded(ROOT)


@pytest.mark.parametrize(
    "path",
    [
        "local.settings.json", ".azure/dev/.env", ".refluent/stack/identity/key", ".venv/bin/python", ".git/config",
        ".git", "functions/__pycache__/loops.cpython-313.pyc", "node_modules/azurite/package.json",
        "refluent.egg-info/PKG-INFO",
    ],
)  # fmt: skip
def test_what_lies_about_in_a_checkout_is_left_out(rules: GitIgnoreSpec, path: str) -> None:
    assert rules.match_file(path)


def test_the_packages_that_the_hook_brings_are_not_left_out(rules: GitIgnoreSpec) -> None:
    brought = f"{PACKAGES}/lib/site-packages/azure/functions/__init__.py"
    parts = PurePosixPath(brought).parents
    assert not rules.match_file(brought)
    assert [str(folder) for folder in parts if str(folder) != "." and rules.match_file(f"{folder}/")] == []


def test_it_is_small(package: Path) -> None:
    assert size_mib([package.with_suffix(".zip")]) < MIB_MAX


def test_it_has_the_functions_of_the_repository(found: Indexed) -> None:
    triggers = {name: trigger["type"] for name, trigger in found.functions.items()}
    assert triggers == {name: trigger["type"] for name, trigger in indexed().items()}


def test_it_starts_on_what_it_brings_along(package: Path, found: Indexed) -> None:
    """Every module comes from the package or from Python itself; of the repository, only the test's own tool."""
    ours = {name: Path(file) for name, file in found.modules.items() if Path(file).is_relative_to(ROOT)}
    assert {name.partition(".")[0] for name in ours} == {OF_THE_WORKER}
    packed = {name: Path(file) for name, file in found.modules.items() if Path(file).is_relative_to(package)}
    own = {name for name, file in packed.items() if not file.is_relative_to(package / PACKAGES)}
    assert {name.partition(".")[0] for name in own} == {"function_app", "functions"}
    elsewhere = {file for file in found.modules.values() if file.startswith("/")} - {
        str(file) for file in packed.values()
    }
    assert [file for file in elsewhere if "site-packages" in file] == []


def test_what_is_tested_is_what_is_installed_there() -> None:
    deployed, tested = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: tested.get(name) for name in deployed} == deployed


def pins(name: str) -> Mapping[str, str]:
    """Version by package."""
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text("utf-8")))
