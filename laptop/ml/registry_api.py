"""The registry over HTTP: data, code, environments, components and models."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from laptop.event_grid.relay import Emit, Event
from laptop.ml.answers import json_object, page, properties, view
from laptop.ml.assets import KINDS, Assets, Kind, Version
from laptop.ml.datastores import Storage, container_secret
from laptop.ml.references import stored_at, version_of
from laptop.ml.refusal import not_found, unsupported, user_error
from laptop.ml.runs import WORKSPACE_GUID, Runs
from laptop.stack import ACCOUNT_ID, WORKSPACE_ID, Stack

_ORDERS = ("createdtime desc", "createdtime asc")


class RegistryApi:
    """Answers for everything that has versions.

    Args:
        stack: The stack, for addresses.
        assets: The registry.
        runs: The jobs, whose outputs may become models.
        storage: Where uploads go.
        emit: Where events go.
    """

    def __init__(self, stack: Stack, assets: Assets, *, runs: Runs, storage: Storage, emit: Emit) -> None:
        self._stack, self._assets, self._runs, self._storage, self._emit = stack, assets, runs, storage, emit

    async def containers(self, request: Request) -> Response:
        """All assets of one kind."""
        found = self._assets.containers(_kind(request), view=view(request))
        return page(request, self._stack.ml_url, resources=found)

    async def container(self, request: Request) -> Response:
        """One asset, without its versions."""
        return JSONResponse(self._assets.container(_kind(request), request.path_params["name"]))

    async def versions(self, request: Request) -> Response:
        """The versions of one asset, newest first unless asked otherwise."""
        kind, name = _kind(request), request.path_params["name"]
        found = self._listed(request, kind, name)
        order = request.query_params.get("$orderBy", _ORDERS[0])
        if order not in _ORDERS:
            raise user_error(f"The order '{order}' is not supported; use one of: {', '.join(_ORDERS)}.")
        if order.endswith("asc"):
            found.reverse()
        return page(request, self._stack.ml_url, resources=[version.resource() for version in found])

    async def version(self, request: Request) -> Response:
        """One version."""
        kind, name, version = _named(request)
        return JSONResponse(self._assets.get(kind, name, version).resource())

    async def put(self, request: Request) -> Response:
        """Register a version, or change its tags."""
        kind, name, version = _named(request)
        content = await properties(request)
        self._check(kind, content)
        stored, is_new = self._assets.put(kind, name, version, properties=content)
        if is_new and kind.collection == "models":
            await self._emit(_registered(stored))
        return JSONResponse(stored.resource(), status_code=201 if is_new else 200)

    async def start_upload(self, request: Request) -> Response:
        """A fresh container to upload a code folder into, with a signature that allows it."""
        if (kind := _kind(request)).collection != "codes":
            raise unsupported(f"An upload for {kind.collection}")
        asked = (await json_object(request)).get("pendingUploadType", "TemporaryBlobReference")
        if asked != "TemporaryBlobReference":
            raise unsupported(f"The upload type {asked}")
        container = f"{WORKSPACE_GUID[:8]}-{uuid.uuid4()}"
        address = await asyncio.to_thread(self._storage.ensure, container)
        credential = {"credentialType": "SAS", "sasUri": f"{address}?{container_secret(container)}"}
        reference = {"blobUri": address, "storageAccountArmId": ACCOUNT_ID, "credential": credential}
        return JSONResponse(
            {
                "pendingUploadId": str(uuid.uuid4()),
                "pendingUploadType": asked,
                "blobReferenceForConsumption": reference,
            }
        )

    def _listed(self, request: Request, kind: Kind, name: str) -> list[Version]:
        if content := request.query_params.get("hash"):
            return self._assets.with_hash(content)
        found = self._assets.versions(kind, name, view=view(request))
        if not found and not self._assets.versions(kind, name, view="All"):
            raise not_found(f"{kind.noun.capitalize()} container with name: {name} not found.")
        return found

    def _check(self, kind: Kind, content: Mapping[str, Any]) -> None:
        """What an asset refers to exists."""
        for field in ("dataUri", "modelUri"):
            if content.get(field):
                stored_at(self._assets, self._runs, str(content[field]))
        specification = content.get("componentSpec") or {}
        if not isinstance(specification, Mapping):
            raise user_error(f"The componentSpec of a {kind.noun} is an object.")
        for field, collection in (("code", "codes"), ("environment", "environments")):
            reference = str(specification.get(field) or "")
            if WORKSPACE_ID.lower() in reference.lower():
                version_of(self._assets, reference, collection)


def _kind(request: Request) -> Kind:
    return KINDS[request.path_params["kind"]]


def _named(request: Request) -> tuple[Kind, str, str]:
    return _kind(request), request.path_params["name"], request.path_params["version"]


def _registered(model: Version) -> Event:
    """Source: the ModelRegistered sample of Event Grid's documentation, with its PascalCase and its integer version."""
    version = model.version
    data: dict[str, object] = {
        "ModelName": model.name,
        "ModelVersion": int(version) if version.isdigit() else version,
        "ModelTags": model.properties["tags"],
        "ModelProperties": model.properties["properties"],
    }
    subject = f"models/{model.name}:{version}"
    return Event(WORKSPACE_ID, subject, "Microsoft.MachineLearningServices.ModelRegistered", data)
