"""Manifests as people write them, to be broken in one place."""

import json
from copy import deepcopy
from typing import Any

from functions.manifests.check import check
from functions.manifests.findings import Finding
from functions.manifests.read import read

type Json = dict[str, Any]

PINNED = "contoso.azurecr.io/filter@sha256:" + "ab" * 32


def module(**changes: object) -> Json:
    """A sound module of a user."""
    settings = {"image": PINNED, "createOptions": "{}"}
    return {"type": "docker", "status": "running", "restartPolicy": "always", "settings": settings} | changes


def base() -> Json:
    """A sound base with one module."""
    agent = {
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {}},
        "systemModules": {
            "edgeAgent": {"type": "docker", "settings": {"image": PINNED}},
            "edgeHub": module(),
        },
        "modules": {"filter": module()},
    }
    hub = {
        "schemaVersion": "1.1",
        "routes": {"up": "FROM /messages/modules/filter/outputs/* INTO $upstream"},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }
    return {"modulesContent": {"$edgeAgent": {"properties.desired": agent}, "$edgeHub": {"properties.desired": hub}}}


def changed(path: str, value: object) -> Json:
    """The sound base with one place changed; `...` removes it. `A` and `H` begin at the desired properties."""
    whole = deepcopy(base())
    start = {"A": "modulesContent/$edgeAgent/properties.desired", "H": "modulesContent/$edgeHub/properties.desired"}
    first, _, rest = path.partition("/")
    *way, last = f"{start.get(first, first)}/{rest}".strip("/").split("/")
    at = whole
    for name in way:
        at = at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return whole


def found(document: object, *registries: str, name: str = "deployment.json") -> list[Finding]:
    """What is wrong with a document, or with bytes."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return check(read(data, name=name), registries=registries)


def codes(document: object, severity: str = "error") -> set[str]:
    """The codes of one severity."""
    return {one.code for one in found(document) if one.severity == severity}
