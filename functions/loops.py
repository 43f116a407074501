"""loops/*.toml as typed loops; a broken file stops the start with its line, the reason and the fix."""

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from functions.errors import LoopError, Refused
from functions.quantities import ManyHours, Size, Span

LARGEST_FILE = 256 * 2**20  # bytes; the most that Blob Storage copies in one request
LONGEST_WINDOW = 366  # days; what happened longer ago is not believed: functions/telemetry.py
LONGEST_WAIT = 31  # days; drift that is judged or told later helps nobody
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]


Output = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]


class _Misfit(ValueError):
    """A part of the file does not fit another one.

    Args:
        place: What to change, below the table that noticed, such as "drift.features".
        why: For a person.
    """

    def __init__(self, place: str, why: str) -> None:
        super().__init__(why)
        self.place = tuple(place.split("."))


def _each_once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names a column twice: {', '.join(twice)}")
    return names


def _at_most(days: int) -> AfterValidator:
    def check(length: timedelta) -> timedelta:
        if length > timedelta(days=days):
            raise ValueError(f"is longer than {days} days")
        return length

    return AfterValidator(check)


Names = Annotated[list[str], AfterValidator(_each_once)]


class Section(BaseModel):
    """One table of a loop file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Identity(Section):
    """[loop]: what the loop is for, and where."""

    model: Slug
    purpose: str
    sites: Annotated[list[Slug], Field(min_length=1)]


class Column(Section):
    """One column of the uploaded files: what it holds, and what it may hold."""

    type: Literal["number", "category", "label"]
    whole: bool = False
    min: float | None = None
    max: float | None = None
    nulls: Annotated[float, Field(ge=0, le=1, description="share of a file's rows")] = 1.0
    values: Annotated[list[str], Field(description="empty allows any")] = []

    @model_validator(mode="after")
    def _ranges_are_of_numbers(self) -> "Column":
        if self.type != "number" and (self.whole or self.min is not None or self.max is not None):
            raise ValueError("only a number can be whole, or have a min and a max")
        if self.type != "category" and self.values:
            raise ValueError("only a category has values")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"its min {self.min:g} is above its max {self.max:g}")
        return self


class Data(Section):
    """[data]: what may land, and what it looks like."""

    container: Slug = "landing"
    formats: Annotated[list[Literal["parquet", "csv", "any"]], Field(min_length=1)] = ["parquet"]
    at_most_file_size: Annotated[Size, Field(gt=0, le=LARGEST_FILE, validate_default=True)] = "64 MB"  # type: ignore[assignment] # becomes bytes
    at_most_rows: Annotated[int, Field(ge=1)] = 1_000_000
    at_most_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    transfer_manifest: bool = False
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _one_label(self) -> "Data":
        labels = [name for name, column in self.columns.items() if column.type == "label"]
        if len(labels) != 1 or len(labels) == len(self.columns):
            raise ValueError(f"needs one label and at least one feature; labels found: {labels}")
        return self

    @cached_property
    def label(self) -> str:
        """The column that training predicts."""
        return next(name for name, column in self.columns.items() if column.type == "label")

    @cached_property
    def features(self) -> dict[str, str]:
        """Feature name -> "number" or "category", in the order of the file."""
        return {name: column.type for name, column in self.columns.items() if column.type != "label"}


class Retrain(Section):
    """[retrain]: when training is worth its money."""

    quiet_for: Span
    at_most_wait: Span
    at_least_files: Annotated[int, Field(ge=1)]
    at_least_bytes: Size = 0
    at_least_rows: Annotated[int, Field(ge=0)] = 0
    at_most_files: Annotated[int, Field(ge=1)] = 100_000
    at_most_share_of_one_site: Annotated[float, Field(gt=0, le=1, description="of the files of one generation")] = 1.0
    at_least_every: Span | None = None
    train_on: Annotated[str, Field(pattern=r"^(new|all|last [1-9]\d{0,3} days?)$")] = "all"
    cool_down: Span
    jobs_per_day: Annotated[int, Field(ge=1, le=1000)]
    job_at_most: Span = timedelta(days=1)
    jobs_at_once: Annotated[int, Field(ge=1, le=1000)] = 1
    euros_per_month: Annotated[float, Field(gt=0)] | None = None
    euros_per_hour: Annotated[float, Field(ge=0, description="of the compute")] | None = None
    not_between: ManyHours = ()
    on_drift: Literal["retrain", "when harmful", "report"]
    labels_within: Span = timedelta(days=1)
    pipeline: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+:[0-9A-Za-z.]+$", description="component:version")]
    compute: str
    experiment: str
    identity: Literal["managed", "user_identity"] | None = None
    tags: dict[str, Annotated[str, Field(max_length=256)]] = {}

    @model_validator(mode="after")
    def _limits_can_be_met(self) -> "Retrain":
        if (self.euros_per_month is None) != (self.euros_per_hour is None):
            place = "euros_per_month" if self.euros_per_month else "euros_per_hour"
            raise _Misfit(place, "euros_per_month needs euros_per_hour, and the other way round")
        if self.at_least_files > self.at_most_files:
            raise _Misfit("at_least_files", f"at_least_files is more than at_most_files, {self.at_most_files}")
        return self


type Metric = Literal["log_loss", "brier"]

METRICS = {"log_loss": "log loss", "brier": "Brier score", "auc": "AUC"}  # as people call them


class Limit(Section):
    """One entry of gate.never_worse: what a challenger may lose, and where it is looked for."""

    by: Literal["site", "slice", "all"]
    metric: Literal["log_loss", "brier", "auc"] = "log_loss"
    than: Annotated[float, Field(ge=0)]


def _several(found: object) -> object:
    return [found] if isinstance(found, dict) else found


class Gate(Section):
    """[gate]: what a better model is."""

    metric: Metric = "log_loss"
    margin: Annotated[float, Field(ge=0, description="of the metric, per row")]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    promote: Literal["if proven better", "unless proven worse"] = "if proven better"
    never_worse: Annotated[list[Limit], BeforeValidator(_several)] = []
    at_most_slower: Annotated[float, Field(ge=1, description="times the champion's latency")] | None = None


class Ring(Section):
    """[[rollout.ring]]: the devices that get a new model at the same time, and what they must show before the next."""

    name: Slug
    devices: Annotated[str, Field(min_length=3, description="an IoT Hub target condition")]
    count: Annotated[int, Field(ge=0, le=200, description="so many of these devices; 0 for all")] = 0
    percent: Annotated[int, Field(ge=1, le=100, description="so many per cent of these devices")] = 100
    dwell: Span
    at_least_devices: Annotated[int, Field(ge=0)] = 0
    at_least_requests: Annotated[int, Field(ge=0)] = 0
    at_least_rows: Annotated[int, Field(ge=0)] = 0
    at_least_outcomes: Annotated[int, Field(ge=0)] = 0
    ready_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    refused_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    grace: Span = timedelta(hours=1)
    approval: bool = False


class Rollout(Section):
    """[rollout]: how a model reaches the fleet, and what it may not do there."""

    module: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")] = "inference"
    hours: Annotated[str, Field(pattern=r"^$|^([01]?\d|2[0-3])-([01]?\d|2[0-4])$", description="UTC, from-to")] = ""
    shadow_for: Span = timedelta(0)
    shadow_may_differ: Annotated[float, Field(gt=0, description="mean distance of two scores")] = 0.2
    compare_every: Annotated[Span, Field(gt=timedelta(0))] = timedelta(hours=1)
    scores_may_move: Annotated[float, Field(gt=0, le=1, description="share of rows")] = 0.2
    failures_may_rise: Annotated[float, Field(gt=0, le=1, description="share of requests")] = 0.02
    latency_may_grow: Annotated[float, Field(gt=1, le=1000, description="times")] = 4.0
    loss_may_grow: Annotated[float, Field(gt=1, description="times, where outcomes are known")] = 1.1
    false_alarm: Annotated[float, Field(gt=0, le=0.5, description="risk that a good version is rolled back")] = 0.01
    stalled_after: Annotated[Span, Field(gt=timedelta(0), description="beyond what a ring asks for")] = timedelta(
        days=2
    )
    ring: Annotated[list[Ring], Field(min_length=1)]

    @model_validator(mode="after")
    def _rings_are_told_apart(self) -> "Rollout":
        names = [ring.name for ring in self.ring]
        if len(set(names)) != len(names):
            raise ValueError(f"two rings have one name: {names}")
        if any(ring.count and ring.percent < 100 for ring in self.ring):  # noqa: PLR2004  # all of them
            raise ValueError("a ring takes a count of its devices or a percentage, not both")
        return self


class Module(Section):
    """[[module]]: a container beside the model's own, or how the model's own is run."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    image: Annotated[str, Field(pattern=r"^([^/@\s]+/[^@\s:]+@sha256:[0-9a-f]{64})?$")] = ""
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], str] = {}
    ports: dict[Annotated[str, Field(pattern=r"^\d{1,5}/(tcp|udp)$")], Annotated[int, Field(ge=1, le=65_535)]] = {}
    shares: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]+$")], Annotated[str, Field(pattern=r"^/[\w./-]+$")]
    ] = {}
    gpu: Literal["none", "stack edge", "docker"] = "none"
    memory: Size = 0
    starts: Annotated[int, Field(ge=0, le=2**32 - 1)] = 10
    restart: Literal["always", "on-unhealthy", "on-failure", "never"] = "always"
    sends: list[Output] = []
    feeds: dict[Output, Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*/[A-Za-z0-9_-]+$")]] = {}


class Drift(Section):
    """[drift]: what to watch, and how seldom to cry wolf."""

    features: Names
    pairs: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(max_length=32)] = []
    contexts: Annotated[Names, Field(max_length=4)] = []
    window_rows: Annotated[int, Field(ge=30, le=10_000_000)] = 200
    window_at_most: Annotated[Span, Field(gt=timedelta(0)), _at_most(LONGEST_WINDOW)] = timedelta(hours=1)
    lateness: Annotated[Span, _at_most(LONGEST_WAIT)] = timedelta(minutes=10)
    false_alarm_every: Annotated[int, Field(ge=100, le=10**12, description="windows")] = 100_000
    tolerance: Annotated[float, Field(ge=0, lt=1, description="change of a share that is nobody's concern")] = 0.0
    scores: bool = True
    calm_windows: Annotated[int, Field(ge=1, le=10_000, description="without an alarm, and a drift is over")] = 24
    harm: Annotated[float, Field(gt=0, le=100, description="so much more loss than promised, as a share of it")] = 0.1
    tell_after: Annotated[
        Span, _at_most(LONGEST_WAIT), Field(description="how long a drift waits for further devices")
    ] = timedelta(minutes=5)


class Loop(Section):
    """One model's way round: data, training, gate, rollout, drift."""

    loop: Identity
    data: Data
    retrain: Retrain
    gate: Gate
    rollout: Rollout
    drift: Drift
    module: list[Module] = []

    @model_validator(mode="after")
    def _modules_fit(self) -> "Loop":
        names = [one.name for one in self.module]
        if len(set(names)) < len(names):
            raise _Misfit("module", f"two [[module]] have the same name: {names}")
        fed = {place.partition("/")[0] for one in self.module for place in one.feeds.values()}
        if unknown := sorted(fed - {*names, self.rollout.module}):
            raise _Misfit("module", f"a [[module]] feeds modules that are not there: {unknown}")
        return self

    @model_validator(mode="after")
    def _watched_features_exist(self) -> "Loop":
        unknown = [name for name in self.drift.features if name not in self.data.features]
        if unknown:
            raise _Misfit("drift.features", f"names columns that data.columns does not have: {unknown}")
        return self

    @model_validator(mode="after")
    def _pairs_are_of_numbers(self) -> "Loop":
        for left, right in self.drift.pairs:
            if left == right or not self.data.features.get(left) == self.data.features.get(right) == "number":
                raise _Misfit("drift.pairs", f"needs two different features that are numbers; got {left} and {right}")
        if len({frozenset(pair) for pair in self.drift.pairs}) < len(self.drift.pairs):
            raise _Misfit("drift.pairs", "names a pair twice")
        return self

    @model_validator(mode="after")
    def _contexts_can_be_told(self) -> "Loop":
        for name in self.drift.contexts:
            column = self.data.columns.get(name)
            if name != "site" and (column is None or column.type == "label"):
                raise _Misfit("drift.contexts", f"{name!r} is neither a feature nor the site: no device could tell it")
            if column and column.type == "number" and not column.whole:
                raise _Misfit("drift.contexts", f"{name!r} is not declared whole: a context is a count")
        return self

    @model_validator(mode="after")
    def _sites_can_share(self) -> "Loop":
        share, sites = self.retrain.at_most_share_of_one_site, len(self.loop.sites)
        if share * sites < 1:
            why = f"{sites} sites with a share of at most {share} each make no whole"
            raise _Misfit("retrain.at_most_share_of_one_site", why)
        return self

    @property
    def name(self) -> str:
        """The loop goes by its model's name."""
        return self.loop.model


def load(folder: Path) -> Mapping[str, Loop]:
    """Read every loop file of a folder.

    Returns:
        Loops by name, in the order of their file names.

    Raises:
        Refused: The folder has no loop, or a file is not a usable one.
    """
    loops = {path.stem: read(path) for path in sorted(folder.glob("*.toml"))}
    if not loops:
        raise Refused(f"no loop in {folder}/", why="the folder has no .toml file", fix="add one; see docs/loops.md")
    return loops


def each(loops: Mapping[str, Loop], act: Callable[[Loop], None]) -> None:
    """Act on every loop; one that fails does not keep its neighbours waiting.

    Raises:
        ExceptionGroup: What failed, once every loop had its turn.
    """
    failed: list[LoopError] = []
    for loop in loops.values():
        try:
            act(loop)
        except LoopError as problem:
            failed.append(problem)
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(loops)} loops could not go on", failed)


def read(path: Path) -> Loop:
    """Read one loop file, whose name must be the model's name.

    Raises:
        Refused: The file is not TOML, or not a loop; the error names the line.
    """
    text = path.read_text(encoding="utf-8")
    try:
        loop = Loop.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise Refused(f"{path.name} is not TOML", why=str(problem), fix="mend the line named above") from problem
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        misfit = first.get("ctx", {}).get("error")
        place = (*first["loc"], *(misfit.place if isinstance(misfit, _Misfit) else ()))
        raise Refused(
            f"{path.name}, line {_line(text, place)}: {'.'.join(map(str, place)) or 'the file'} is not usable",
            why=first["msg"].removeprefix("Value error, "),
            fix="compare it with loops/flight-delays.toml and docs/loops.md",
        ) from problem
    if loop.name != path.stem:
        raise Refused(
            f"{path.name}: the file is named after another loop",
            why=f"loop.model is {loop.name!r}",
            fix=f"rename the file to {loop.name}.toml",
        )
    return loop


def _line(text: str, place: tuple[int | str, ...]) -> int:
    """Line of the deepest part of a place that the file spells out; 1 where none is."""
    line, lines = 0, text.splitlines()
    for part, index in pairwise((*place, 0)):
        if isinstance(part, int):
            continue
        spelled = re.compile(rf"^\s*(\[+[\w.\s]*\b{re.escape(part)}\s*\]+|{re.escape(part)}\s*=)")
        found = [n for n, row in enumerate(lines, 1) if n > line and spelled.match(row)]
        nth = index if isinstance(index, int) else 0
        line = found[min(nth, len(found) - 1)] if found else line
    return max(line, 1)
