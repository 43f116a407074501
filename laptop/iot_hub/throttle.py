"""IoT Hub's throttles: so many operations of a kind a minute, per unit of the hub."""

from collections.abc import Callable

from laptop.iot_hub.errors import HubError

_A_MINUTE = {"configuration": 20, "query": 20}  # of an S1 unit, each


class Throttle:
    """A token bucket for each kind of operation.

    Args:
        units: How many S1 units the hub has; None for no limit.
        clock: Seconds; never runs backwards.
    """

    def __init__(self, units: int | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rates = {} if units is None else {kind: units * rate for kind, rate in _A_MINUTE.items()}
        self._left = {kind: (float(rate), clock()) for kind, rate in self._rates.items()}

    def take(self, kind: str) -> None:
        """Count one operation.

        Args:
            kind: configuration or query; any other kind has no limit.

        Raises:
            HubError: 429, with the seconds to wait.
        """
        if kind not in self._rates:
            return
        rate, (left, before), now = self._rates[kind], self._left[kind], self._clock()
        left = min(rate, left + (now - before) * rate / 60)
        self._left[kind] = (left, now)
        if left < 1:
            message = f"Throttling on '{kind}' operations: {rate} a minute are allowed. Try again later."
            raise HubError(429, "ThrottlingException", message, retry_after_seconds=int((1 - left) * 60 / rate) + 1)
        self._left[kind] = (left - 1, now)
