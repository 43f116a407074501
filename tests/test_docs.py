"""The documents say what the code says: links, settings, loop files, events, functions, rules."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import to_builtins
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.errors import Misconfigured
from edge.ingest.settings import settings_from as ingest_settings
from edge.settings import settings_from
from functions import events, ports
from functions.deployed import FUNCTIONS
from functions.loops import Loop
from functions.manifests.findings import RULES
from functions.settings import Settings
from laptop.cli import HOME
from laptop.host.settings import read_host_json
from laptop.settings import app_settings
from laptop.stack import Stack
from laptop.subscriptions import subscriptions

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "docs", "docs/decisions", "laptop")
DOCUMENTS = sorted(found for folder in FOLDERS for found in (ROOT / folder).glob("*.md"))
REQUIRED = "\N{EN DASH}"
STACK = Stack("127.0.0.1", HOME)
FUNC_START_ONLY = {"AzureWebJobs.score_drift_on_telemetry.Disabled": "true"}
HEARD = (events.Event, events.DataUploaded, events.RunEnded, events.ModelRegistered, events.TrainingCodeChanged)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(document: str) -> list[list[str]]:
    """The cells of every table line, headings and rules included."""
    lines = [line.strip() for line in document.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]


def coded(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def section(document: str, heading: str) -> str:
    """From a heading to the next one, of whatever level."""
    before, found, after = document.partition(f"\n{heading}")
    assert found, f"there is no heading {heading!r} after {before[:40]!r}"
    return re.split(r"\n#", after, maxsplit=1)[0]


def anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@cache
def indexed() -> dict[str, dict[str, Any]]:
    """Name -> trigger of every function, as the worker library finds them in function_app.py."""
    script = "import json, function_app as f; print(json.dumps({g.get_function_name(): g.get_trigger().get_dict_repr()"
    script += " for g in f.app.get_functions()}, default=str))"
    environment = {**os.environ, **app_settings(STACK), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", script]
    found = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    functions: dict[str, dict[str, Any]] = json.loads(found.stdout)
    return functions


def settings_of_triggers() -> set[str]:
    options = [value for trigger in indexed().values() for value in trigger.values() if isinstance(value, str)]
    return {name for option in options for name in re.findall(r"%([^%]+)%", option)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name}: {target}"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_table_has_rows_as_wide_as_its_heading(path: Path) -> None:
    widths: list[int] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        widths = [*widths, len(rows(line)[0])] if line.startswith("|") else []
        assert len(set(widths)) <= 1, f"{path.name}: {line}"


def test_every_app_setting_is_documented_and_every_documented_one_exists() -> None:
    documented = {cells[0].strip("`") for cells in rows(section(text("docs/settings.md"), "## The function app"))[2:]}
    of_app = {str(field.alias) for field in Settings.model_fields.values()} | settings_of_triggers()
    connections = {
        f"{trigger['connection']}__fullyQualifiedNamespace" for trigger in indexed().values() if "connection" in trigger
    }
    of_host = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME", "AzureWebJobs.<function>.Disabled"}
    of_host.add("PYTHON_ENABLE_OPENTELEMETRY")
    assert documented == of_app | connections | of_host


def test_the_sample_settings_are_those_of_a_stack_and_say_where_func_start_differs() -> None:
    sample = json.loads(text("local.settings.sample.json"))
    assert sample["IsEncrypted"] is False
    assert sample["Values"] == {**app_settings(STACK), **STACK.sdk_environment(), **FUNC_START_ONLY}


def test_the_sample_settings_have_everything_that_must_be_set() -> None:
    sample = json.loads(text("local.settings.sample.json"))["Values"]
    required = {str(field.alias) for field in Settings.model_fields.values() if field.is_required()}
    assert required | settings_of_triggers() <= set(sample)
    assert set(FUNC_START_ONLY) <= {f"AzureWebJobs.{name}.Disabled" for name in indexed()}


def test_every_setting_of_the_laptop_is_documented() -> None:
    documented = {
        name for cells in rows(section(text("docs/settings.md"), "### Only on a laptop")) for name in coded(cells[0])
    }
    assert set(STACK.sdk_environment()) <= documented


def test_every_setting_of_the_edge_module_is_documented_with_its_default() -> None:
    class Asked(dict[str, str]):
        names: set[str] = set()  # noqa: RUF012 # one instance

        def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
            self.names.add(key)
            return super().get(key, default)

    key = b64encode(b"k" * 32).decode()
    asked = Asked(MODEL_STORE_URL="https://account.blob.core.windows.net/models/", MODEL_KEYS=key)
    settings = settings_from(asked)
    table = {
        cells[0].strip("`"): cells[2] for cells in rows(section(text("docs/settings.md"), "## The edge module"))[2:]
    }
    assert set(table) == asked.names
    for name, default in table.items():
        plain = default.strip("`").replace(",", "")
        if default not in ("required", "the model's name"):
            assert plain == str(getattr(settings, name.lower())), name


def test_every_setting_of_the_ingest_module_is_documented_with_its_default(tmp_path: Path) -> None:
    table = {
        cells[0].strip("`"): cells[2] for cells in rows(section(text("docs/settings.md"), "## The ingest module"))[2:]
    }
    needed = {name: str(tmp_path / name) for name, default in table.items() if default == "required"}
    settings = ingest_settings(needed)
    for name, default in table.items():
        value = getattr(settings, name.removeprefix("INGEST_").lower())
        assert str(value) == (
            needed[name] if default == "required" else f"{default.strip('`')}{'.0' * default.isdigit()}"
        )
    for name in needed:
        with pytest.raises(Misconfigured, match=name):
            ingest_settings({**needed, name: ""})


def loop_sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, dict[str, FieldInfo]]]:
    yield name, model.model_fields
    for field_name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from loop_sections(kind, f"{name}.{field_name}".strip("."))


LOOP_SECTIONS = dict(loop_sections(Loop, ""))


@pytest.mark.parametrize("name", sorted(LOOP_SECTIONS.keys() - {""}))
def test_every_field_of_a_loop_file_is_documented_with_its_default(name: str) -> None:
    document = text("docs/loops.md")
    inner = {
        "data.columns": "Each entry of `[data.columns]`",
        "rollout.ring": "Each `[[rollout.ring]]`",
        "gate.never_worse": "Each limit of `never_worse`",
    }
    whole = section(document, f"## `[{name.partition('.')[0]}]`")
    outer, _, nested = whole.partition(
        next((start for at, start in inner.items() if at.startswith(name.partition(".")[0])), "\0")
    )
    table = {cells[0].strip("`"): cells[2] for cells in rows(nested if name in inner else outer)[2:]}
    fields = LOOP_SECTIONS[name]
    assert table == {
        field: REQUIRED if about.is_required() else f"`{_toml(about.default)}`" for field, about in fields.items()
    }


def _toml(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    if isinstance(value, timedelta):
        hours = value // timedelta(hours=1)
        if value % timedelta(hours=1):
            return f'"{value // timedelta(minutes=1)} min"'
        return f'"{hours} hour"' if hours < 24 else f'"{value.days} day{"s" * (value.days > 1)}"'
    return "none" if value is None else json.dumps(value)


def test_every_section_of_a_loop_file_is_documented() -> None:
    assert set(re.findall(r"^## `\[(\w+)\]`", text("docs/loops.md"), re.MULTILINE)) == set(Loop.model_fields)


def poison_codes() -> set[str]:
    nodes = [
        node
        for path in (ROOT / "functions").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    keywords = [word for node in nodes if isinstance(node, ast.Call) for word in node.keywords if word.arg == "code"]
    texts = [str(node.value) for node in nodes if isinstance(node, ast.Constant)]
    chosen = {text for text in texts if re.fullmatch(r"TEL_[A-Z_]+", text)}  # by what is wrong with a message
    return chosen | {str(word.value.value) for word in keywords if isinstance(word.value, ast.Constant)}


def test_every_quarantine_code_is_documented_and_every_documented_one_exists() -> None:
    documented = [cells[0].strip("`") for cells in rows(section(text("docs/events.md"), "## Quarantine codes"))[2:]]
    assert sorted(documented) == sorted(poison_codes())


def test_every_finding_about_a_manifest_is_documented_with_its_severity_and_fix() -> None:
    table = rows(section(text("docs/manifests.md"), "## Codes"))[2:]
    assert table == [[f"`{code}`", rule.severity, rule.fix] for code, rule in RULES.items()]


def test_every_published_event_is_documented_with_its_fields() -> None:
    table = {cells[0].strip("`"): coded(cells[4]) for cells in rows(section(text("docs/events.md"), "## Out"))[2:]}
    published = {
        one.__name__: one
        for one in vars(events).values()
        if isinstance(one, type) and issubclass(one, events.Event) and one not in HEARD
    }
    assert set(table) == set(published)
    for name, one in published.items():
        assert [field for field in table[name] if field in one.model_fields] == list(one.model_fields), name


def test_every_metric_is_documented_with_its_attributes_and_every_documented_one_is_told() -> None:
    source = text("functions/tracing.py")
    documented = {
        cells[0].strip("`"): coded(cells[2])
        for cells in rows(section(text("docs/operations.md"), "## Metrics"))
        if len(cells) > 3
    }
    told = set(re.findall(r'create_\w+\(\s*"([a-z.]+)"', source))
    assert {name for name in documented if name.startswith("refluent.")} == told
    attributes = {name for names in documented.values() for name in names}
    assert attributes == {"loop", "slice", "decision", "function", "outcome", "code"}


def test_every_logger_is_documented() -> None:
    documented = {cells[0].strip("`") for cells in rows(section(text("docs/operations.md"), "## Logs"))[2:]}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "functions").rglob("*.py")]
    assert documented == {
        name for source in sources for name in re.findall(r'getLogger\("(refluent\.[a-z.]+)"\)', source)
    }


def flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}".strip("."))
    else:
        yield name, str(value)


def test_every_line_of_host_json_is_explained_with_its_value() -> None:
    table = rows(text("docs/host.md"))[2:]
    assert {coded(cells[0])[0]: coded(cells[1])[0] for cells in table} == dict(flat(json.loads(text("host.json"))))


def test_what_the_laptop_obeys_of_host_json_is_what_its_host_reads() -> None:
    obeyed = {coded(cells[0])[0] for cells in rows(text("docs/host.md"))[2:] if cells[3] == "obeyed"}
    read = json.loads(json.dumps(to_builtins(read_host_json(ROOT))))
    assert obeyed == {name for name, _ in flat(read)} & dict(flat(json.loads(text("host.json")))).keys()


def test_every_examination_of_the_doctor_is_documented() -> None:
    table = rows(section(text("docs/operations.md"), "## `refluent doctor`"))[2:]
    sources = [path.read_text() for path in (ROOT / "functions/operator/doctor").glob("*.py")]
    form = r'Finding\(\s*"(\w+)"|of_answer[(,]\s*"(\w+)"'
    named = {first or second for source in sources for first, second in re.findall(form, source)}
    assert {name for cells in table for name in coded(cells[0])} == named


def test_the_doctor_looks_for_the_functions_that_there_are() -> None:
    assert sorted(FUNCTIONS) == sorted(indexed())


def test_every_function_is_in_the_loops_description() -> None:
    table = {name for cells in rows(text("docs/loop.md")) if len(cells) > 3 for name in coded(cells[2])}
    assert set(indexed()) <= table


def test_every_route_asks_for_a_key() -> None:
    """BAD_INPUTS F1."""
    routes = {name: trigger["authLevel"] for name, trigger in indexed().items() if trigger["type"] == "httpTrigger"}
    assert routes
    assert {str(level).rpartition(".")[2].lower() for level in routes.values()} == {"function"}


def test_every_function_that_events_wake_is_in_the_events_description() -> None:
    woken = {name for name, trigger in indexed().items() if trigger["type"] in ("eventGridTrigger", "eventHubTrigger")}
    assert {coded(cells[2])[0] for cells in rows(section(text("docs/events.md"), "## In"))[2:]} == woken


def test_each_event_grid_function_has_its_subscription_and_no_other_has_one() -> None:
    functions = {name for name, trigger in indexed().items() if trigger["type"] == "eventGridTrigger"}
    subscribed = [one.endpoint.rpartition("=")[2] for one in subscriptions(STACK, telemetry=True)]
    assert sorted(subscribed) == sorted(functions)


def test_every_subscribed_event_type_is_documented() -> None:
    documented = {name for cells in rows(section(text("docs/events.md"), "## In")) for name in coded(cells[0])}
    assert documented == {kind for one in subscriptions(STACK, telemetry=True) for kind in one.filter.event_types}


def test_the_ports_named_are_the_ports_there_are() -> None:
    table = {cells[0].strip("`") for cells in rows(section(text("ARCHITECTURE.md"), "### Ports"))[2:]}
    assert table == {
        name for name, one in vars(ports).items() if getattr(one, "_is_protocol", False) and name != "Protocol"
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    document = path.read_text(encoding="utf-8")
    named = re.findall(r"(?m)(?:`|^\$? *)make ([a-z-]+)", document)
    assert set(named) <= targets


def test_the_forbidden_arrows_are_those_that_are_checked() -> None:
    tool = tomllib.loads(text("pyproject.toml"))["tool"]
    arrows = section(text("ARCHITECTURE.md"), "## Forbidden arrows")
    assert re.findall(r"(?m)^- (.*)$", arrows) == [contract["name"] for contract in tool["importlinter"]["contracts"]]
    banned = tool["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert {cells[0].strip("`") for cells in rows(arrows)[2:]} == set(banned)


def test_the_folder_map_names_what_is_there() -> None:
    named = [name for cells in rows(section(text("ARCHITECTURE.md"), "## Folder map"))[2:] for name in coded(cells[0])]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_decisions_have_a_number_each_and_their_four_parts() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert len({path.name[:4] for path in decisions}) == len(decisions)
    for path in decisions:
        document = path.read_text(encoding="utf-8")
        assert document.startswith(f"# {path.name[:4]} · "), path.name
        assert all(f"**{part}.**" in document for part in ("Context", "Decision", "Consequences")), path.name


def test_every_alert_has_its_place_in_the_runbook_and_every_place_its_alert() -> None:
    declared = re.findall(
        r"(?m)^ +name: '(?:\$\{prefix\})?([a-z-]+?)(?:-\$\{i\})?'$", text("infra/modules/alerts.bicep")
    )
    told = re.findall(r"(?m)^### ([a-z-]+)$", text("docs/runbook.md"))
    assert set(told) == set(declared) - {"dead-lettered"}  # the name of a criterion
    parts = ("**Means.**", "**First look.**", "**Fix.**")
    assert all(part in section(text("docs/runbook.md"), f"### {alert}") for alert in told for part in parts)


def test_what_holds_each_threat_is_there_and_so_is_what_shows_it() -> None:
    table = rows(section(text("docs/security.md"), "## What holds them"))[2:]
    assert len(table) > 20
    for threat, _, where, shown in table:
        assert [place for place in coded(where) if not (ROOT / place).exists()] == [], threat
        assert coded(shown), threat
        for path, _, name in (test.partition("::") for test in coded(shown)):
            assert re.search(rf"(?m)^def {name}\b", text(path)) if name else (ROOT / path).exists(), (
                threat,
                path,
                name,
            )


def test_tests_that_documents_name_exist() -> None:
    named = {
        name for path in DOCUMENTS for name in re.findall(r"`(tests/[\w/]+\.py)`", path.read_text(encoding="utf-8"))
    }
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
