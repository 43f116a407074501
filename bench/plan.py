"""Planning a change on a big fleet of 10,000 devices and 5 layers, from the hub's answers to the last risk."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bench.figures import Figures
from functions.loops import Loop, read
from functions.operator.foresee import Outlook, foresee
from functions.ports import Deployment, ModelVersion
from functions.rollout.manifest import base, layer
from tests.fakes.cloud import FakeCloud

DEVICES, LAYERS, SITES, TIMES = 10_000, 5, 40, 7
IMAGE = "refluent.azurecr.io/inference@sha256:" + "5" * 64
STORE = "https://refluent.blob.core.windows.net"


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    where: Path | None = parser.parse_args().json
    here, loop = fleet(DEVICES), read(Path("loops/flight-delays.toml"))
    seconds, groups = [], 0
    for _ in range(TIMES):
        started = perf_counter()
        seen = foresee(here, loop, str(LAYERS + 1))
        groups = len(json.loads(_told(seen))["groups"])
        seconds.append(perf_counter() - started)
    figures = Figures("refluent plan, the hub's answers at hand")
    figures.single("devices", DEVICES, of="devices")
    figures.single("layers", LAYERS, of="layers on the base")
    figures.single("groups", groups, of="groups of devices with the same deployments")
    figures.single("seconds", sorted(seconds)[TIMES // 2], of="median time of a plan, seconds")
    figures.spread("plan_s", seconds, of="a plan")
    figures.tell(where)


def fleet(devices: int) -> FakeCloud:
    """A hub with a base, and five layers of which each reaches fewer sites than the one before."""
    here, loop = FakeCloud(), read(Path("loops/flight-delays.toml"))
    ids = [f"device-{number:05}" for number in range(devices)]
    made: list[Deployment] = [base(loop, image=IMAGE, devices="everyone", environment={})]
    here.fleet.matching["everyone"] = ids
    for version in range(1, LAYERS + 1):
        model = _registered(here, loop, version)
        target = f"tags.wave >= {version}"
        made.append(replace(layer(loop, model, 1, store=STORE), target=target))
        here.fleet.matching[target] = [name for number, name in enumerate(ids) if number % SITES >= 5 * version]
    _registered(here, loop, LAYERS + 1)
    for ring, share in zip(loop.rollout.ring, (SITES, 1), strict=True):
        here.fleet.matching[ring.devices] = ids[::share]
    for one in made:
        here.fleet.apply(one)
    return here


def _registered(here: FakeCloud, loop: Loop, version: int) -> ModelVersion:
    lineage = {"job": f"job-{version}", "sha256": f"{version:064x}", "profile": "p"}
    model = ModelVersion(loop.name, str(version), f"{loop.name}/{version}", lineage)
    here.registry.register(model)
    return model


def _told(seen: Outlook) -> str:
    groups: Sequence[object] = [
        {"devices": len(group.devices), "changes": len(group.changes), "findings": len(group.findings)}
        for group in seen.touched
    ]
    return json.dumps({"groups": groups, "risks": [one.code for one in seen.risks], "rollback": seen.rollback})


if __name__ == "__main__":
    main()
