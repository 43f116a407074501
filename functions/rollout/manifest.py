"""IoT Edge deployment manifests, built as plain data: a base for the module, a layer for each model version."""

import json
from collections.abc import Mapping
from hashlib import sha256

from functions.loops import Loop
from functions.ports import Deployment, ModelVersion

CREATE_OPTIONS_CHUNK = 512  # characters; IoT Hub's limit for one twin string of createOptions
RUNTIME = {"edgeAgent": "mcr.microsoft.com/azureiotedge-agent:1.6", "edgeHub": "mcr.microsoft.com/azureiotedge-hub:1.6"}


def base(loop: Loop, *, image: str, devices: str, environment: Mapping[str, str]) -> Deployment:
    """The deployment that runs the inference module; models reach it by layers above.

    Args:
        loop: Whose module.
        image: Digest-pinned image reference.
        devices: IoT Hub target condition.
        environment: Plain settings of the module; never a secret.

    Source: IoT Edge deployment manifest, $edgeAgent and $edgeHub schema 1.1.
    """
    options = json.dumps(
        {"ExposedPorts": {"8080/tcp": {}}, "HostConfig": {"PortBindings": {"8080/tcp": [{"HostPort": "8080"}]}}}
    )
    module = {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "env": {name: {"value": value} for name, value in sorted(environment.items())},
        "settings": {"image": image, **chunked(options)},
    }
    routes = {"telemetry": f"FROM /messages/modules/{loop.rollout.module}/outputs/telemetry INTO $upstream"}
    content = {
        "$edgeAgent": {
            "properties.desired": {
                "schemaVersion": "1.1",
                "runtime": {"type": "docker", "settings": {}},
                "systemModules": {
                    "edgeAgent": {"type": "docker", "settings": {"image": RUNTIME["edgeAgent"], "createOptions": "{}"}},
                    "edgeHub": {
                        "type": "docker",
                        "status": "running",
                        "restartPolicy": "always",
                        "settings": {"image": RUNTIME["edgeHub"], "createOptions": "{}"},
                    },
                },
                "modules": {loop.rollout.module: module},
            }
        },
        "$edgeHub": {
            "properties.desired": {
                "schemaVersion": "1.1",
                "routes": routes,
                "storeAndForwardConfiguration": {"timeToLiveSecs": 604800},
            }
        },
    }
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
    desired = {
        "model": model.model,
        "version": version,
        "sha256": model.lineage["sha256"],
        "url": f"{store.rstrip('/')}/models/{model.folder}/",
        "profile": model.lineage["profile"],
    }
    content: dict[str, object] = {"$edgeAgent": {}, module: {"properties.desired.model": desired}}
    # Version and module come from patterns without quotes; IoT Hub's queries take no parameters
    ours = f"SELECT deviceId FROM devices.modules WHERE moduleId = '{module}'"  # noqa: S608  # see above
    failed = f"properties.reported.candidate.version = '{version}' AND properties.reported.candidate.state = 'failed'"
    return Deployment(
        id=f"{loop.name}-{version}-{loop.rollout.ring[ring].name}-{_digest(content)}",
        content=content,
        target=loop.rollout.ring[ring].devices,
        priority=int(version),
        labels={"loop": loop.name, "model": f"{model.model}:{version}", "ring": loop.rollout.ring[ring].name},
        metrics={
            "ready": f"{ours} AND properties.reported.model.version = '{version}'",
            "failed": f"{ours} AND {failed}",
        },
    )


def chunked(options: str) -> Mapping[str, str]:
    """Split createOptions as IoT Edge wants it: `createOptions`, `createOptions01`, … of at most 512 characters.

    Source: IoT Edge agent, settings of a docker module.
    """
    parts = [options[at : at + CREATE_OPTIONS_CHUNK] for at in range(0, len(options), CREATE_OPTIONS_CHUNK)] or ["{}"]
    return {f"createOptions{n:02}" if n else "createOptions": part for n, part in enumerate(parts)}


def _digest(content: Mapping[str, object]) -> str:
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]
