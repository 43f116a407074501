"""What an order to deploy would do: looked up with as few questions to the hub as conditions, and weighed."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from functions.errors import Refused
from functions.loops import Loop
from functions.manifests.effective import is_base, settings
from functions.manifests.findings import Finding
from functions.manifests.fleet import CONFIGURATIONS_MAX, Change, Group, change
from functions.ports import Deployment, ModelVersion
from functions.rollout import rings
from functions.wiring import Cloud

ROLLOUTS, DONE = "rollouts", "done"
NEARLY_FULL = 90


@dataclass(frozen=True, slots=True)
class Risk:
    """Why somebody should look twice.

    Args:
        code: NO_BASE, NO_MODULE, HIDDEN, UNPROVEN, QUOTA, or a finding's code.
        reason: With its numbers.
    """

    code: str
    reason: str


@dataclass(frozen=True)  # without slots: its parts are worked out once, and kept
class Outlook:
    """What an order would do.

    Args:
        loop: Whose model.
        version: What devices would serve.
        rings: Ring -> ids of its devices, for the rings that are ordered.
        change: Of the whole fleet's deployments.
        proven: Whether the version has been through every ring before.
    """

    loop: Loop
    version: str
    rings: Mapping[str, Sequence[str]]
    change: Change
    proven: bool

    @cached_property
    def touched(self) -> list[Group]:
        """The groups that are in a ring or would change."""
        inside = {device for devices in self.rings.values() for device in devices}
        return [group for group in self.change.groups if group.devices[0] in inside or group.changes]

    @cached_property
    def risks(self) -> list[Risk]:
        """Everything that is risky about it."""
        return [*_risks(self)]

    @cached_property
    def empty(self) -> list[str]:
        """Rings that no device is in."""
        return [name for name, devices in self.rings.items() if not devices]

    def served(self, group: Group, *, after: bool) -> str:
        """The version that a group is told to serve; "" for none."""
        desired = (group.becomes if after else group.was).desired.get(self.loop.rollout.module, {})
        model = desired.get("model")
        return str(model.get("version", "")) if isinstance(model, dict) else ""

    @property
    def rollback(self) -> str:
        """How it would be taken back."""
        back = Counter[str]()
        for group in self.touched:
            if self.served(group, after=True) == self.version:
                back[self.served(group, after=False)] += len(group.devices)
        back.pop(self.version, None)
        if not back:
            return "nothing changes, so there is nothing to take back"
        parts = [
            f"refluent deploy {self.loop.name} --to {version} gives it back to {count} device(s)"
            if version
            else f"{count} device(s) had no version to go back to"
            for version, count in sorted(back.items(), key=lambda item: -item[1])
        ]
        return "; ".join(parts)


def foresee(here: Cloud, loop: Loop, version: str, *, ring: str = "") -> Outlook:
    """Work out what an order would do; nothing is changed.

    Args:
        here: The cloud.
        loop: Whose model.
        version: What devices should serve; "" for the newest.
        ring: Name of the only ring that should; "" for all.

    Raises:
        Refused: There is no such version, or no such ring.
        Throttled: IoT Hub was asked too often.
    """
    model = _model(here, loop, version)
    names = [one.name for one in loop.rollout.ring]
    if ring and ring not in names:
        why, fix = f"the rings are {', '.join(names)}", "name one of these, or none for all"
        raise Refused(f"{loop.name} has no ring {ring!r}", why=why, fix=fix)
    records = list(here.rows.find(ROLLOUTS, loop.name))
    members = json.loads(str(records[-1].row.get("members", "{}"))) if records else {}
    chosen = [one for one in loop.rollout.ring if ring in ("", one.name)]
    store = here.settings.blob_endpoint
    order = rings.pin(loop, model, names.index(ring) if ring else None, store=store, members=members)
    standing = here.fleet.deployments()
    wanted = [*(one for one in standing if not _is_order(loop, one)), order]
    conditions = {one.name: rings.condition(one, members) for one in chosen}
    asked = {*conditions.values(), order.target, *(one.target for one in standing if _concerns(loop, one))}
    matched = {condition: here.fleet.devices(condition) for condition in sorted(asked)}
    states = {int(one.key): one.row["state"] for one in records}
    return Outlook(
        loop=loop,
        version=model.version,
        rings={name: matched[condition] for name, condition in conditions.items()},
        change=change(standing, wanted, matched=matched),
        proven=states.get(int(model.version)) == DONE,
    )


def _model(here: Cloud, loop: Loop, version: str) -> ModelVersion:
    found = (
        here.registry.get(loop.name, version) if version else next(reversed(here.registry.versions(loop.name)), None)
    )
    if found is None or "sha256" not in found.lineage:
        why = "the registry has no such version" if found is None else "nobody knows its files: it has no sha256"
        fix = f"refluent status shows the versions of {loop.name}"
        raise Refused(f"{loop.name}:{version or 'newest'} cannot be deployed", why=why, fix=fix)
    return found


def _is_order(loop: Loop, one: Deployment) -> bool:
    return one.labels.get("loop") == loop.name and "pin" in one.labels


def _concerns(loop: Loop, one: Deployment) -> bool:
    """Whether a deployment has a say in what the loop's devices run or serve."""
    modules = {loop.rollout.module, *(module.name for module in loop.module)}
    paths = [path for path, _ in settings(one)]
    return is_base(one) or any(path[0] in modules or path[0].startswith("$") for path in paths)


def _risks(seen: Outlook) -> Iterator[Risk]:
    module = seen.loop.rollout.module
    ordered = {device for devices in seen.rings.values() for device in devices}
    groups = [group for group in seen.touched if group.devices[0] in ordered]
    orphans = sum(len(group.devices) for group in groups if not group.becomes.base)
    if orphans:
        yield Risk("NO_BASE", f"{orphans} device(s) have no base deployment, so no layer has an effect on them")
    homeless = sum(len(one.devices) for one in groups if one.becomes.base and not _runs(one, module))
    if homeless:
        yield Risk("NO_MODULE", f"the base of {homeless} device(s) has no module {module}")
    others = Counter(seen.served(group, after=True) for group in groups for _ in group.devices if group.becomes.base)
    others.pop(seen.version, None)
    for version, count in others.items():
        yield Risk("HIDDEN", f"{count} device(s) would serve {version or 'no version'}: a layer above hides the order")
    fleet = sum(len(group.devices) for group in groups)
    changed = sum(len(group.devices) for group in groups if group.changes)
    if not seen.proven and len(seen.rings) == len(seen.loop.rollout.ring) and len(seen.rings) > 1 and changed:
        reason = (
            f"version {seen.version} has not been through every ring, and {changed} of {fleet} device(s) get it at once"
        )
        yield Risk("UNPROVEN", reason)
    if seen.change.configurations > NEARLY_FULL:
        yield Risk("QUOTA", f"{seen.change.configurations} of {CONFIGURATIONS_MAX} configurations would exist")
    yield from (Risk(one.code, one.reason) for one in _findings(seen))


def _runs(group: Group, module: str) -> bool:
    modules = group.becomes.desired.get("$edgeAgent", {}).get("modules")
    return isinstance(modules, dict) and module in modules


def _findings(seen: Outlook) -> list[Finding]:
    found = [one for group in seen.touched for one in group.findings if one.severity != "warning"]
    return list(dict.fromkeys(found))
