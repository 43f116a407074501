"""The component files, as Azure Machine Learning's own SDK reads them."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[2] / "training"
STEPS = ("prepare", "train", "make_profile", "evaluate")
ALLOWED = {"numpy", "pyarrow", "lightgbm", "onnxmltools", "onnxruntime", "sketch", "training"}

READ = """
import json, os, sys
from azure.ai.ml import load_component, load_environment
folder, *steps = sys.argv[1:]
components = {name: load_component(f"{folder}/{name}.yml") for name in [*steps, "pipeline"]}
def code(component):
    with component._build_code() as built:
        found = [os.path.join(at, file) for at, _, files in os.walk(built.path) for file in files]
        return sorted(os.path.relpath(file, built.path) for file in found)
print(json.dumps({
    "errors": {name: component._validate().error_messages for name, component in components.items()},
    "commands": {name: components[name].command for name in steps},
    "environments": sorted({str(components[name].environment) for name in steps}),
    "code": code(components["train"]),
    "pipeline": [components["pipeline"].name, components["pipeline"].version],
    "inputs": {name: [value.type, bool(value.optional)] for name, value in components["pipeline"].inputs.items()},
    "outputs": sorted(components["pipeline"].outputs),
    "environment": [(made := load_environment(f"{folder}/environment.yml")).name, made.version],
}))
"""  # the SDK takes seconds to import, and warns: a process of its own


@pytest.fixture(scope="module")
def read() -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, str(TRAINING), *STEPS], capture_output=True, text=True, check=True
    )
    content: dict[str, object] = json.loads(ran.stdout)
    return content


def test_the_sdk_finds_nothing_wrong_with_the_components(read: dict[str, object]) -> None:
    assert read["errors"] == {name: {} for name in (*STEPS, "pipeline")}


def test_the_pipeline_takes_and_gives_what_the_loop_counts_on(read: dict[str, object]) -> None:
    folder, optional_folder = ["uri_folder", False], ["uri_folder", True]
    assert read["pipeline"] == ["flight_delays_pipeline", "1"]
    assert read["inputs"] == {
        "landing": folder, "training_set": folder, "champion": optional_folder, "schema": ["string", False]
    }  # fmt: skip
    assert read["outputs"] == ["model", "report"]


def test_every_option_of_a_step_is_filled_by_its_component(read: dict[str, object]) -> None:
    commands = read["commands"]
    assert isinstance(commands, dict)
    for name in STEPS:
        offered = re.findall(r'add_argument\(\s*"--([a-z-]+)"', (TRAINING / f"{name}.py").read_text())
        assert re.findall(r"--([a-z-]+) ", commands[name]) == offered, name


def test_the_code_is_the_training_package_and_the_sketches(read: dict[str, object]) -> None:
    code = read["code"]
    assert isinstance(code, list)
    assert {name.split("/")[0] for name in code} == {"training", "sketch"}
    assert {"training/train.py", "sketch/profile.py"} <= set(code)


def test_the_steps_run_in_the_environment_that_is_described(read: dict[str, object]) -> None:
    environment = read["environment"]
    assert isinstance(environment, list)
    assert read["environments"] == [":".join(environment)]


def test_the_steps_import_only_what_the_environment_has() -> None:
    modules, todo = set[str](), [f"training.{name}" for name in STEPS]
    while todo:
        name = todo.pop()
        imported = _imports(TRAINING / f"{name.removeprefix('training.')}.py")
        assert {one.partition(".")[0] for one in imported} - sys.stdlib_module_names <= ALLOWED, name
        todo += [one for one in imported if one.startswith("training.") and one not in modules]
        modules |= {name}
    assert {"training.boosting", "training.lean"} <= modules


def test_every_package_of_the_environment_is_pinned_and_needed() -> None:
    pins = dict(re.findall(r"- (\w+)==([\d.]+)", (TRAINING / "environment.yml").read_text()))
    assert set(pins) == (ALLOWED - {"sketch", "training"}) | {"onnx"}  # onnxmltools stands on it


def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += (
                [f"training.{alias.name}" for alias in node.names] if node.module == "training" else [str(node.module)]
            )
    return found
