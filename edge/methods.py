"""Direct methods: what an operator, or the site, may ask this module for over the hub."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from edge.hold import Hold
from edge.hub import Answer
from edge.outbox import Outbox
from edge.serving import NothingBefore, Serving
from edge.shadow import Shadow
from edge.twin import Document


class Methods:
    """The methods, and the state they tell.

    Args:
        serving: Which model serves.
        shadow: Which model scores silently.
        hold: Whether the site lets the model change.
        outbox: What waits for the hub.
        reread: Makes the module read its twin again.
    """

    def __init__(
        self, *, serving: Serving, shadow: Shadow, hold: Hold, outbox: Outbox, reread: Callable[[], None]
    ) -> None:
        self._serving, self._shadow, self._hold, self._outbox = serving, shadow, hold, outbox
        self._reread = reread
        self._known: dict[str, Callable[[Any], Answer]] = {
            "status": self._status,
            "reload": self._reload,
            "rollback": self._roll_back,
            "switchable": self._say_switchable,
        }

    async def __call__(self, name: str, payload: object) -> Answer:
        """Carry out one method; whatever is wrong with it is an answer."""
        known = self._known.get(name)
        if known is None:
            return _no(404, f"there is no method {name!r}", f"one of {sorted(self._known)}")
        try:
            return known(payload)
        except OSError as problem:
            return _no(500, f"the device's disk failed: {problem}", "look into the device's log")

    def reported(self) -> Document:
        """What the module's twin says about it; None stands for nothing to say."""
        serving = self._serving
        model, candidate, shadow = serving.model, serving.candidate, self._shadow.candidate
        return {
            "model": model
            and {
                "model": model.wanted.model,
                "version": model.wanted.version,
                "sha256": model.wanted.sha256,
                "state": "serving",
            },
            "candidate": candidate and asdict(candidate),
            "shadow": shadow and asdict(shadow),
            "switchable": self._hold.switchable,
        }

    def _status(self, _: object) -> Answer:
        waiting = {"waiting": len(self._outbox), "dropped": self._outbox.dropped}
        return Answer(200, self.reported() | {"swaps": self._serving.swaps, "telemetry": waiting})

    def _reload(self, _: object) -> Answer:
        self._reread()
        self._serving.again()
        self._shadow.again()
        return Answer(202, self.reported())

    def _roll_back(self, _: object) -> Answer:
        try:
            wanted = self._serving.roll_back()
        except NothingBefore:
            return _no(409, "there is nothing to go back to", "deploy an older model: two are kept here")
        return Answer(202, {"model": wanted.model, "version": wanted.version})

    def _say_switchable(self, payload: object) -> Answer:
        said = payload.get("switchable") if isinstance(payload, dict) else payload
        if not isinstance(said, bool):
            return _no(400, "the payload says neither yes nor no", 'send {"switchable": true} or {"switchable": false}')
        self._hold.say(switchable=said)
        return Answer(200, {"switchable": self._hold.switchable})


def _no(status: int, why: str, fix: str) -> Answer:
    return Answer(status, {"error": {"message": why, "fix": fix}})
