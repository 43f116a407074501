"""The workspace's compute: runs submitted jobs for real, and says how they get on."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from azure.core.exceptions import AzureError

from laptop.event_grid.relay import Emit, Event
from laptop.ml.assets import Assets
from laptop.ml.datastores import DATASTORES, Place, Storage, place
from laptop.ml.graph import Data, Literal, Plan, Source, Step, plan
from laptop.ml.process import Ending, run_step
from laptop.ml.references import code_at, component_of, output_uri, stored_at
from laptop.ml.refusal import Refusal, user_error
from laptop.ml.runs import ENDED, Run, Runs, StepRun, now
from laptop.stack import WORKSPACE_ID, Stack

NODES = 2  # jobs at once, and steps at once: the size of the laptop's cluster
ATTEMPTS = 3  # a job that runs whenever the stack goes down is not taken up for ever


class Executor:
    """Runs the jobs of one workspace on its few nodes.

    Args:
        stack: The stack it belongs to.
        assets: The registry, for components, code and data.
        runs: The jobs.
        storage: The stack's blob service.
        emit: Where events go.
    """

    def __init__(self, stack: Stack, assets: Assets, *, runs: Runs, storage: Storage, emit: Emit) -> None:
        self._stack, self._assets, self._runs, self._storage, self._emit = stack, assets, runs, storage, emit
        self._jobs, self._steps = asyncio.Semaphore(NODES), asyncio.Semaphore(NODES)
        self._arrived: asyncio.Queue[str] = asyncio.Queue()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def submit(self, name: str) -> None:
        """Start a job that is kept in the runs; returns at once."""
        self._arrived.put_nowait(name)

    async def cancel(self, name: str) -> None:
        """Ask a job to end; it is Canceled once its processes are gone."""
        asked = self._runs.save(replace(self._runs.get(name), status="CancelRequested"))
        if name in self._tasks:
            self._tasks[name].cancel()
        await self._tell(asked, "RunStatusChanged", runStatus=asked.status.lower())

    async def run(self) -> None:
        """Run jobs until cancelled, those of an earlier start first.

        When it is cancelled, every step's processes are gone before it returns; unfinished jobs stay so and are
        started again, from their first step, by the next call.
        """
        for run in self._runs.unfinished():
            self.submit(run.name)
        async with asyncio.TaskGroup() as group:
            while True:
                name = await self._arrived.get()
                if name not in self._tasks:
                    self._tasks[name] = group.create_task(self._job(name))

    async def _job(self, name: str) -> None:
        try:
            await self._attempt(name)
        except asyncio.CancelledError:
            if self._runs.get(name).status != "CancelRequested":
                raise  # the stack stops; the job is taken up again when it starts
            await self._end(name, "Canceled")
        except Refusal as problem:
            await self._end(name, "Failed", error=str(problem))
        except (AzureError, OSError) as problem:
            await self._end(name, "Failed", error=str(problem), blame="ServiceError")
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder(name), ignore_errors=True)
            del self._tasks[name]

    async def _attempt(self, name: str) -> None:
        run = self._runs.get(name)
        if run.status in ENDED:
            return
        if run.status == "CancelRequested":
            await self._end(name, "Canceled")
            return
        if run.attempts >= ATTEMPTS:
            why = f"The stack stopped {ATTEMPTS} times while this job ran."
            await self._end(name, "Failed", error=why, blame="ServiceError")
            return
        job = plan(run.submitted, partial(component_of, self._assets))
        await self._move(name, "Queued", attempts=run.attempts + 1, steps=_unstarted(run, job))
        async with self._jobs:
            await self._perform(name, job)

    async def _perform(self, name: str, job: Plan) -> None:
        folder = self._folder(name)
        await self._move(name, "Preparing")
        paths = await asyncio.to_thread(self._fetch, job, folder)
        await self._move(name, "Running", started=now())
        failed = await self._run_steps(name, job, paths)
        if failed:
            await self._end(name, "Failed", error=self._reasons(name, failed))
            return
        await self._move(name, "Finalizing")
        await asyncio.to_thread(self._keep, self._runs.get(name), job)
        await self._end(name, "Completed")

    async def _run_steps(self, name: str, job: Plan, paths: Mapping[str, Path]) -> list[str]:
        """Run every step whose inputs get made; the names of the steps that failed."""
        failed: list[str] = []
        tasks: dict[str, asyncio.Task[bool]] = {}

        async def perform(step: Step) -> bool:
            made = [await tasks[needed] for needed in step.needs]
            async with self._steps:
                if not all(made) or (failed and not job.go_on):
                    return False
                ending = await self._step(name, step, paths)
            if ending.failed:
                failed.append(step.name)
            return not ending.failed

        async with asyncio.TaskGroup() as group:
            for step in job.steps.values():
                tasks[step.name] = group.create_task(perform(step))
        return failed

    async def _step(self, name: str, step: Step, paths: Mapping[str, Path]) -> Ending:
        run = self._runs.get(name)
        started = replace(run.steps[step.name], status="Running")
        self._runs.step(name, started)
        home = self._folder(name)
        inputs = {key: _value(source, home, paths) for key, source in step.inputs.items()}
        ending = await run_step(
            step,
            _step_folder(home, step.name),
            inputs=inputs,
            code=paths.get(step.code or ""),
            variables=self._variables(run, started),
        )
        ended = replace(
            started,
            status="Failed" if ending.failed else "Completed",
            exit_code=ending.exit_code,
            log=ending.log,
        )
        self._runs.step(name, ended)
        log = Place(DATASTORES["workspaceartifactstore"], f"ExperimentRun/dcid.{ended.run_id}/user_logs/std_log.txt")
        await asyncio.to_thread(self._storage.store, ending.log_file, log)
        return ending

    def _variables(self, run: Run, step: StepRun) -> dict[str, str]:
        """What the service tells a step about where it runs, and how to reach the stack."""
        _, _, subscription, _, group, *_, workspace = WORKSPACE_ID.split("/")
        return {
            **self._stack.sdk_environment(),
            "AZUREML_RUN_ID": step.run_id,
            "AZUREML_ROOT_RUN_ID": run.name,
            "AZUREML_EXPERIMENT_NAME": run.experiment,
            "AZUREML_ARM_SUBSCRIPTION": subscription,
            "AZUREML_ARM_RESOURCEGROUP": group,
            "AZUREML_ARM_WORKSPACE_NAME": workspace,
        }

    def _fetch(self, job: Plan, folder: Path) -> dict[str, Path]:
        """Copy the job's stored inputs and its code next to it; where each one is, by URI or code id."""
        shutil.rmtree(folder, ignore_errors=True)
        paths: dict[str, Path] = {}
        for step in job.steps.values():
            for name, source in step.inputs.items():
                if isinstance(source, Data) and source.uri not in paths:
                    paths[source.uri] = self._fetch_data(name, source, folder / "data" / str(len(paths)))
            if step.code and step.code not in paths:
                paths[step.code] = folder / "code" / str(len(paths))
                self._storage.download(code_at(self._assets, step.code), paths[step.code])
        return paths

    def _fetch_data(self, name: str, source: Data, target: Path) -> Path:
        stored = stored_at(self._assets, self._runs, source.uri)
        if not source.folder:
            file = target / stored.path.rsplit("/", 1)[-1]
            self._storage.fetch(stored, file)
            return file
        if not self._storage.download(stored, target):
            raise user_error(f"The input {name} is empty: there is nothing at {stored.container}/{stored.path}.")
        return target

    def _keep(self, run: Run, job: Plan) -> None:
        """Store the job's outputs where the job says, or where the service would."""
        for name, made in job.outputs.items():
            target = place(output_uri(run, name))
            path = _step_folder(self._folder(run.name), made.step) / "outputs" / made.output
            if job.steps[made.step].outputs[made.output]:
                self._storage.upload(path, target)
            else:
                self._storage.store(path, target)

    def _reasons(self, name: str, failed: list[str]) -> str:
        steps = self._runs.get(name).steps
        return "\n".join(
            f"Step {step} failed with exit code {steps[step].exit_code}. Its log ends:\n{steps[step].log}"
            for step in failed
        )

    async def _end(self, name: str, status: str, *, error: str = "", blame: str = "UserError") -> None:
        ended = await self._move(name, status, error=error, blame=blame, ended=now())
        if status == "Completed":
            await self._tell(ended, "RunCompleted")

    async def _move(self, name: str, status: str, **changes: Any) -> Run:  # noqa: ANN401 - fields of a Run
        run = self._runs.save(replace(self._runs.get(name), status=status, **changes))
        await self._tell(run, "RunStatusChanged", runStatus=status.lower())
        return run

    async def _tell(self, run: Run, what: str, **more: str) -> None:
        data: dict[str, object] = {
            "experimentId": run.experiment_id,
            "experimentName": run.experiment,
            "runId": run.name,
            "runType": None,
            "runTags": run.properties["tags"],
            "runProperties": run.properties["properties"],
            **more,
        }
        subject = f"experiments/{run.experiment_id}/runs/{run.name}"
        await self._emit(Event(WORKSPACE_ID, subject, f"Microsoft.MachineLearningServices.{what}", data))

    def _folder(self, name: str) -> Path:
        return self._stack.home / "ml" / "jobs" / name


def _value(source: Source, home: Path, paths: Mapping[str, Path]) -> str:
    """What a placeholder becomes: a literal, or a path on this computer."""
    if isinstance(source, Literal):
        return source.value
    if isinstance(source, Data):
        return str(paths[source.uri])
    return str(_step_folder(home, source.step) / "outputs" / source.output)


def _step_folder(home: Path, step: str) -> Path:
    return home / "steps" / step.replace("/", ".")


def _unstarted(run: Run, job: Plan) -> dict[str, StepRun]:
    ids = {
        name: str(uuid5(NAMESPACE_URL, f"{WORKSPACE_ID}/jobs/{run.name}/{run.attempts}/{name}")) for name in job.steps
    }
    return {name: StepRun(name, run_id) for name, run_id in ids.items()}
