"""What versions do in the field, as telemetry wrote it down."""

import json
from typing import Any

from functions.field import COLUMN, DEVICES, Use, Uses, from_bytes
from functions.loops import Loop
from functions.model_folder import CONTAINER
from functions.rollout.decide import Field
from functions.rollout.gate import Reference, judge
from functions.rollout.promise import Promise
from functions.wiring import Cloud


def field(here: Cloud, loop: Loop, version: str, previous: str) -> Field:
    """What a version does on the devices that have it, against those that have the last good one."""
    if not previous:
        return Field()
    uses = _uses(here, loop)
    named = sorted({one for used in uses.values() for one in used})
    if version not in named:
        return Field()
    profiles = {one: profile for one in named if (profile := _profile(here, loop, one))}
    calibration, metric = profiles.get(version, {}).get("calibration"), loop.gate.metric
    return judge(
        uses,
        version,
        previous,
        references={one: _reference(profile) for one, profile in profiles.items()},
        limits=loop.rollout,
        metric=metric,
        promise=Promise.of(calibration["groups"], metric) if calibration else None,
    )


def uses_of(here: Cloud, loop: Loop, version: str) -> list[Use]:
    """What every device that knows a version did with it, silently or not."""
    return [used[version] for used in _uses(here, loop).values() if version in used]


def _uses(here: Cloud, loop: Loop) -> dict[str, Uses]:
    """What every device did; its state, up to some hundred KB, does not travel."""
    rows = here.rows.columns(DEVICES, loop.name, COLUMN)
    return {stored.key: from_bytes(stored.row.get(COLUMN)) for stored in rows}


def _profile(here: Cloud, loop: Loop, version: str) -> dict[str, Any] | None:
    """A version's profile, read without numpy: a tenth of the app's start."""
    data = here.blobs.read(CONTAINER, f"{loop.name}/{version}/profile.json")
    return None if data is None else json.loads(data)


def _reference(profile: dict[str, Any]) -> Reference:
    scores = profile["scores"]
    return Reference.of(float(scores["low"]), float(scores["width"]), scores["counts"])
