"""Gives the fleet of every loop its base deployment: the modules that run on a device before any model is there.

Usage: ``python -m infra.steps.base_deployments``. EDGE_IMAGE is the edge image by digest, MODEL_KEYS the public keys
that devices trust, IOTHUB_HOSTNAME the hub and DATA_BLOB_ENDPOINT the model store. Whoever `DefaultAzureCredential`
finds needs `Microsoft.Devices/IotHubs/configurations/*` on the hub.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from azure.identity import DefaultAzureCredential

from functions.cloud.iothub import HubFleet
from functions.errors import LoopError, Refused
from functions.loops import Loop, load
from functions.model_folder import CONTAINER
from functions.ports import Fleet
from functions.rollout.manifest import base

NEEDED = ("IOTHUB_HOSTNAME", "DATA_BLOB_ENDPOINT", "MODEL_KEYS")


def deploy(fleet: Fleet, loops: Mapping[str, Loop], *, image: str, environment: Mapping[str, str]) -> list[str]:
    """Create each loop's base deployment unless it stands already.

    Args:
        fleet: The hub.
        loops: By name.
        image: Digest-pinned image of every module that names none itself.
        environment: Plain settings of the scoring modules.

    Returns:
        Ids of the deployments, one a loop.

    Raises:
        Refused: An id is taken by other content.
    """
    done = []
    for loop in loops.values():
        wanted = base(loop, image=image, devices=everybody(loop), environment=environment)
        if not fleet.apply(wanted):
            why, fix = "its id stands in the hub with other content", "find out who made it; delete it, then run again"
            raise Refused(f"base deployment {wanted.id}", why=why, fix=fix)
        done.append(wanted.id)
    return done


def everybody(loop: Loop) -> str:
    """Target condition of every device that some ring of the loop reaches."""
    conditions = dict.fromkeys(ring.devices.strip() for ring in loop.rollout.ring)
    return "*" if "*" in conditions else " OR ".join(f"({condition})" for condition in conditions)


def main() -> int:
    """Deploy, and say what was done; 1 with a sentence when it cannot be."""
    image = os.environ.get("EDGE_IMAGE", "")
    if not image:
        print("no base deployment: EDGE_IMAGE is not set; docs/azure.md, The edge image, says how to make one")
        return 0
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"no base deployment: {', '.join(missing)} is not set; run it as azd's hook", file=sys.stderr)
        return 1
    store = f"{os.environ['DATA_BLOB_ENDPOINT'].rstrip('/')}/{CONTAINER}/"
    environment = {"MODEL_STORE_URL": store, "MODEL_KEYS": os.environ["MODEL_KEYS"]}
    try:
        loops = load(Path(os.environ.get("LOOPS_FOLDER", "loops")))
        fleet = HubFleet(os.environ["IOTHUB_HOSTNAME"], DefaultAzureCredential())
        done = deploy(fleet, loops, image=image, environment=environment)
    except LoopError as problem:
        print(f"no base deployment: {problem}", file=sys.stderr)
        return 1
    print("\n".join(f"deployed {name}" for name in done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
