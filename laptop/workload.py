"""The workload API of an IoT Edge runtime, on a unix socket: a module proves who it is without ever seeing its key.

azure-iot-device speaks to it when IOTEDGE_WORKLOADURI is set, as it does on a real device.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

API_VERSION = "2019-01-30"
GENERATION = "1"


class _Sign(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    key: str = Field(alias="keyId", pattern="^(primary|secondary)$")
    algorithm: str = Field(alias="algo", pattern="^HMACSHA256$")
    data: str


@dataclass(frozen=True, slots=True)
class Workload:
    """The workload API of one module.

    Args:
        device: The device's id.
        module: The module's id.
        key: The module's symmetric key in the hub, as base64.
        host: Name of the hub, which is also the gateway.
        authority: Certificate authority that the module shall trust, PEM.
        socket: Path of the unix socket; shorter than 100 characters.
    """

    device: str
    module: str
    key: str
    host: str
    authority: Path
    socket: Path

    def environment(self) -> dict[str, str]:
        """What the runtime sets for the module."""
        return {
            "IOTEDGE_WORKLOADURI": f"unix://{self.socket}",
            "IOTEDGE_DEVICEID": self.device,
            "IOTEDGE_MODULEID": self.module,
            "IOTEDGE_MODULEGENERATIONID": GENERATION,
            "IOTEDGE_IOTHUBHOSTNAME": self.host,
            "IOTEDGE_GATEWAYHOSTNAME": self.host,
            "IOTEDGE_APIVERSION": API_VERSION,
            "IOTEDGE_AUTHSCHEME": "sasToken",
        }

    def server(self) -> uvicorn.Server:
        """Serves it on the socket."""
        routes = [
            Route("/trust-bundle", self._trust),
            Route("/modules/{module}/genid/{generation}/sign", self._sign, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), uds=str(self.socket), ws="none", log_config=None)
        return uvicorn.Server(config)

    async def _trust(self, request: Request) -> Response:
        return _versioned(request) or JSONResponse({"certificate": self.authority.read_text()})

    async def _sign(self, request: Request) -> Response:
        refused = _versioned(request)
        if refused:
            return refused
        if (request.path_params["module"], request.path_params["generation"]) != (self.module, GENERATION):
            return _error(404, "Module not found")
        try:
            asked = _Sign.model_validate_json(await request.body())
            data = base64.b64decode(asked.data, validate=True)
        except (ValidationError, ValueError) as problem:
            return _error(400, str(problem))
        digest = hmac.digest(base64.b64decode(self.key), data, hashlib.sha256)
        return JSONResponse({"digest": base64.b64encode(digest).decode()})


def _versioned(request: Request) -> Response | None:
    found = request.query_params.get("api-version")
    return None if found == API_VERSION else _error(400, f"api-version {found!r} is not {API_VERSION}")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
