"""Which devices a ring is, and the layers that reach them. No clock, no network, no SDK.

Priorities make versions commute, and leave room for what must lie above a version without hiding the next one:

| layer | priority |
|---|---|
| version n | 2n |
| the last good version, in place of version n that was rolled back | 2n + 1 |
| an operator's pin | 2,000,000,000 and more |
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from functions.loops import Loop, Ring
from functions.ports import Deployment, ModelVersion
from functions.rollout.manifest import layer

type Members = Mapping[str, Sequence[str]]  # ring name -> ids of its devices, for rings that take only some

ALL = 100  # per cent
PINNED = 2_000_000_000  # above twice the largest version of nine digits; IoT Hub takes an Int32
MOST_MEMBERS = 200  # ids in one target condition
_NOT_PLAIN = re.compile(r"\b(OR|NOT|IN|NIN)\b|[()\[\]]", re.IGNORECASE)


def takes_some(ring: Ring) -> bool:
    """Whether a ring is only a part of the devices that its condition names."""
    return ring.count > 0 or ring.percent < ALL


def choose(loop: str, ring: Ring, devices: Sequence[str]) -> tuple[str, ...]:
    """Which devices a ring takes: by a hash of loop, ring and device id, so that it is the same ones every time.

    A percentage is stable while the fleet grows: a device is in or out by its own hash. It is one device at least.
    """
    drawn = sorted((sha256(f"{loop}\n{ring.name}\n{device}".encode()).hexdigest(), device) for device in devices)
    if ring.count:
        return tuple(sorted(device for _, device in drawn[: ring.count]))
    below = [device for digest, device in drawn if int(digest[:8], 16) * ALL < ring.percent * 2**32]
    return tuple(sorted(below or [device for _, device in drawn[:1]]))


def target(rings: Sequence[Ring], index: int, members: Members) -> str:
    """The target condition of a ring: its own devices, and those of earlier rings that it does not cover.

    So a ring's counts are about all who have the version by then, and the last ring reaches every device.
    """
    here = rings[index]
    wanted = [*(ring for ring in rings[:index] if not _covers(here, ring)), here]
    conditions = [condition(ring, members) for ring in wanted]
    return conditions[0] if len(conditions) == 1 else " OR ".join(f"({one})" for one in conditions)


def condition(ring: Ring, members: Members) -> str:
    """The target condition of one ring alone."""
    if not takes_some(ring) or ring.name not in members:
        return ring.devices
    named = ", ".join("'" + device.replace("\\", "\\\\").replace("'", "\\'") + "'" for device in members[ring.name])
    return f"({ring.devices}) AND deviceId IN [{named}]"


def offer(loop: Loop, model: ModelVersion, ring: int, *, store: str, members: Members) -> Deployment:
    """The layer that gives a ring a new version."""
    made = layer(loop, model, ring, store=store)
    waiting = f"SELECT deviceId FROM devices.modules WHERE moduleId = '{loop.rollout.module}'"  # noqa: S608  # a pattern
    waiting += f" AND properties.reported.switchable = false AND properties.reported.model.version != '{model.version}'"
    return replace(
        made,
        target=target(loop.rollout.ring, ring, members),
        priority=2 * int(model.version),
        metrics={**made.metrics, "waiting": waiting},
    )


def silent(loop: Loop, model: ModelVersion, *, store: str, members: Members) -> Deployment:
    """The layer that lets the first ring try a version silently, beside the one that answers."""
    made, module = layer(loop, model, 0, store=store), loop.rollout.module
    desired = made.content[module]["properties.desired.model"]  # type: ignore[index]  # as `layer` builds it
    content = {"$edgeAgent": {}, module: {"properties.desired.shadow": desired}}
    ours = f"SELECT deviceId FROM devices.modules WHERE moduleId = '{module}'"  # noqa: S608  # a pattern
    reported = f"{ours} AND properties.reported.shadow.version = '{model.version}' AND properties.reported.shadow.state"
    return Deployment(
        id=f"{loop.name}-{model.version}-shadow-{made.id.rpartition('-')[2]}",
        content=content,
        target=target(loop.rollout.ring, 0, members),
        priority=2 * int(model.version),
        labels={**made.labels, "shadow": model.version},
        metrics={"ready": f"{reported} = 'scoring'", "failed": f"{reported} = 'failed'"},
    )


def fallback(loop: Loop, good: ModelVersion, *, instead_of: str, store: str, members: Members) -> Deployment:
    """The layer that gives every ring the last good version, above a bad one and below the next."""
    last = len(loop.rollout.ring) - 1
    made = layer(loop, good, last, store=store)
    return replace(
        made,
        id=f"{loop.name}-{good.version}-instead-of-{instead_of}-{made.id.rpartition('-')[2]}",
        target=target(loop.rollout.ring, last, members),
        priority=2 * int(instead_of) + 1,
        labels={**made.labels, "ring": "every", "instead_of": f"{loop.name}:{instead_of}"},
    )


def pin(loop: Loop, model: ModelVersion, ring: int | None, *, store: str, members: Members) -> Deployment:
    """The layer by which an operator gives a ring, or all for None, a version whatever automation does beneath."""
    rings = loop.rollout.ring
    made = layer(loop, model, len(rings) - 1 if ring is None else ring, store=store)
    name = "every" if ring is None else rings[ring].name
    return replace(
        made,
        id=f"{loop.name}-pin-{model.version}-{name}-{made.id.rpartition('-')[2]}",
        target=target(rings, len(rings) - 1, members) if ring is None else condition(rings[ring], members),
        priority=PINNED + int(model.version) % 100_000_000,
        labels={**made.labels, "ring": name, "pin": model.version},
    )


def _covers(later: Ring, earlier: Ring) -> bool:
    """Whether every device of the earlier ring is surely one of the later: only what is plain to see counts."""
    if takes_some(later):
        return False
    if later.devices.strip() == "*" or later.devices == earlier.devices:
        return True
    if _NOT_PLAIN.search(later.devices) or _NOT_PLAIN.search(earlier.devices):
        return False
    return set(_terms(later.devices)) <= set(_terms(earlier.devices))


def _terms(text: str) -> list[str]:
    return [term.strip() for term in re.split(r"\bAND\b", text, flags=re.IGNORECASE)]
