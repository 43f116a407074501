"""Azure Container Registry's tasks on a laptop: the same questions and answers; buildah builds, where there is one.

Images stay in buildah's own storage, below the stack's home. Refused, with ARM's error envelope: everything when there
is no buildah, and every kind of run but a Docker build of an uploaded source.

Source: Microsoft.ContainerRegistry 2019-06-01-preview, taskRuns and listBuildSourceUploadUrl.
"""

import asyncio
import io
import json
import re
import secrets
import shutil
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laptop.identity import Identity, Unauthorized
from laptop.stack import REGISTRY_ID, Stack

API_VERSION = "2019-06-01-preview"
MANAGEMENT = "https://management.azure.com"
SERVER = "localhost"  # the name of buildah's own storage
SOURCE_BYTES_MAX = 1024**3
TAIL = 400  # characters of a build's log that its error ends with
_NAME = re.compile(r"[A-Za-z0-9-]{5,50}")
_IMAGE = re.compile(r"(?P<repository>[a-z0-9][a-z0-9._/-]{0,200}):(?P<tag>\w[\w.-]{0,127})")

type Json = dict[str, Any]


class Refusal(Exception):
    """A request that the service would not carry out either, or that a laptop cannot."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Registry:
    """The tasks of one registry.

    Args:
        stack: Whose.
        identity: Checks the tokens.
        url: Where this endpoint is reached.
    """

    def __init__(self, stack: Stack, identity: Identity, url: str) -> None:
        self._home, self._identity, self._url = stack.home / "registry", identity, url.rstrip("/")
        self._builds: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        """The endpoint."""
        runs = f"{REGISTRY_ID}/taskRuns/{{name}}"
        upload = f"{REGISTRY_ID}/listBuildSourceUploadUrl"
        return Starlette(
            routes=[
                Route(upload, self._managed(self._offer_upload), methods=["POST"]),
                Route(runs, self._managed(self._show), methods=["GET"]),
                Route(runs, self._managed(self._order), methods=["PUT"]),
                Route("/source/{key}", self._take_source, methods=["PUT"]),
            ]
        )

    def _managed(self, act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._identity.claims(request.headers.get("authorization"), MANAGEMENT)
                _check_version(request)
                return await act(request)
            except Unauthorized as problem:
                return _error(401, "AuthenticationFailed", str(problem))
            except Refusal as problem:
                return _error(problem.status, problem.code, str(problem))

        return answer

    async def _offer_upload(self, _: Request) -> Response:
        key = secrets.token_hex(16)
        self._folder("source").joinpath(f"{key}.offered").touch()
        return JSONResponse({"relativePath": f"source/{key}", "uploadUrl": f"{self._url}/source/{key}"})

    async def _take_source(self, request: Request) -> Response:
        """What Blob Storage does in Azure; the key in the URL is all that it asks for."""
        key = request.path_params["key"]
        offered = self._folder("source") / f"{key}.offered"
        if not key.isalnum() or not offered.is_file():
            return _error(403, "AuthenticationFailed", "This place was not offered.")
        body = await request.body()
        if len(body) > SOURCE_BYTES_MAX:
            return _error(413, "RequestBodyTooLarge", f"More than {SOURCE_BYTES_MAX} bytes.")
        await asyncio.to_thread(offered.with_suffix(".tar.gz").write_bytes, body)
        return Response(status_code=201)

    async def _show(self, request: Request) -> Response:
        found = self._record(request.path_params["name"])
        if not found.is_file():
            raise Refusal(404, "ResourceNotFound", f"The task run '{request.path_params['name']}' was not found.")
        return JSONResponse(json.loads(await asyncio.to_thread(found.read_bytes)))

    async def _order(self, request: Request) -> Response:
        name = request.path_params["name"]
        record = self._record(name)
        if record.is_file():
            return await self._show(request)  # the same run: what is unchanged is not run again
        image, source = self._read(await request.json())
        if shutil.which("buildah") is None:
            raise Refusal(501, "NotSupported", "This computer has no buildah, so no image can be built on it.")
        self._write(name, {"runId": name, "status": "Queued"}, "Creating")
        build = asyncio.create_task(self._build(name, image, source))
        self._builds.add(build)
        build.add_done_callback(self._builds.discard)
        return JSONResponse(json.loads(record.read_bytes()), status_code=201)

    def _read(self, body: object) -> tuple[re.Match[str], Path]:
        order = body.get("properties", {}).get("runRequest", {}) if isinstance(body, dict) else {}
        if order.get("type") != "DockerBuildRequest":
            raise Refusal(501, "NotSupported", f"Runs of type {order.get('type')!r} are not supported on a laptop.")
        names = order.get("imageNames") or [""]
        image = _IMAGE.fullmatch(str(names[0]))
        if image is None or len(names) != 1:
            raise Refusal(400, "InvalidImageName", f"imageNames {names} must be one name with a tag.")
        source = self._home / f"{Path(str(order.get('sourceLocation', ''))).as_posix()}.tar.gz"
        if source.parent != self._home / "source" or not source.is_file():
            raise Refusal(400, "SourceNotFound", "sourceLocation is not a place that was offered and filled.")
        return image, source

    async def _build(self, name: str, image: re.Match[str], source: Path) -> None:
        """Build in a folder of its own, and write down how it ended."""
        work = self._folder("builds") / name
        shutil.rmtree(work, ignore_errors=True)
        try:
            await asyncio.to_thread(_unpack, source, work / "context")
            await self._buildah("bud", "--isolation", "chroot", "--tag", f"{SERVER}/{image[0]}", str(work / "context"))
            target = f"oci:{work / 'image'}:{image['tag']}"
            await self._buildah("push", "--digestfile", str(work / "digest"), f"{SERVER}/{image[0]}", target)
        except (OSError, tarfile.TarError, RuntimeError) as problem:
            self._write(name, {"runId": name, "status": "Failed", "runErrorMessage": str(problem)}, "Failed")
            return
        made = {"registry": SERVER, "repository": image["repository"], "tag": image["tag"]}
        made["digest"] = (work / "digest").read_text().strip()
        self._write(name, {"runId": name, "status": "Succeeded", "outputImages": [made]}, "Succeeded")

    async def _buildah(self, *arguments: str) -> None:
        place = (
            "--root",
            str(self._folder("storage")),
            "--runroot",
            str(self._folder("run")),
            "--storage-driver",
            "vfs",
        )
        process = await asyncio.create_subprocess_exec(
            "buildah", *place, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise RuntimeError(f"buildah {arguments[0]}: {said.decode(errors='replace').strip()[-TAIL:]}")

    def _write(self, name: str, run: Json, state: str) -> None:
        found = {
            "id": f"{REGISTRY_ID}/taskRuns/{name}",
            "name": name,
            "type": "Microsoft.ContainerRegistry/registries/taskRuns",
            "properties": {"provisioningState": state, "runResult": {"name": run["runId"], "properties": run}},
        }
        path = self._record(name)
        path.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
        path.with_suffix(".new").rename(path)

    def _record(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Refusal(
                400, "InvalidTaskRunName", f"The name {name[:60]!r} is not 5 to 50 letters, digits and dashes."
            )
        return self._folder("runs") / f"{name}.json"

    def _folder(self, name: str) -> Path:
        found = self._home / name
        found.mkdir(parents=True, exist_ok=True)
        return found


def _unpack(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(source.read_bytes()), mode="r:gz") as archive:
        archive.extractall(target, filter="data")


def _check_version(request: Request) -> None:
    if request.query_params.get("api-version") != API_VERSION:
        raise Refusal(400, "InvalidApiVersionParameter", f"The api-version must be {API_VERSION}.")


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
