"""What versions do in the field, as telemetry wrote it down."""

import json

from functions.field import COLUMN, DEVICES, Use, Uses, from_bytes
from functions.loops import Loop
from functions.model_folder import CONTAINER
from functions.rollout.decide import Field
from functions.rollout.gate import Reference, judge
from functions.wiring import Cloud


def field(here: Cloud, loop: Loop, version: str, previous: str) -> Field:
    """What a version does on the devices that have it, against those that have the last good one."""
    if not previous:
        return Field()
    uses = _uses(here, loop)
    named = sorted({one for used in uses.values() for one in used})
    if version not in named:
        return Field()
    found = {one: _reference(here, loop, one) for one in named}
    references = {one: reference for one, reference in found.items() if reference}
    return judge(uses, version, previous, references=references, limits=loop.rollout, metric=loop.gate.metric)


def uses_of(here: Cloud, loop: Loop, version: str) -> list[Use]:
    """What every device that knows a version did with it, silently or not."""
    return [used[version] for used in _uses(here, loop).values() if version in used]


def _uses(here: Cloud, loop: Loop) -> dict[str, Uses]:
    """What every device did; its state, up to some hundred KB, does not travel."""
    rows = here.rows.columns(DEVICES, loop.name, COLUMN)
    return {stored.key: from_bytes(stored.row.get(COLUMN)) for stored in rows}


def _reference(here: Cloud, loop: Loop, version: str) -> Reference | None:
    """The expected scores of a version's profile, read without numpy: a tenth of the app's start."""
    data = here.blobs.read(CONTAINER, f"{loop.name}/{version}/profile.json")
    if data is None:
        return None
    scores = json.loads(data)["scores"]
    return Reference.of(float(scores["low"]), float(scores["width"]), scores["counts"])
