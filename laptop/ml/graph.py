"""The graph of a job: which steps it runs, on what, and where its outputs come from. Pure: nothing is run here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from laptop.ml.command import render
from laptop.ml.refusal import unsupported, user_error

_PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.(\w+)\s*\}\}")
_STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.(\w+)\.outputs\.(\w+)\s*\}\}")
_PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.(\w+)\s*\}\}")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_FOLDERS = ("uri_folder", "custom_model")


@dataclass(frozen=True, slots=True)
class Literal:
    """An input that is a value."""

    value: str


@dataclass(frozen=True, slots=True)
class Data:
    """An input that is stored: a folder, or one file."""

    uri: str
    folder: bool


@dataclass(frozen=True, slots=True)
class Made:
    """An input that another step of the job writes."""

    step: str
    output: str


Source = Literal | Data | Made


@dataclass(frozen=True, slots=True)
class Step:
    """One command to run.

    Args:
        name: Its place in the graph, such as ``train``, or ``outer/train`` inside a nested pipeline.
        command: The command line, placeholders included.
        code: The ARM id of its code folder, or None.
        inputs: Where each input comes from; an optional one without a value is absent.
        outputs: Each output, and whether it is a folder.
        timeout: How long it may take, or None for the executor's own limit.
        environment: Variables to set.
    """

    name: str
    command: str
    code: str | None
    inputs: Mapping[str, Source]
    outputs: Mapping[str, bool]
    timeout: timedelta | None
    environment: Mapping[str, str]

    @property
    def needs(self) -> set[str]:
        """The steps that must finish first."""
        return {source.step for source in self.inputs.values() if isinstance(source, Made)}


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole job.

    Args:
        steps: Its steps by name, in no particular order.
        outputs: Which step's output each output of the job is.
        go_on: Whether independent steps still run once one has failed.
    """

    steps: Mapping[str, Step]
    outputs: Mapping[str, Made]
    go_on: bool = True


Component = Callable[[str], Mapping[str, Any]]
"""Looks a registered component's specification up by its ARM id; raises Refusal when there is none."""


def plan(job: Mapping[str, Any], component: Component) -> Plan:
    """What a job of the service's jobs API runs.

    Args:
        job: The properties of the job resource.
        component: The registry's components.

    Raises:
        Refusal: The job is unsound, or uses something this endpoint does not run.
    """
    match job.get("jobType"):
        case "Command":
            return _command_job(job)
        case "Pipeline":
            return _pipeline_job(job, component)
        case other:
            raise unsupported(f"The job type {other}")


def _command_job(job: Mapping[str, Any]) -> Plan:
    given = {name: found for name, value in (job.get("inputs") or {}).items() if (found := source(value, {}, {}))}
    outputs = {name: _is_folder(value) for name, value in (job.get("outputs") or {}).items() if name != "default"}
    step = _step("command", job, given=given, outputs=outputs, settings=job)
    return Plan({"command": step}, {name: Made("command", name) for name in outputs})


def _pipeline_job(job: Mapping[str, Any], component: Component) -> Plan:
    given = {name: found for name, value in (job.get("inputs") or {}).items() if (found := source(value, {}, {}))}
    settings = job.get("settings") or {}
    scope = _Scope(component)
    if job.get("componentId"):
        specification = component(job["componentId"])
        if specification.get("type") != "pipeline":
            raise user_error(f"{job['componentId']} is not a pipeline component.")
        given = _bound(specification, given, owner=str(job["componentId"]))
        outputs = scope.expand(specification.get("jobs") or {}, given)
        if unknown := set(job.get("outputs") or {}) - set(specification.get("outputs") or {}):
            raise user_error(f"The component has no output named {', '.join(sorted(unknown))}.")
    else:
        outputs = scope.expand(job.get("jobs") or {}, given)
    if not scope.steps:
        raise user_error("The pipeline has no steps.")
    missing = set(job.get("outputs") or {}) - set(outputs)
    if missing:
        raise user_error(f"No step writes the output {', '.join(sorted(missing))}.")
    go_on = str(settings.get("continue_on_step_failure", True)).lower() != "false"
    return Plan(scope.steps, outputs, go_on)


@dataclass(slots=True)
class _Scope:
    """One pipeline being expanded; nested pipelines expand into the same steps."""

    component: Component
    steps: dict[str, Step] = field(default_factory=dict)

    def expand(
        self, nodes: Mapping[str, Mapping[str, Any]], given: Mapping[str, Source], *, prefix: str = ""
    ) -> dict[str, Made]:
        made: dict[str, dict[str, Made]] = {}
        waiting = dict(nodes)
        while waiting:
            ready = [name for name, node in waiting.items() if _needs(node) <= set(made)]
            if not ready:
                raise user_error(f"The steps {', '.join(sorted(waiting))} wait for each other or for a missing step.")
            for name in ready:
                made[name] = self._node(f"{prefix}{name}", waiting.pop(name), given=given, made=made)
        return {
            bound: made[name][output]
            for name, node in nodes.items()
            for output, bound in _exports(node).items()
            if output in made[name]
        }

    def _node(
        self, name: str, node: Mapping[str, Any], *, given: Mapping[str, Source], made: Mapping[str, Mapping[str, Made]]
    ) -> dict[str, Made]:
        identifier = str(node.get("componentId") or node.get("component"))
        specification = self.component(identifier)
        inputs = {
            key: found for key, value in (node.get("inputs") or {}).items() if (found := source(value, given, made))
        }
        inputs = _bound(specification, inputs, owner=f"{identifier} (step {name})")
        match specification.get("type"):
            case "command":
                outputs = {key: _is_folder(value) for key, value in (specification.get("outputs") or {}).items()}
                self.steps[name] = _step(name, specification, given=inputs, outputs=outputs, settings=node)
                return {output: Made(name, output) for output in outputs}
            case "pipeline":
                return self.expand(specification.get("jobs") or {}, inputs, prefix=f"{name}/")
            case other:
                raise unsupported(f"The component type {other} (step {name})")


def source(value: object, given: Mapping[str, Source], made: Mapping[str, Mapping[str, Made]]) -> Source | None:
    """Where an input comes from, as the jobs API spells it.

    Args:
        value: The input: a literal, a stored asset, or an expression.
        given: The inputs of the pipeline around it.
        made: The outputs of the steps beside it.

    Returns:
        The source, or None when it is bound to an optional input that has no value.

    Raises:
        Refusal: It refers to something that is not there, or has a type this endpoint does not carry.
    """
    if isinstance(value, Mapping):
        kind = value.get("jobInputType") or value.get("job_input_type") or value.get("type") or "literal"
        if value.get("uri"):
            return Data(str(value["uri"]), folder=_is_folder({"type": kind}))
        value = value.get("value")
    if value is None:
        return None
    text = str(value)
    if bound := _PARENT_INPUT.fullmatch(text):
        return given.get(bound[1])
    if bound := _STEP_OUTPUT.fullmatch(text):
        try:
            return made[bound[1]][bound[2]]
        except KeyError:
            raise user_error(f"The expression {text} refers to an output that does not exist.") from None
    return Literal(_PARENT_INPUT.sub(lambda found: _literal(given, found[1], text), text))


def duration(value: object) -> timedelta | None:
    """A time limit: seconds, or an ISO 8601 duration such as PT30M; None when there is none.

    Raises:
        Refusal: It is neither.
    """
    if value is None:
        return None
    text = str(value)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return timedelta(seconds=float(text))
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise user_error(f"The timeout {text} is not a duration; use seconds, or a form like PT30M.")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _step(
    name: str,
    specification: Mapping[str, Any],
    *,
    given: Mapping[str, Source],
    outputs: Mapping[str, bool],
    settings: Mapping[str, Any],
) -> Step:
    for owner in (specification, settings):
        _refuse_several_nodes(owner, name)
    limits = settings.get("limits") or {}
    variables = {**(specification.get("environment_variables") or {}), **(settings.get("environmentVariables") or {})}
    variables |= settings.get("environment_variables") or {}
    command = str(specification.get("command") or "")
    if not command.strip():
        raise user_error(f"The step {name} has no command.")
    try:
        render(command, inputs=dict.fromkeys(given, ""), outputs=dict.fromkeys(outputs, ""))
    except ValueError as problem:
        raise user_error(f"The step {name} cannot run: {problem}") from problem
    return Step(
        name=name,
        command=command,
        code=specification.get("code") or specification.get("codeId"),
        inputs=given,
        outputs=outputs,
        timeout=duration(limits.get("timeout")),
        environment={key: str(value) for key, value in variables.items()},
    )


def _bound(specification: Mapping[str, Any], given: Mapping[str, Source], *, owner: str) -> dict[str, Source]:
    """The inputs a component runs with: those given, and its defaults."""
    declared = specification.get("inputs") or {}
    if unknown := set(given) - set(declared):
        raise user_error(f"{owner} has no input named {', '.join(sorted(unknown))}.")
    inputs = dict(given)
    for name, declaration in declared.items():
        if name in inputs:
            continue
        if declaration.get("default") is not None:
            inputs[name] = Literal(str(declaration["default"]))
        elif str(declaration.get("optional", False)).lower() != "true":
            raise user_error(f"Required input '{name}' for component {owner} not provided.", "RequiredInputMissing")
    return inputs


def _needs(node: Mapping[str, Any]) -> set[str]:
    values = (
        value.get("value") if isinstance(value, Mapping) else value for value in (node.get("inputs") or {}).values()
    )
    return {found[1] for value in values for found in _STEP_OUTPUT.finditer(str(value))}


def _exports(node: Mapping[str, Any]) -> dict[str, str]:
    """Which outputs of a node are outputs of the pipeline around it, and under which name."""
    exports = {}
    for name, value in (node.get("outputs") or {}).items():
        expression = value.get("value") if isinstance(value, Mapping) else value
        if bound := _PARENT_OUTPUT.fullmatch(str(expression)):
            exports[name] = bound[1]
        elif isinstance(value, Mapping) and value.get("uri"):
            raise unsupported(f"A path on a step's own output ({name}); bind it to an output of the pipeline, which")
    return exports


def _literal(given: Mapping[str, Source], name: str, text: str) -> str:
    found = given.get(name)
    if not isinstance(found, Literal):
        raise user_error(f"The expression {text} needs a literal value for {name}.")
    return found.value


def _is_folder(declaration: Mapping[str, Any]) -> bool:
    kind = declaration.get("jobOutputType") or declaration.get("job_output_type") or declaration.get("type")
    if kind in _FOLDERS:
        return True
    if kind == "uri_file":
        return False
    raise unsupported(f"The input or output type {kind}")


def _refuse_several_nodes(settings: Mapping[str, Any], name: str) -> None:
    resources = settings.get("resources") or {}
    count = resources.get("instance_count") or resources.get("instanceCount") or 1
    if settings.get("distribution") or int(count) > 1:
        raise unsupported(f"Running the step {name} on more than one node")
