"""The workspace's jobs as they are now: what was submitted, how far it got, and why it failed."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from laptop.ml.assets import system_data
from laptop.ml.refusal import not_found
from laptop.stack import WORKSPACE_ID

WORKSPACE_GUID = str(uuid5(NAMESPACE_URL, WORKSPACE_ID))
ENDED = ("Completed", "Failed", "Canceled")


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of a job.

    Args:
        name: Its place in the graph.
        run_id: The id of its own run, part of its log's address.
        status: As the service spells it, such as Running.
        exit_code: The command's exit status, or None until it has ended.
        log: The end of what it wrote, or an empty text.
    """

    name: str
    run_id: str
    status: str = "NotStarted"
    exit_code: int | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One job.

    Args:
        name: The job's name, unique in the workspace.
        submitted: The properties it was submitted with; never changes.
        properties: The ARM resource's properties; tags and description may change.
        status: As the service spells it.
        created: When it was submitted.
        attempts: How often it was started; more than once after the stack was stopped in the middle.
        error: Why it failed, or an empty text.
        blame: Code of that error, as the history service spells it.
        steps: Its steps by name.
        started: When its steps started, or None.
        ended: When it ended, or None.
    """

    name: str
    submitted: Mapping[str, Any]
    properties: Mapping[str, Any]
    status: str
    created: datetime
    attempts: int = 0
    error: str = ""
    blame: str = "UserError"
    steps: Mapping[str, StepRun] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.properties["experimentName"])

    @property
    def experiment_id(self) -> str:
        """The experiment's guid, part of every event's subject."""
        return str(uuid5(NAMESPACE_URL, f"{WORKSPACE_ID}/experiments/{self.experiment}"))

    def resource(self) -> dict[str, Any]:
        """The ARM resource."""
        properties = {**self.properties, "status": self.status}
        if self.started and properties["jobType"] == "Pipeline":
            properties["properties"] = {**properties["properties"], "azureml.pipelines.stages": self._stages()}
        return {
            "id": f"{WORKSPACE_ID}/jobs/{self.name}",
            "name": self.name,
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": properties,
            "systemData": system_data(self.created, self.ended or self.created),
        }

    def _stages(self) -> str:
        execution = {
            "StartTime": self.started.isoformat() if self.started else None,
            "EndTime": self.ended.isoformat() if self.ended else None,
            "Status": self.status,
        }
        return json.dumps({"Initialization": None, "Execution": execution})


class Runs:
    """All jobs, kept in the workspace's database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS runs"
                " (sequence INTEGER PRIMARY KEY, name TEXT UNIQUE, status TEXT, record TEXT)"
            )

    def find(self, name: str) -> Run | None:
        """One job, or None."""
        rows = self._database.execute("SELECT record FROM runs WHERE name = ?", (name,))
        return next((_read(record) for (record,) in rows), None)

    def get(self, name: str) -> Run:
        """One job.

        Raises:
            Refusal: There is none.
        """
        found = self.find(name)
        if found is None:
            raise not_found(f"Job {name} not found.")
        return found

    def every(self) -> list[Run]:
        """All jobs, newest first."""
        return [_read(record) for (record,) in self._database.execute("SELECT record FROM runs ORDER BY sequence DESC")]

    def unfinished(self) -> list[Run]:
        """Jobs that have not ended, oldest first."""
        return [run for run in reversed(self.every()) if run.status not in ENDED]

    def save(self, run: Run) -> Run:
        """Keep a job as it is now."""
        with self._database:
            self._database.execute(
                "INSERT INTO runs (name, status, record) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET status = excluded.status, record = excluded.record",
                (run.name, run.status, _written(run)),
            )
        return run

    def step(self, name: str, step: StepRun) -> None:
        """Keep one step of a job as it is now."""
        run = self.get(name)
        self.save(replace(run, steps={**run.steps, step.name: step}))


def now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def _written(run: Run) -> str:
    return json.dumps(
        {
            "name": run.name,
            "submitted": run.submitted,
            "properties": run.properties,
            "status": run.status,
            "created": run.created.isoformat(),
            "attempts": run.attempts,
            "error": run.error,
            "blame": run.blame,
            "steps": [[step.name, step.run_id, step.status, step.exit_code, step.log] for step in run.steps.values()],
            "started": run.started and run.started.isoformat(),
            "ended": run.ended and run.ended.isoformat(),
        }
    )


def _read(record: str) -> Run:
    fields = json.loads(record)
    steps = [StepRun(*step) for step in fields.pop("steps")]
    for key in ("created", "started", "ended"):
        fields[key] = fields[key] and datetime.fromisoformat(fields[key])
    return Run(**fields, steps={step.name: step for step in steps})
