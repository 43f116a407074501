"""How Azure Machine Learning says no: the error envelope of its management front end.

Source: recorded answers of the service in Azure/azure-sdk-assets (python/sdk/ml/azure-ai-ml/tests/recordings).
"""

from datetime import UTC, datetime
from typing import Any

LOCATION = "laptop"


class Refusal(Exception):
    """A request the service would not carry out either, or that this endpoint does not support.

    Args:
        status: HTTP status of the answer, 400 to 599.
        code: The service's error code, such as UserError or NotFound.
        message: What was refused, why, and what to do, fit for the SDK's exception text.
        inner: The service's nested error codes, outermost first.
    """

    def __init__(self, status: int, code: str, message: str, *, inner: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.inner = status, code, message, inner

    def body(self) -> dict[str, Any]:
        """The envelope, as the SDK's ARMErrorFormat reads it."""
        information = {
            "ComponentName": "managementfrontend",
            "Environment": LOCATION,
            "Location": LOCATION,
            "Time": datetime.now(UTC).isoformat(),
        }
        extra = [{"type": kind, "info": {"value": value}} for kind, value in information.items()]
        if self.inner:
            extra.append({"type": "InnerError", "info": {"value": _nested(self.inner)}})
        return {"error": {"code": self.code, "message": self.message, "details": [], "additionalInfo": extra}}


def user_error(message: str, *inner: str) -> Refusal:
    """A request that can never work as it is: 400."""
    return Refusal(400, "UserError", message, inner=inner)


def unsupported(what: str) -> Refusal:
    """Something the real service can do and this endpoint cannot: 400, and it says so."""
    return Refusal(400, "NotSupported", f"{what} is not supported by the laptop's Azure Machine Learning endpoint.")


def not_found(message: str) -> Refusal:
    """A resource that does not exist: 404."""
    return Refusal(404, "NotFound", message)


def _nested(codes: tuple[str, ...]) -> dict[str, Any] | None:
    return {"code": codes[0], "innerError": _nested(codes[1:])} if codes else None
