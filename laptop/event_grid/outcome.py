"""What an endpoint's answer means for an event: delivered, tried again later, or given up on."""

from collections.abc import Mapping
from dataclasses import dataclass

_MINUTE_S, _HOUR_S = 60, 3600
SCHEDULE_S = (10, 30, 60, 300, 600, 1800, _HOUR_S, 3 * _HOUR_S, 6 * _HOUR_S, 12 * _HOUR_S)  # the last one repeats
_ACKNOWLEDGED = range(200, 205)
_HOPELESS: Mapping[int, str] = {  # statuses that no retry can mend → name
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    413: "RequestEntityTooLarge",
}
_NAMES: Mapping[int, str] = {404: "NotFound", 408: "TimedOut", 429: "Busy", 503: "Busy", **_HOPELESS}
_LEAST_S: Mapping[int, int] = {404: 5 * _MINUTE_S, 408: 2 * _MINUTE_S, 503: 30}  # some statuses wait longer


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one delivery went.

    Args:
        name: As Event Grid's dead-letter records spell it; ``Success`` when it was acknowledged.
        status: The HTTP status, or None when there was no answer.
    """

    name: str
    status: int | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether the endpoint took the events."""
        return self.status in _ACKNOWLEDGED

    @property
    def hopeless(self) -> str | None:
        """The dead-letter reason when no retry can help, else None."""
        name = _HOPELESS.get(self.status or 0)
        return f"UndeliverableDueToHttp{name}" if name else None

    def retry_after_s(self, attempts: int) -> float:
        """Seconds until the next try, before any scaling.

        Args:
            attempts: Deliveries tried so far, >= 1.

        Source: "Event Grid message delivery and retry" in Microsoft's documentation.
        """
        least_s = _LEAST_S.get(self.status or 0, 0)
        return max(least_s, SCHEDULE_S[min(attempts, len(SCHEDULE_S)) - 1])


def outcome_of(status: int) -> Outcome:
    """The outcome of a delivery that was answered."""
    name = "Success" if status in _ACKNOWLEDGED else _NAMES.get(status, "GenericError")
    return Outcome(name, status)


NO_CONNECTION = Outcome("SocketError")
NO_ANSWER_IN_TIME = Outcome("TimedOut")
