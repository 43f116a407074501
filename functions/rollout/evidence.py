"""What versions do in the field, as telemetry wrote it down: who has the new one, who has not, before and since."""

import json
from collections.abc import Mapping

import msgspec

from functions.field import COLUMN, Use, Uses, added, from_bytes
from functions.loops import Loop
from functions.rollout.decide import Field
from functions.rollout.gate import Groups, Reference, judge
from functions.rollout.records import standing
from functions.wiring import Cloud

DEVICES, MODELS, MANIFESTS = "devices", "models", "manifests"


def remember(here: Cloud, loop: Loop, version: str) -> None:
    """Keep what the last good version did everywhere before this one reaches anybody; the first look stands."""
    good = standing(here.rows, loop.name).last_good(int(version))
    if good is None or here.blobs.facts(MANIFESTS, _name(loop, version)):
        return
    before = {
        device: uses[str(good.version)] for device, uses in _uses(here, loop).items() if str(good.version) in uses
    }
    here.blobs.create(MANIFESTS, _name(loop, version), msgspec.json.encode(before))


def field(here: Cloud, loop: Loop, version: str, previous: str) -> Field:
    """What a version does on the devices that have it, against those that have the last good one."""
    kept = here.blobs.read(MANIFESTS, _name(loop, version)) if previous else None
    if kept is None:
        return Field()
    before = msgspec.json.decode(kept, type=dict[str, Use])
    uses = _uses(here, loop)
    treated = {device: used[version] for device, used in uses.items() if version in used}
    control = {device: used[previous] for device, used in uses.items() if previous in used and device not in treated}
    groups = Groups(
        treated=treated,
        treated_before={device: use for device, use in before.items() if device in treated},
        control={device: _since(use, before.get(device)) for device, use in control.items()},
        control_before={device: use for device, use in before.items() if device in control},
    )
    return judge(groups, _reference(here, loop, version), _reference(here, loop, previous), limits=loop.rollout)


def _since(use: Use, before: Use | None) -> Use:
    return added(use, before, sign=-1) if before else use


def _name(loop: Loop, version: str) -> str:
    return f"{loop.name}/rollouts/{version}.json"


def _uses(here: Cloud, loop: Loop) -> Mapping[str, Uses]:
    return {stored.key: from_bytes(stored.row.get(COLUMN)) for stored in here.rows.find(DEVICES, loop.name)}


def _reference(here: Cloud, loop: Loop, version: str) -> Reference | None:
    """The expected scores of a version's profile, read without numpy: a tenth of the app's start."""
    data = here.blobs.read(MODELS, f"{loop.name}/{version}/profile.json")
    if data is None:
        return None
    scores = json.loads(data)["scores"]
    return Reference(float(scores["low"]), float(scores["width"]), tuple(scores["counts"]))
