"""A change of a whole fleet's deployments, before it is made: who gets what, and what is risky about it. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from functions.manifests.check import check
from functions.manifests.effective import Effective, Path, changes, collisions, effective, useless
from functions.manifests.findings import Finding
from functions.manifests.read import DESIRED, Manifest
from functions.ports import Deployment

CONFIGURATIONS_MAX = 100  # of a paid hub; 10 of a free one


@dataclass(frozen=True)  # without slots: its parts are worked out once, and kept
class Group:
    """Devices that are targeted by the same deployments, before and after: what holds for one holds for all.

    Args:
        devices: Their ids.
        before: What targets them today.
        after: What would.
    """

    devices: Sequence[str]
    before: tuple[Deployment, ...]
    after: tuple[Deployment, ...]

    @cached_property
    def was(self) -> Effective:
        """What they get today."""
        return effective(self.before)

    @cached_property
    def becomes(self) -> Effective:
        """What they would get."""
        return effective(self.after)

    @cached_property
    def changes(self) -> list[tuple[Path, object, object]]:
        """Module and path, value before, value after."""
        return list(changes(self.was.desired, self.becomes.desired))

    @cached_property
    def findings(self) -> list[Finding]:
        """What the change would make wrong that is not wrong today."""
        known = {(one.code, one.pointer, one.reason) for one in (*_judged(self.was), *collisions(self.before))}
        found = (*_judged(self.becomes), *collisions(self.after))
        return [one for one in dict.fromkeys(found) if (one.code, one.pointer, one.reason) not in known]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the deployments.

    Args:
        groups: Every device that any of them targets, in groups; the largest first.
        made: Deployments that are made.
        gone: Deployments that are taken away.
        configurations: How many there are afterwards.
        overwritten: Layers that change nothing on any device, afterwards and not before.
    """

    groups: Sequence[Group]
    made: Sequence[Deployment]
    gone: Sequence[Deployment]
    configurations: int
    overwritten: Sequence[Finding]


def change(
    standing: Sequence[Deployment], wanted: Sequence[Deployment], *, matched: Mapping[str, Sequence[str]]
) -> Change:
    """Compare two sets of deployments.

    Args:
        standing: What the hub has.
        wanted: What it would have.
        matched: Target condition -> ids of its devices, for every condition of both.
    """
    old, new = {one.id: one for one in standing}, {one.id: one for one in wanted}
    every = list({**old, **new}.values())
    targeted: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(every):
        for device in matched.get(one.target, ()):
            targeted[device].append(number)
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for device, numbers in targeted.items():
        alike[tuple(numbers)].append(device)
    groups = [
        Group(
            devices=devices,
            before=tuple(every[number] for number in numbers if every[number].id in old),
            after=tuple(new[every[number].id] for number in numbers if every[number].id in new),
        )
        for numbers, devices in alike.items()
    ]
    groups.sort(key=lambda group: (-len(group.devices), group.devices[0]))
    return Change(
        groups=groups,
        made=[one for name, one in new.items() if name not in old],
        gone=[one for name, one in old.items() if name not in new],
        configurations=len(new),
        overwritten=list(_overwritten(groups)),
    )


def _overwritten(groups: Sequence[Group]) -> Iterator[Finding]:
    """Layers that are of use to some device today, and to none afterwards."""
    before = _useful([group.before for group in groups])
    after = _useful([group.after for group in groups])
    told = {name: one for group in groups for name, one in useless(group.after)}
    yield from (told[name] for name in sorted(told) if name in before and name not in after)


def _useful(stacks: Sequence[tuple[Deployment, ...]]) -> set[str]:
    return {one.id for stack in stacks for one in stack if one.id not in {name for name, _ in useless(stack)}}


def _judged(told: Effective) -> list[Finding]:
    if not told.base:
        return []
    modules = {module: {DESIRED: desired} for module, desired in told.desired.items()}
    return check(Manifest("base", modules=modules))
