"""IoT Edge deployments of a loop: a base for its modules, a layer for each model version."""

import json
from collections.abc import Mapping
from hashlib import sha256

from functions.loops import Loop
from functions.manifests.model import (
    Agent,
    AgentModule,
    Base,
    Hub,
    Layer,
    Module,
    Settings,
    StoreAndForward,
    SystemModules,
)
from functions.ports import Deployment, ModelVersion
from functions.rollout.modules import catalogue, container, routes
from functions.tracing import TRACEPARENT

RUNTIME = {"edgeAgent": "mcr.microsoft.com/azureiotedge-agent:1.6", "edgeHub": "mcr.microsoft.com/azureiotedge-hub:1.6"}
KEEP_S = 7 * 24 * 3600  # what a device that is offline keeps of its telemetry
HUB_STARTS = 0


def base(loop: Loop, *, image: str, devices: str, environment: Mapping[str, str]) -> Deployment:
    """The deployment that runs the loop's modules; models reach the scoring one by layers above.

    Args:
        loop: Whose modules.
        image: Digest-pinned image of every module whose section names none.
        devices: IoT Hub target condition.
        environment: Plain settings of the scoring module; never a secret.
    """
    modules = catalogue(loop)
    scoring, *_ = modules
    made = Base(
        agent=Agent(
            system_modules=SystemModules(
                agent=AgentModule(settings=Settings(image=RUNTIME["edgeAgent"])),
                hub=Module(settings=Settings(image=RUNTIME["edgeHub"]), startup_order=HUB_STARTS),
            ),
            modules={
                one.name: container(one, image=image, environment=environment if one is scoring else {})
                for one in modules
            },
        ),
        hub=Hub(
            routes={name: route for one in modules for name, route in routes(one).items()},
            store_and_forward=StoreAndForward(keep_s=KEEP_S),
        ),
    )
    content = made.content()
    return Deployment(
        id=f"{loop.name}-base-{_digest(content)}",
        content=content,
        target=devices,
        priority=0,
        labels={"loop": loop.name},
        metrics={},
    )


def layer(loop: Loop, model: ModelVersion, ring: int, *, store: str) -> Deployment:
    """The layer that gives one ring one model version: it changes nothing but the module's twin.

    Args:
        loop: Whose model.
        model: As the registry has it.
        ring: Index of the ring.
        store: Blob endpoint of the data account.

    Returns:
        A deployment whose priority is the version, so that the newest wins in whatever order they are created.
    """
    module, version = loop.rollout.module, model.version
    carried = {name: text for name, text in model.lineage.items() if name == TRACEPARENT}  # the device's last link
    desired = {
        "model": model.model,
        "version": version,
        "sha256": model.lineage["sha256"],
        "url": f"{store.rstrip('/')}/models/{model.folder}/",
        "profile": model.lineage["profile"],
        **carried,
    }
    content = Layer(twins={module: {"model": desired}}).content()
    # Version and module come from patterns without quotes; IoT Hub's queries take no parameters
    ours = f"SELECT deviceId FROM devices.modules WHERE moduleId = '{module}'"  # noqa: S608  # see above
    failed = f"properties.reported.candidate.version = '{version}' AND properties.reported.candidate.state = 'failed'"
    return Deployment(
        id=f"{loop.name}-{version}-{loop.rollout.ring[ring].name}-{_digest(content)}",
        content=content,
        target=loop.rollout.ring[ring].devices,
        priority=int(version),
        labels={
            "loop": loop.name,
            "model": f"{model.model}:{version}",
            "ring": loop.rollout.ring[ring].name,
            **carried,
        },
        metrics={
            "ready": f"{ours} AND properties.reported.model.version = '{version}'",
            "failed": f"{ours} AND {failed}",
        },
    )


def _digest(content: Mapping[str, object]) -> str:
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]
