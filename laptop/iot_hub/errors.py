"""How IoT Hub says no: its codes, and its two JSON envelopes."""

import json
from datetime import UTC, datetime
from uuid import uuid4


class HubError(Exception):
    """A refusal, in the words of the service.

    Args:
        status: HTTP status, such as 404.
        code: The service's error code, such as DeviceNotFound.
        message: What stands behind the code.
        retry_after_seconds: Sent as Retry-After when the caller may try again.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{code};{message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def headers(self) -> dict[str, str]:
        """The headers that come with the answer."""
        retry = {} if self.retry_after_seconds is None else {"Retry-After": str(self.retry_after_seconds)}
        return {"iothub-errorcode": self.code, **retry}

    @property
    def body(self) -> dict[str, str]:
        """The answer's JSON."""
        return {"Message": f"ErrorCode:{self.code};{self.message}", "ExceptionMessage": f"Tracking ID:{_tracking()}"}


class MethodError(HubError):
    """A direct method that did not run: the service nests a JSON object, with a six-digit code, in Message."""

    def __init__(self, status: int, code: str, number: int, message: str) -> None:
        super().__init__(status, code, message)
        self.number = number

    @property
    def body(self) -> dict[str, str]:
        """The answer's JSON."""
        return {"Message": json.dumps(device_error(self.number, self.message)), "ExceptionMessage": ""}


def device_error(number: int, message: str) -> dict[str, object]:
    """The error object that devices get over MQTT, and that direct methods nest.

    Args:
        number: HTTP status and three more digits, such as 404103.
        message: What went wrong.
    """
    return {
        "errorCode": number,
        "trackingId": _tracking(),
        "message": message,
        "info": {},
        "timestampUtc": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }


def not_supported(what: str) -> HubError:
    """The refusal of what this endpoint does not offer: as a hub of a lower tier refuses it."""
    message = f"{what}: not supported by the laptop's IoT Hub; try it on a real one"
    return HubError(403, "OperationNotAvailableInCurrentTier", message)


def _tracking() -> str:
    return f"{uuid4().hex}-G:0-TimeStamp:{datetime.now(UTC):%m/%d/%Y %H:%M:%S}"
