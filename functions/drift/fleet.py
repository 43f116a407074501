"""Is it one device, one site, or the world? What the evidence of many devices says together.

A device's evidence M is an e-detector: while nothing drifts it is at most w on average after w windows, at any stopping
time. So are the arithmetic means of several devices' evidence, however the devices depend on each other: the weather
that reaches all of them is no reason to count it twice, and none to be afraid of. With A windows as the loop's patience
and K devices, largest evidence first:

- the k devices with the most evidence drift, for the largest k with M(k) >= A K / k (e-BH);
- some device of a group drifts, when the group's mean reaches A;
- more than half of a group's devices drift, when the mean of all but its h largest values reaches A, with h the largest
  number that is not more than half: of the others, at least one would be steady. Several sites are e-BH once more.

The promise is an error over patience: of the devices named at any stopping time, the share named wrongly is on average
no more than the windows waited over A.

Sources: Wang and Ramdas 2022, "False discovery rate control with e-values"; Vovk and Wang 2021, "E-values: calibration,
combination and applications"; Dandapanthula and Ramdas 2025, arXiv:2501.04130 (e-BH with e-detectors).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from functions.events import Scope

SCOPES: tuple[Scope, ...] = ("device", "site", "fleet")  # narrow to wide
_NONE, _BOUNDLESS = -1e3, 1e9  # logarithms of evidence that count as nothing, and as all there can be


@dataclass(frozen=True, slots=True)
class Watched:
    """What one device says of its newest windows.

    Attributes:
        device: Its name.
        site: Where it is; "" if nobody knows.
        log_evidence: Logarithm of the evidence that it drifts; any number, and what is none counts as nothing.
        feature: The feature that speaks loudest, or "score".
        rising: Whether the share in question grew.
    """

    device: str
    site: str
    log_evidence: float
    feature: str = ""
    rising: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What the devices of one site, or all of them, say together.

    Attributes:
        name: The site; "" for the whole fleet.
        devices: How many it has, >= 1.
        log_any: Logarithm of the evidence that some of them drift; finite.
        log_most: Logarithm of the evidence that more than half of them drift; finite, and never above `log_any`.
    """

    name: str
    devices: int
    log_any: float
    log_most: float


@dataclass(frozen=True, slots=True)
class Picture:
    """What the fleet looks like.

    Attributes:
        devices: Those that drift, the most evidence first.
        scope: How far the drift reaches; "device" also when nothing drifts.
        fleet: All devices together; None without any.
        sites: The sites, by name.
        broad: Sites more than half of whose devices drift.
        feature: What most of those devices share; "" when nothing drifts.
        rising: In which direction.
        sharing: How many of them share both.
    """

    devices: tuple[str, ...]
    scope: Scope
    fleet: Group | None
    sites: tuple[Group, ...]
    broad: tuple[str, ...]
    feature: str
    rising: bool
    sharing: int


def survey(watched: Sequence[Watched], *, patience: float) -> Picture:
    """Say which devices drift, how far it reaches and what they share.

    Args:
        watched: Every device that reports, in any order; names are distinct.
        patience: Windows of the fleet, A: the smaller the error is to be, the larger; > 1.

    Raises:
        ValueError: The patience is no number above 1, or a device comes twice.
    """
    if not 1 < patience < np.inf or len({one.device for one in watched}) < len(watched):
        raise ValueError(f"devices cannot be told apart, or no patience is {patience}")
    ordered = sorted(watched, key=lambda one: (-_usable(one.log_evidence), one.device))
    evidence, level = np.array([_usable(one.log_evidence) for one in ordered]), float(np.log(patience))
    drifting = ordered[: discoveries(evidence, level=level)]
    sites = tuple(_groups([one.site for one in ordered], evidence))
    fleet = next(iter(_groups([""] * len(ordered), evidence)), None)
    broad = _broad(sites, level=level)
    (feature, rising), sharing = _shared(drifting)
    return Picture(
        devices=tuple(one.device for one in drifting),
        scope=_scope(drifting, fleet, sites, broad=broad, level=level),
        fleet=fleet,
        sites=tuple(sorted(sites, key=lambda group: group.name)),
        broad=broad,
        feature=feature,
        rising=rising,
        sharing=sharing,
    )


def discoveries(log_evidence: NDArray[np.float64], *, level: float) -> int:
    """e-BH: how many of the largest are discoveries.

    Args:
        log_evidence: Logarithms of e-values or e-detectors, descending, shape (K,).
        level: Logarithm of 1 over the false discovery rate, or of the patience.
    """
    among, rank = len(log_evidence), np.arange(1, len(log_evidence) + 1)
    enough = np.flatnonzero(log_evidence >= level + np.log(among / rank)) if among else np.empty(0)
    return int(enough[-1]) + 1 if len(enough) else 0


def _usable(log_evidence: float) -> float:
    """A finite number, whatever a row says."""
    return _NONE if np.isnan(log_evidence) else float(np.clip(log_evidence, _NONE, _BOUNDLESS))


def _groups(names: Sequence[str], evidence: NDArray[np.float64]) -> list[Group]:
    """The groups of these names with their two means; evidence is descending."""
    if not names:
        return []
    labels, group = np.unique(np.array(names), return_inverse=True)
    order = np.argsort(group, kind="stable")  # within a group still the largest first
    values, sizes = evidence[order], np.bincount(group)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.arange(len(values)) - np.repeat(starts, sizes)
    left_out = np.repeat(sizes // 2, sizes)
    anyone = _log_mean(values, starts, np.ones(len(values)))
    most = _log_mean(values, starts, (rank >= left_out).astype(float))
    return [
        Group(str(label), int(size), float(one), float(half))
        for label, size, one, half in zip(labels, sizes, anyone, most, strict=True)
    ]


def _log_mean(values: NDArray[np.float64], starts: NDArray[np.intp], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the mean of the values taken of each stretch, at least one of each."""
    largest = np.maximum.reduceat(np.where(taken > 0, values, -np.inf), starts)
    sizes = np.diff(np.append(starts, len(values)))
    shifted = np.exp(np.minimum(values - np.repeat(largest, sizes), 0.0)) * taken
    mean: NDArray[np.float64] = largest + np.log(np.add.reduceat(shifted, starts) / np.add.reduceat(taken, starts))
    return mean


def _broad(sites: Sequence[Group], *, level: float) -> tuple[str, ...]:
    known = sorted((one for one in sites if one.name), key=lambda one: (-one.log_most, one.name))
    found = discoveries(np.array([one.log_most for one in known]), level=level)
    return tuple(sorted(one.name for one in known[:found]))


def _scope(
    drifting: Sequence[Watched], fleet: Group | None, sites: Sequence[Group], *, broad: tuple[str, ...], level: float
) -> Scope:
    """As wide as it is shown to be: a site of one device is a device, and a fleet at one site is a site."""
    if fleet is None or len(drifting) <= 1:
        return "device"
    where = {group.name for group in sites}
    if fleet.log_most >= level and (len(where) > 1 or where == {""}):
        return "fleet"
    wide = {group.name for group in sites if group.devices > 1} & set(broad)
    return "site" if 2 * sum(one.site in wide for one in drifting) > len(drifting) else "device"


def _shared(drifting: Sequence[Watched]) -> tuple[tuple[str, bool], int]:
    """What most of them share; of several the one with the most evidence."""
    counts = Counter((one.feature, one.rising) for one in drifting)
    return counts.most_common(1)[0] if counts else (("", False), 0)
