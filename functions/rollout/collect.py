"""Deployments that reach nobody any more are deleted, long before the hub's hundredth."""

from collections.abc import Collection, Iterable

from functions.loops import Loop
from functions.ports import Deployment
from functions.rollout.records import BACK, Standing, standing
from functions.wiring import Cloud

SPARE = 2  # versions kept below the last good one


def collect(here: Cloud, loop: Loop) -> None:
    """Delete a loop's superseded layers; idempotent, and nothing that any device gets its model from."""
    told, found = standing(here.rows, loop.name), here.fleet.deployments()
    for deployment in superseded(loop.name, found, told):
        here.fleet.delete(deployment)


def superseded(loop: str, deployments: Iterable[Deployment], told: Standing) -> list[str]:
    """Ids of a loop's layers that lie under one that reaches every ring, the newest few spared.

    Kept are: what is not below the newest version that reached every ring; the last good version before it, and two
    more; pins; bases; whatever is not this loop's. A version on its way that was superseded is kept until a later one
    has reached every ring: some devices may serve it still.
    """
    done = told.last_good(10**9)
    if done is None:
        return []
    ours = {one.id: one for one in deployments if one.labels.get("loop") == loop and "pin" not in one.labels}
    layers = {
        name: version for name, one in ours.items() if (version := _version(one, loop)) and _below(one, done.version)
    }
    spared = sorted({version for version in layers.values() if not _is_back(told, version)}, reverse=True)
    return sorted(name for name in layers if _gone(ours[name], layers[name], spared[: 1 + SPARE]))


def _gone(one: Deployment, version: int, spared: Collection[int]) -> bool:
    return version not in spared or "instead_of" in one.labels


def _below(one: Deployment, done: int) -> bool:
    """Whether a layer lies under the newest one that reaches every ring; a fallback counts as what it stands for."""
    return int(one.labels.get("instead_of", one.labels["model"]).rpartition(":")[2]) < done


def _is_back(told: Standing, version: int) -> bool:
    known = told.find(version)
    return known is not None and known.state == BACK


def _version(one: Deployment, loop: str) -> int | None:
    name, _, version = one.labels.get("model", "").rpartition(":")
    return int(version) if name == loop and version.isdigit() else None
