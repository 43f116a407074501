"""When does an episode of drift begin, widen, end, and when is it told? No clock, no network, no SDK."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import log

from functions.drift.fleet import SCOPES, Picture, Watched, survey
from functions.drift.records import ENDING, MOST_MEMBERS, OPEN, OVER, SETTLING, TELLING, Device, Episode
from functions.events import Scope
from functions.quantities import lasting

_NEPER = log(10)


@dataclass(frozen=True, slots=True)
class Patience:
    """What of a loop's settings concerns episodes.

    Attributes:
        false_alarm_every: Windows, A: of the devices named, the share named wrongly is at most windows waited over A.
        tell_after: How long an episode waits for further devices before it is told.
        silent_after: A device that says nothing for longer drifts no more.
    """

    false_alarm_every: float
    tell_after: timedelta
    silent_after: timedelta


@dataclass(frozen=True, slots=True)
class Seen:
    """What a loop's rows say, read in this order.

    Attributes:
        episodes: Those that are not over.
        last: Number of the newest episode, over or not; 0 before the first.
        devices: Every device.
        gone: Version -> why it is not what devices should serve any more.
        sites: Device -> site, by the twins' tags.
    """

    episodes: Sequence[Episode]
    last: int
    devices: Sequence[Device]
    gone: Mapping[str, str]
    sites: Mapping[str, str]


def joining(seen: Seen, patience: Patience, now: datetime) -> dict[str, list[Device]]:
    """Version -> devices that drift, by the whole fleet's evidence, and that no open episode has; strongest first."""
    taken = {(key, window) for one in seen.episodes for key, window in one.members.items()}
    full = {one.version for one in seen.episodes if one.is_full}
    found = {}
    for version in sorted({device.version for device in seen.devices if device.episode} - set(seen.gone) - full):
        ours = _reporting(seen, version, patience, now)
        named = survey(
            [_watched(one, seen.sites) for one in ours.values()], patience=patience.false_alarm_every
        ).devices
        drifting = [ours[key] for key in named if ours[key].episode]
        if new := [device for device in drifting if (device.key, device.episode) not in taken]:
            found[version] = new
    return found


def decide(seen: Seen, patience: Patience, now: datetime) -> list[Episode]:
    """Episodes as they should be by now: those opened, widened and ended; the others are left out.

    A drift that starts anywhere joins an episode of its version that has not been told yet, or that reaches as far, or
    that moves the same feature in the same direction; else it opens one. So what begins together is told together, and
    what comes later for another cause is told for itself.
    """
    changed: dict[int, Episode] = {}
    for version, devices in joining(seen, patience, now).items():
        changed |= {one.number: one for one in _placed(seen, version, devices, patience=patience, now=now)}
        if seen.last + 1 in changed:
            break  # one is opened a turn: its number is what two turns at once contend for
    for one in seen.episodes:
        if one.number not in changed and one.state in (SETTLING, OPEN) and (why := _ended(one, seen, patience, now)):
            changed[one.number] = _ending(one, why)
    return [changed[number] for number in sorted(changed)]


def _placed(
    seen: Seen, version: str, devices: Sequence[Device], *, patience: Patience, now: datetime
) -> Iterator[Episode]:
    """The episodes that devices join, and the one that the others begin."""
    ours = _reporting(seen, version, patience, now)
    alone = sum(now - one.at <= patience.silent_after for one in seen.devices) == len(ours)
    left = list(devices)
    for one in seen.episodes:
        if one.version != version or one.state not in (SETTLING, OPEN):
            continue
        here = {seen.sites.get(ours[key].name, "") for key in one.members if key in ours} - {""}
        if theirs := {d.key: d for d in left if _belongs(d, seen.sites.get(d.name, ""), one, here)}:
            left = [device for device in left if device.key not in theirs]
            yield _widened(one, list(theirs.values()), ours, seen.sites, patience=patience, alone=alone)
    telling = any(one.version == version and one.state == TELLING for one in seen.episodes)
    if left and not telling:
        first = Episode(
            number=seen.last + 1, version=version, state=SETTLING, scope="device", members={}, device="", feature="",
            rising=False, explanation="", whole=False, opened=now,
        )  # fmt: skip
        yield _widened(first, left, ours, seen.sites, patience=patience, alone=alone)


def follow(episode: Episode, patience: Patience, now: datetime) -> Episode | None:
    """The next step of an episode that needs no look at devices; None if it stays as it is.

    What is to be said is first written down as to be said (telling, ending), then said, then written down as said: a
    crash at any point says it once more under the same name, and nothing is decided about the episode in between.
    """
    if not episode.noted:
        return replace(episode, noted=True)
    match episode.state:
        case "settling" if episode.whole or now - episode.opened >= patience.tell_after:
            return replace(episode, state=TELLING)
        case "telling":
            return replace(episode, state=OPEN, told=now)
        case "ending":
            return replace(episode, state=OVER)
    return None


def _reporting(seen: Seen, version: str, patience: Patience, now: datetime) -> dict[str, Device]:
    """Devices that serve a version, and are not silent."""
    return {
        device.key: device
        for device in seen.devices
        if device.version == version and now - device.at <= patience.silent_after
    }


def _watched(device: Device, sites: Mapping[str, str]) -> Watched:
    site = sites.get(device.name, "")
    return Watched(device.key, site, device.log_evidence, device.feature, device.rising)


def _belongs(device: Device, site: str, episode: Episode, here: set[str]) -> bool:
    """Whether a device's drift is an episode's, which reaches the sites named."""
    if episode.state == SETTLING or episode.scope == "fleet":
        return True
    if episode.scope == "site" and site in here:
        return True
    return (device.feature, device.rising) == (episode.feature, episode.rising)


def _widened(
    episode: Episode,
    joined: Sequence[Device],
    ours: Mapping[str, Device],
    sites: Mapping[str, str],
    *,
    patience: Patience,
    alone: bool,
) -> Episode:
    """The episode with some more devices: how far it reaches now, and what its devices share.

    Args:
        episode: As it was.
        joined: Who joins.
        ours: Devices that report under its version.
        sites: Device -> site.
        patience: The loop's.
        alone: Whether no device reports under another version.
    """
    members = {**episode.members, **{device.key: device.episode for device in joined}}
    part = {key: device for key, device in ours.items() if members.get(key) == device.episode}
    picture = survey(
        [_watched(device if key in part else replace(device, log_evidence=0.0), sites) for key, device in ours.items()],
        patience=patience.false_alarm_every,
    )
    kept = dict(sorted(members.items())[:MOST_MEMBERS])
    scope: Scope = "fleet" if len(members) >= MOST_MEMBERS else picture.scope
    scope = max(scope, episode.scope, key=SCOPES.index)
    named = [part[key] for key in picture.devices if key in part] or list(joined)
    lead = next((one for one in named if (one.feature, one.rising) == (picture.feature, picture.rising)), named[0])
    since = f"since {episode.opened:%d %B %H:%M:%S} UTC"
    told = f"{lead.shares} {_where(scope, part, ours, sites)}"
    alike = sum((one.feature, one.rising) == (lead.feature, lead.rising) for one in part.values())
    others = "" if alike == len(part) else f"; {alike} of them by {lead.feature}"
    return replace(
        episode,
        scope=scope,
        members=kept,
        device=lead.name,
        feature=lead.feature,
        rising=lead.rising,
        explanation=f"{told}, {since}{others}",
        whole=alone and len(part) == len(ours),
        change="Widen" if episode.members else "Open",
        reason=f"{scope}: {told}, {since}{others}; {_evidence(picture, lead, among=len(ours), patience=patience)}",
        noted=False,
    )


def _where(scope: Scope, part: Mapping[str, Device], ours: Mapping[str, Device], sites: Mapping[str, str]) -> str:
    """On how many devices, and where: with names as long as these are few."""
    number = f"{len(part)} of {len(ours)} device{'s' * (len(ours) > 1)}"
    theirs = sorted({site for one in part.values() if (site := sites.get(one.name, ""))})
    known = {site for one in ours.values() if (site := sites.get(one.name, ""))}
    names = sorted({one.name for one in part.values()})
    if scope == "fleet":
        return f"on {number} ({'all sites' if len(theirs) == len(known) else f'{len(theirs)} of {len(known)} sites'})"
    if scope == "site":
        return f"on {number} (site{'s' * (len(theirs) > 1)} {_listed(theirs)})"
    return f"on {number} ({_listed(names)})"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 3
    return f"{', '.join(names[:3])} and {more} more" if more > 0 else ", ".join(names)


def _evidence(picture: Picture, lead: Device, *, among: int, patience: Patience) -> str:
    """The strongest's, and what the weakest of as many needs."""
    needed = log(patience.false_alarm_every * among / max(len(picture.devices), 1))
    fleet = picture.fleet.log_most if picture.fleet else 0.0
    half = f"; that more than half drift: {_power(fleet)}" if among > 1 else ""
    return f"evidence {_power(lead.log_evidence)} of {_power(needed)}{half}"


def _power(logarithm: float) -> str:
    return f"10^{logarithm / _NEPER:.1f}"


def _ended(episode: Episode, seen: Seen, patience: Patience, now: datetime) -> str:
    """Why nothing of an episode is left; "" while some device drifts on."""
    if why := seen.gone.get(episode.version):
        return why
    rows = {device.key: device for device in seen.devices}
    if episode.is_full and any(one.episode for one in _reporting(seen, episode.version, patience, now).values()):
        return ""
    calm = replaced = silent = 0
    for key, window in episode.members.items():
        device = rows.get(key)
        if device is None or device.version != episode.version:
            replaced += 1
        elif device.episode != window:
            calm += 1
        elif now - device.at > patience.silent_after:
            silent += 1
        else:
            return ""
    told = {
        f"{calm} calm again": calm,
        f"{replaced} on another model version, which starts afresh": replaced,
        f"{silent} silent for more than {lasting(patience.silent_after)}": silent,
    }
    return f"of {len(episode.members)} device{'s' * (len(episode.members) > 1)}, " + ", ".join(
        text for text, count in told.items() if count
    )


def _ending(episode: Episode, why: str) -> Episode:
    """What was told of is told to be over; what was not, is over."""
    if episode.state == SETTLING:
        return replace(episode, state=OVER, change="Resolve", reason=f"over before it was told: {why}", noted=False)
    return replace(episode, state=ENDING, change="Resolve", reason=f"{episode.scope}: {why}", noted=False)
