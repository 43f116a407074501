"""Azure ML in the simulation: jobs that end in every way, and a registry that others use too."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from typing import Any

import numpy as np

from functions.ports import JobOrder, JobOutcome, ModelVersion
from functions.promotion.trigger import judge_on_run_ended
from functions.rollout.trigger import deploy_on_model_registered
from sketch.profile import Profile
from tests.fakes.cloud import FakeRegistry
from tests.messages import registered, run_completed
from tests.sim.world import World

BETTER, WORSE = "better", "worse"
HARMFUL, REFUSED = "harmful in the field", "refused by devices"  # and better, as far as the report says
PLATFORM = ("missing", "failed by the platform")  # what is started once more
BAD = (*PLATFORM, "failed", "canceled", "hangs", "no report", "no number", "no profile")
ENDS = (BETTER,) * 6 + (WORSE,) * 3 + (HARMFUL, HARMFUL, REFUSED) + BAD


FAILED = {
    "failed": JobOutcome("failed", detail="exit code 3"),
    "failed by the platform": JobOutcome("failed", detail="node lost", blame="platform"),
    "canceled": JobOutcome("canceled"),
}


@cache
def _profile(number: int) -> Profile:
    values = np.array([30.0 + number, 41.0 + 2 * number])
    return Profile.build({"temp": values}, kinds={"temp": "number"}, scores=np.array([0.1, 0.3]))


@dataclass
class SimRegistry(FakeRegistry):
    """The list of versions may lag behind."""

    world: World | None = None
    registered_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def versions(self, model: str) -> Sequence[ModelVersion]:
        assert self.world is not None
        until = self.world.scheduler.now - self.world.lag_s
        return [one for one in super().versions(model) if self.registered_at[one.model, one.version] <= until]

    def register(self, version: ModelVersion) -> bool:
        assert self.world is not None
        self.registered_at.setdefault((version.model, version.version), self.world.scheduler.now)
        return super().register(version)


class Workspace:
    """Lets jobs run and end, and tells of it.

    Args:
        world: Where they run.
        ends: How jobs may end.
        minutes: How long they may take, from and to.
    """

    def __init__(self, world: World, ends: tuple[str, ...] = ENDS, minutes: tuple[float, float] = (5, 300)) -> None:
        self.world, self.possible, self.minutes = world, ends, minutes
        self.round_s = 1.0  # jobs end at multiples of it
        self.ends: dict[str, str] = {}
        self.started: list[tuple[float, str]] = []
        self.most_jobs = world.loop.retrain.jobs_per_day
        self.orders: dict[str, JobOrder] = {}
        self.told: list[str] = []  # versions whose registration was published
        world.fake.registry = SimRegistry(world=world)
        world.watchers.append(self.watch)
        world.meddler = lambda: self.somebody_registers(world.loop.name)

    def watch(self, operation: str, arguments: tuple[Any, ...], answer: object) -> None:
        """Begin what was ordered; tell of what was registered."""
        if operation == "trainer.start" and arguments[0].name not in self.ends:
            self._begin(arguments[0])
        if operation == "registry.register" and answer and arguments[0].version not in self.told:
            self.tell(arguments[0])

    def tell(self, version: ModelVersion) -> None:
        """Publish that a version was registered."""
        self.told.append(version.version)
        message = registered(version.version, version.model)
        self.world.deliver(f"registered {version.version}", lambda: deploy_on_model_registered(message))

    def tell_again(self) -> None:
        """Every registration is published once more."""
        for model in self.world.fake.registry.models.values():
            message = registered(model.version, model.model)
            label = f"registered {model.version} again"
            self.world.deliver(label, partial(deploy_on_model_registered, message))

    def somebody_registers(self, model: str) -> None:
        """A person registers a model by hand, with the next free number."""
        registry = self.world.fake.registry
        number = max((int(version) for name, version in registry.models if name == model), default=0) + 1
        version = ModelVersion(model, str(number), "", {"by": "hand"})
        registry.register(version)
        self.tell(version)
        self.world.seen["registered by hand"] += 1

    def have(self, version: int, end: str) -> None:
        """A version that a job of ours made and registered before the story begins."""
        model, fake = self.world.loop.name, self.world.fake
        job, order = f"rt-{model}-{version}-0", {"version": str(version), "state": "registered"}
        fake.rows.insert("jobs", model, job, row={**order, "launched_at": self.world.time(), "generation": version})
        profile, listing = _profile(version), f"files of {version}".encode()
        fake.blobs.put("models", f"{model}/{version}/profile.json", profile.to_json().encode())
        fake.blobs.put("models", f"{model}/{version}/files.json", listing)
        lineage = {"job": job, "sha256": sha256(listing).hexdigest(), "profile": profile.hash}
        made = ModelVersion(model, str(version), f"{model}/{version}", lineage)
        fake.registry.register(made)
        self.ends[job] = end
        self.tell(made)

    def _begin(self, order: JobOrder) -> None:
        dice, now = self.world.dice, self.world.scheduler.now
        end = dice.pick(self.possible, "job", order.lineage["generation"], order.attempt)
        self.ends[order.name], self.orders[order.name] = end, order
        self.started.append((now, order.name))
        minutes = dice.between(*self.minutes, "minutes", order.lineage["generation"], order.attempt)
        if end != "hangs":
            when = -(-(now + 60 * minutes) // self.round_s) * self.round_s
            self.world.scheduler.at(when, lambda: self._end(order, end))

    def _end(self, order: JobOrder, end: str) -> None:
        fake, folder = self.world.fake, order.name
        if end == "missing" and fake.rows.get("jobs", order.loop, order.name) is None:
            self.world.scheduler.at(self.world.scheduler.now + 7_200, lambda: self._end(order, end))
            return  # nobody deletes a job that nobody has seen
        self.world.seen[f"job {end}"] += 1
        if end == "missing":
            del fake.trainer.orders[order.name]
        elif end in FAILED:
            fake.trainer.ended[order.name] = FAILED[end]
        else:
            for name, data in outputs(order, end).items():
                fake.blobs.put("outputs", f"{folder}/{name}", data)
            paths = {name: f"{folder}/{name}" for name in ("model", "report")}
            fake.trainer.ended[order.name] = JobOutcome("completed", paths)
        message = run_completed(order.name)
        self.world.deliver(f"ended {order.lineage['generation']}.{order.attempt}", lambda: judge_on_run_ended(message))


def outputs(order: JobOrder, end: str) -> dict[str, bytes]:
    """What a job wrote."""
    number = int(order.lineage["generation"])
    files = {
        "model/model.onnx": f"onnx of {order.name}".encode(),
        "model/signature.json": b"{}",
        "model/profile.json": _profile(number).to_json().encode(),
        "model/samples.json": b"{}",
        "report/report.json": json.dumps(_report(end, first=order.champion is None)).encode(),
    }
    missing = {"no report": "report/report.json", "no profile": "model/profile.json"}.get(end, "")
    return {name: data for name, data in files.items() if name != missing}


def _report(end: str, *, first: bool) -> dict[str, object]:
    loss = {BETTER: 0.45, WORSE: 0.65, "no number": float("nan")}.get(end, 0.45)
    return {
        "rows": 500,
        "baseline": {"log_loss": 0.6},
        "challenger": _score(loss, step=0.001),
        "champion": None if first else _score(0.5, step=0.0),
    }


def _score(loss: float, *, step: float) -> dict[str, object]:
    by_day = {f"2026-02-{day:02}": {"rows": 50, "log_loss": loss + step * day} for day in range(1, 11)}
    sites = {site: {"rows": 150, "log_loss": loss} for site in ("ewr", "jfk", "lga")}
    return {"log_loss": loss + 5.5 * step, "by_day": by_day, "by_segment": sites, "latency_ms": 1.0}
