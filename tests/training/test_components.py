"""The component files, as Azure Machine Learning's own SDK reads them."""

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

TRAINING = Path(__file__).parents[2] / "training"
STEPS = ("prepare", "train", "make_profile", "evaluate")
ALLOWED = {"numpy", "pyarrow", "lightgbm", "onnxmltools", "onnxruntime", "sketch", "training"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning"),  # azure-ai-ml at import
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning"),  # likewise
]


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    """The steps' components and the pipeline's, as the SDK reads them."""
    from azure.ai.ml import load_component  # noqa: PLC0415 - takes seconds, which collecting tests should not

    return {name: load_component(TRAINING / f"{name}.yml") for name in (*STEPS, "pipeline")}


def test_the_sdk_finds_nothing_wrong_with_the_components(components: dict[str, Any]) -> None:
    errors = {name: component._validate().error_messages for name, component in components.items()}
    assert errors == {name: {} for name in (*STEPS, "pipeline")}


def test_the_pipeline_takes_and_gives_what_the_loop_counts_on(components: dict[str, Any]) -> None:
    folder, optional_folder = ("uri_folder", False), ("uri_folder", True)
    pipeline = components["pipeline"]
    assert (pipeline.name, pipeline.version) == ("flight_delays_pipeline", "3")
    assert {name: (value.type, bool(value.optional)) for name, value in pipeline.inputs.items()} == {
        "landing": folder, "training_set": folder, "champion": optional_folder, "schema": ("string", False)
    }  # fmt: skip
    assert sorted(pipeline.outputs) == ["model", "report"]


def test_every_option_of_a_step_is_filled_by_its_component(components: dict[str, Any]) -> None:
    for name in STEPS:
        offered = re.findall(r'add_argument\(\s*"--([a-z-]+)"', (TRAINING / f"{name}.py").read_text())
        assert re.findall(r"--([a-z-]+) ", components[name].command) == offered, name


def test_the_code_is_the_training_package_and_the_sketches(components: dict[str, Any]) -> None:
    with components["train"]._build_code() as built:
        code = {path.relative_to(built.path).as_posix() for path in Path(built.path).rglob("*") if path.is_file()}
    assert {name.split("/")[0] for name in code} == {"training", "sketch"}
    assert {"training/train.py", "sketch/profile.py"} <= code


def test_the_steps_run_in_the_environment_that_is_described(components: dict[str, Any]) -> None:
    from azure.ai.ml import load_environment  # noqa: PLC0415 - see above

    environment = load_environment(TRAINING / "environment.yml")
    assert {str(components[name].environment) for name in STEPS} == {f"{environment.name}:{environment.version}"}


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
