"""What a device's modules are told once every deployment that targets it is laid on its base. Pure.

The base of the highest priority counts; each layer of a higher priority is laid on it, the lowest first.

Source: IoT Edge documentation, "Understand IoT Edge automatic deployments", layered deployment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from functions.manifests.findings import Finding, finding
from functions.manifests.read import AGENT, DESIRED
from functions.ports import Deployment

type Desired = dict[str, object]
type Path = tuple[str, ...]  # module, then the names below properties.desired; the module alone for all of it


@dataclass(frozen=True, slots=True)
class Effective:
    """What one device gets.

    Args:
        base: Id of its base; "" if it has none, and so keeps what it has.
        applied: Ids of what has effect, the base first, each later one over the earlier.
        desired: Module -> desired properties.
    """

    base: str
    applied: tuple[str, ...]
    desired: Mapping[str, Desired]


NOTHING = Effective("", (), {})


def is_base(deployment: Deployment) -> bool:
    """Whether a deployment brings the whole of $edgeAgent."""
    agent = deployment.content.get(AGENT)
    return isinstance(agent, dict) and DESIRED in agent


def effective(targeting: Sequence[Deployment]) -> Effective:
    """Lay the layers on the base.

    Args:
        targeting: Every deployment whose condition the device meets, in any order. Equal priorities are taken in the
            order of their ids; `collisions` says where that matters.
    """
    stack = sorted(targeting, key=_rank)
    bases = [one for one in stack if is_base(one)]
    if not bases:
        return NOTHING
    base = bases[-1]
    applied = [base, *(one for one in stack if not is_base(one) and one.priority > base.priority)]
    desired: dict[str, Desired] = {}
    for one in applied:
        for path, value in settings(one):
            desired[path[0]] = _set(desired.get(path[0], {}), path[1:], value)
    return Effective(base.id, tuple(one.id for one in applied), desired)


def settings(deployment: Deployment) -> Iterator[tuple[Path, object]]:
    """What a deployment sets where; the whole of a module's properties before the paths into it."""
    for module, section in deployment.content.items():
        for key, value in sorted(section.items()) if isinstance(section, dict) else ():
            inner = key.removeprefix(DESIRED).removeprefix(".")
            yield (module, *(inner.split(".") if inner else ())), value


def collisions(targeting: Sequence[Deployment]) -> Iterator[Finding]:
    """Deployments of one priority that set the same thing on one device: only their age decides."""
    bases = [one for one in targeting if is_base(one)]
    layers = [one for one in targeting if not is_base(one)]
    for some in (bases, layers):
        for one, other in combinations(sorted(some, key=_rank), 2):
            if one.priority == other.priority and (where := _overlap(one, other)):
                reason = f"{one.id} and {other.id} both have priority {one.priority} and set {'/'.join(where)}"
                yield finding("LAYER_COLLISION", where, reason)


def useless(targeting: Sequence[Deployment]) -> Iterator[tuple[str, Finding]]:
    """Layers that change nothing on a device: below its base, or overwritten whole; each with its id."""
    stack = sorted(targeting, key=_rank)
    base = next((one for one in reversed(stack) if is_base(one)), None)
    layers = [one for one in stack if not is_base(one)]
    for number, one in enumerate(layers):
        above = [path for other in layers[number + 1 :] for path, _ in settings(other)]
        paths = [path for path, _ in settings(one)]
        if base and one.priority <= base.priority:
            reason = f"{one.id} has priority {one.priority}, its base {base.id} has {base.priority}"
            yield one.id, finding("LAYER_BELOW_BASE", (), reason)
        elif paths and all(any(_covers(upper, path) for upper in above) for path in paths):
            yield one.id, finding("LAYER_SHADOWED", (), f"everything {one.id} sets is set again above it")


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[tuple[Path, object, object]]:
    """Where two trees differ: place, value before and after; None is nothing."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (((name, *path), was, becomes) for path, was, becomes in changes(old, new))
        elif old != new:
            yield (name,), old, new


def _rank(deployment: Deployment) -> tuple[int, str]:
    return deployment.priority, deployment.id


def _set(tree: Desired, path: Path, value: object) -> Desired:
    """A copy with one path set; what is not on the path is shared."""
    if not path:
        return dict(value) if isinstance(value, dict) else {}
    inner = tree.get(path[0])
    if len(path) == 1:
        rest = {name: old for name, old in tree.items() if name != path[0]}
        return rest if value is None else {**rest, path[0]: value}  # null takes it away
    return {**tree, path[0]: _set(inner if isinstance(inner, dict) else {}, path[1:], value)}


def _overlap(one: Deployment, other: Deployment) -> Path:
    theirs = [path for path, _ in settings(other)]
    return next((path for path, _ in settings(one) if any(_covers(path, it) or _covers(it, path) for it in theirs)), ())


def _covers(upper: Path, lower: Path) -> bool:
    return lower[: len(upper)] == upper
