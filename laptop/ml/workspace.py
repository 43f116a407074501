"""Azure Machine Learning on a laptop: one workspace, as the SDK speaks to it."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from azure.core.exceptions import AzureError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.event_grid.relay import Emit
from laptop.identity import TENANT, Identity, Unauthorized
from laptop.ml.answers import check_options, no_route, page, refused, unauthorized
from laptop.ml.assets import KINDS, Assets
from laptop.ml.datastores import DATASTORES, Storage, account_secret, datastore
from laptop.ml.jobs import NODES, Executor
from laptop.ml.jobs_api import JobsApi
from laptop.ml.refusal import LOCATION, Refusal, not_found
from laptop.ml.registry_api import RegistryApi
from laptop.ml.runs import WORKSPACE_GUID, Runs
from laptop.ml.submission import CLUSTER
from laptop.stack import ACCOUNT_ID, GROUP_ID, RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, WORKSPACE_ID, Stack

CONTROL = ("https://management.azure.com", "https://management.core.windows.net")  # audiences of the control plane
STUDIO = "https://ml.azure.com"  # audience of the second token a pipeline takes, and of the run history
_PROVIDER = "/providers/Microsoft.MachineLearningServices"
_ROOT = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}{_PROVIDER}/workspaces/{{workspace}}"
_OPERATION = (
    f"/subscriptions/{{subscription}}{_PROVIDER}/locations/{{location}}/mfeOperationResults/jc:{{guid}}:{{name}}"
)
_LISTING = ("listViewType", "$skip", "$top")
_STORAGE_AGAIN_S = 0.2
_REMEMBERED = 2_000  # requests that can be read back
_Handler = Callable[[Request], Awaitable[Response]]


class MlWorkspace:
    """One workspace: its registry, its datastores, its jobs and the compute that runs them.

    Args:
        stack: The stack it belongs to.
        identity: Checks the tokens of its callers.
        emit: Where its events go.
    """

    def __init__(self, stack: Stack, identity: Identity, emit: Emit) -> None:
        self._stack, self._identity = stack, identity
        self._database = _database(stack)
        self._storage = Storage(stack)
        assets, runs = Assets(self._database), Runs(self._database)
        self._executor = Executor(stack, assets, runs=runs, storage=self._storage, emit=emit)
        self._registry = RegistryApi(stack, assets, runs=runs, storage=self._storage, emit=emit)
        self._jobs = JobsApi(stack, assets, runs=runs, executor=self._executor, may_submit=self._may_submit)
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._count = 0
        self._throttled = 0

    def app(self) -> Starlette:
        """The endpoint, to be served with TLS at the stack's `ml_url`."""
        return Starlette(
            routes=[*self._workspace_routes(), *self._job_routes(), *self._registry_routes(), *self._laptop_routes()],
            exception_handlers={Refusal: refused, Unauthorized: unauthorized, HTTPException: no_route},
        )

    async def run(self) -> None:
        """Run jobs until cancelled; afterwards every process they started is gone and the state is closed."""
        try:
            for container in set(DATASTORES.values()):
                await self._ensure(container)
            await self._executor.run()
        finally:
            self._storage.close()
            self._database.close()

    async def _ensure(self, container: str) -> None:
        """Create a container, however long storage takes to come up; who started the stack knows how patient to be."""
        while True:
            try:
                await asyncio.to_thread(self._storage.ensure, container)
            except AzureError:
                await asyncio.sleep(_STORAGE_AGAIN_S)
            else:
                return

    def _workspace_routes(self) -> list[Route]:
        serve = self._served
        return [
            Route(_ROOT, serve(self._workspace), methods=["GET"]),
            Route(f"{_ROOT}/datastores", serve(self._datastores, "count", "orderByAsc", "$skip"), methods=["GET"]),
            Route(f"{_ROOT}/datastores/{{name}}", serve(self._datastore), methods=["GET"]),
            Route(f"{_ROOT}/datastores/{{name}}/listSecrets", serve(self._secrets), methods=["POST"]),
            Route(f"{_ROOT}/computes", serve(self._computes, "$skip"), methods=["GET"]),
            Route(f"{_ROOT}/computes/{{name}}", serve(self._compute), methods=["GET"]),
        ]

    def _job_routes(self) -> list[Route]:
        serve, jobs = self._served, self._jobs
        return [
            Route(f"{_ROOT}/jobs", serve(jobs.list, *_LISTING, "jobType", "tag"), methods=["GET"]),
            Route(f"{_ROOT}/jobs/{{name}}", serve(jobs.get), methods=["GET"]),
            Route(f"{_ROOT}/jobs/{{name}}", serve(jobs.put), methods=["PUT"]),
            Route(f"{_ROOT}/jobs/{{name}}/cancel", serve(jobs.cancel), methods=["POST"]),
            Route(_OPERATION, serve(jobs.operation), methods=["GET"]),
            Route(f"/history/v1.0{_ROOT}/rundata", self._served(jobs.run_data, plane=STUDIO), methods=["POST"]),
        ]

    def _registry_routes(self) -> list[Route]:
        serve, registry = self._served, self._registry
        kind = f"{_ROOT}/{{kind}}"
        version = f"{kind}/{{name}}/versions/{{version}}"
        listing = (*_LISTING, "$orderBy", "hash", "hashVersion")
        return [
            Route(kind, serve(registry.containers, *_LISTING), methods=["GET"]),
            Route(f"{kind}/{{name}}", serve(registry.container), methods=["GET"]),
            Route(f"{kind}/{{name}}/versions", serve(registry.versions, *listing), methods=["GET"]),
            Route(version, serve(registry.version), methods=["GET"]),
            Route(version, serve(registry.put), methods=["PUT"]),
            Route(f"{version}/startPendingUpload", serve(registry.start_upload), methods=["POST"]),
        ]

    def _laptop_routes(self) -> list[Route]:
        """What the real service has elsewhere, or not at all: open to whoever is on this computer."""
        return [
            Route("/discovery", self._discovery, methods=["GET"]),
            Route("/laptop/requests", self._requests, methods=["GET"]),
            Route("/laptop/throttle", self._throttle, methods=["PUT"]),
            Route("/laptop/runs/{name}", self._jobs.details, methods=["GET"]),
        ]

    def _served(self, handler: _Handler, *options: str, plane: str = "") -> _Handler:
        """Count a request and check its token, its address and its options before it is handled."""

        async def serve(request: Request) -> Response:
            self._count += 1
            self._seen.append(f"{request.method} {request.url.path.removeprefix(WORKSPACE_ID) or '/'}")
            if self._throttled:
                self._throttled -= 1
                return _too_many()
            audiences = (plane,) if plane else (*CONTROL, STUDIO)
            self._identity.claims(request.headers.get("authorization"), *audiences)
            _check_address(request)
            if not plane:
                check_options(request, options)
            return await handler(request)

        return serve

    def _may_submit(self, request: Request) -> None:
        token = request.headers.get("x-azureml-token")
        self._identity.claims(token and f"Bearer {token.removeprefix('Bearer ')}", STUDIO)

    async def _workspace(self, _: Request) -> Response:
        return JSONResponse(_workspace(self._stack))

    async def _datastores(self, request: Request) -> Response:
        return page(request, self._stack.ml_url, resources=[datastore(name) for name in DATASTORES])

    async def _datastore(self, request: Request) -> Response:
        return JSONResponse(datastore(request.path_params["name"]))

    async def _secrets(self, request: Request) -> Response:
        datastore(request.path_params["name"])
        return JSONResponse({"secretsType": "Sas", "sasToken": account_secret()})

    async def _computes(self, request: Request) -> Response:
        return page(request, self._stack.ml_url, resources=[_cluster()])

    async def _compute(self, request: Request) -> Response:
        if request.path_params["name"] != CLUSTER:
            return Response(status_code=404)  # the service answers this one without a body
        return JSONResponse(_cluster())

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse({"api": self._stack.ml_url, "history": self._stack.ml_url, "studio": STUDIO})

    async def _throttle(self, request: Request) -> Response:
        """Turn so many of the next requests away."""
        self._throttled = int((await request.json())["requests"])
        return Response(status_code=204)

    async def _requests(self, _: Request) -> Response:
        return JSONResponse({"count": self._count, "requests": list(self._seen)})


def _too_many() -> Response:
    """What the service says to whoever asks too often; a person would wait longer than this laptop says."""
    error = {"code": "TooManyRequests", "message": "The request is throttled, retry after some time."}
    return JSONResponse({"error": error}, status_code=429, headers={"Retry-After": "1"})


def _database(stack: Stack) -> sqlite3.Connection:
    folder = stack.home / "ml"
    folder.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(folder / "workspace.db", check_same_thread=False)  # read from worker threads too
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def _check_address(request: Request) -> None:
    """The request is for this workspace, and for a kind of asset that has versions."""
    expected = {"subscription": SUBSCRIPTION, "group": RESOURCE_GROUP, "workspace": WORKSPACE}
    for part, name in expected.items():
        asked = request.path_params.get(part, name)
        if asked.lower() != name.lower():
            raise Refusal(404, "ResourceNotFound", f"The {part} '{asked}' was not found; this stack has '{name}'.")
    kind = request.path_params.get("kind")
    if kind is not None and kind not in KINDS:
        raise not_found(f"The resource type workspaces/{kind} is not supported by the laptop's endpoint.")


def _workspace(stack: Stack) -> dict[str, Any]:
    return {
        "id": WORKSPACE_ID,
        "name": WORKSPACE,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": LOCATION,
        "tags": {},
        "kind": "Default",
        "sku": {"name": "Basic", "tier": "Basic"},
        "identity": {"type": "SystemAssigned", "tenantId": TENANT},
        "properties": {
            "friendlyName": WORKSPACE,
            "description": "",
            "workspaceId": WORKSPACE_GUID,
            "tenantId": TENANT,
            "storageAccount": ACCOUNT_ID,
            "keyVault": f"{GROUP_ID}/providers/Microsoft.KeyVault/vaults/{WORKSPACE}",
            "applicationInsights": f"{GROUP_ID}/providers/Microsoft.Insights/components/{WORKSPACE}",
            "containerRegistry": None,
            "discoveryUrl": f"{stack.ml_url}/discovery",
            "mlFlowTrackingUri": f"azureml://{stack.address}/mlflow/v1.0{WORKSPACE_ID}",
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Disabled",
            "hbiWorkspace": False,
            "v1LegacyMode": False,
        },
    }


def _cluster() -> dict[str, Any]:
    return {
        "id": f"{WORKSPACE_ID}/computes/{CLUSTER}",
        "name": CLUSTER,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": LOCATION,
        "tags": {},
        "properties": {
            "computeType": "AmlCompute",
            "computeLocation": LOCATION,
            "provisioningState": "Succeeded",
            "isAttachedCompute": False,
            "properties": {
                "vmSize": "LAPTOP",
                "vmPriority": "Dedicated",
                "scaleSettings": {"maxNodeCount": NODES, "minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT2M"},
                "allocationState": "Steady",
                "osType": "Linux",
            },
        },
    }
