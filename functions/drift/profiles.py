"""Profiles of model versions, as one batch of telemetry needs them."""

from functions.drift.room import too_wide
from functions.drift.rows import alike
from functions.drift.runs import Source
from functions.errors import Ignored, Poison
from functions.loops import Loop
from functions.model_folder import CONTAINER
from functions.telemetry import Told
from functions.wiring import Cloud
from sketch.profile import Profile

KEPT = 64
_kept: dict[tuple[str, str], Profile] = {}  # by place, and by own hash or version of the blob: never stale


class Profiles:
    """What each version was trained on; whatever one device asks for, the next gets without asking the store.

    Args:
        here: The cloud of this invocation.
    """

    def __init__(self, here: Cloud) -> None:
        self._here = here
        self._loops = here.settings.loops
        self._sources: dict[tuple[str, str, str, str], Source] = {}

    def source(self, told: Told, device: str) -> Source:
        """What a message is about.

        Raises:
            Ignored: A loop this app does not have.
            Poison: A version or a profile that it does not have, or one that is too wide for a device's row.
        """
        about = (told.loop, told.model, told.version, told.profile)
        source = self._sources.get(about)
        if source is None:
            loop = self._loops.get(told.loop)
            if loop is None or told.model != loop.name:
                raise Ignored(f"telemetry of loop {told.loop}", why="this app has no such loop", fix="nothing to do")
            profile = self._named(told, device) if told.profile else self._own(told, device)
            _check(profile, loop, told, device)
            again = alike(profile, loop.name, told.version, named=told.profile)
            source = self._sources[about] = Source(loop, told.version, profile, again)
        return source

    def _named(self, told: Told, device: str) -> Profile:
        """The profile that a message names by its hash."""
        place = _place(told)
        found = _kept.get((place, told.profile)) or self._read(place, device=device)
        if found.hash != told.profile:
            why = f"{told.model}:{told.version} has profile {found.hash}, not {told.profile}"
            raise _unknown(device, why=why)
        return found

    def _own(self, told: Told, device: str) -> Profile:
        """The profile of a version whose devices do not know it."""
        place = _place(told)
        facts = self._here.blobs.facts(CONTAINER, place)
        tag = facts.etag if facts else ""
        found = _kept[place, tag] = _kept.get((place, tag)) or self._read(place, device=device)
        return found

    def _read(self, place: str, *, device: str) -> Profile:
        data = self._here.blobs.read(CONTAINER, place)
        if data is None:
            raise _unknown(device, why=f"there is no {CONTAINER}/{place}")
        try:
            profile = Profile.from_json(data.decode())
        except ValueError as problem:
            raise _unknown(device, why=f"{CONTAINER}/{place} is damaged: {problem}") from problem
        if len(_kept) >= KEPT:
            _kept.clear()
        _kept[place, profile.hash] = profile
        return profile


def _place(told: Told) -> str:
    return f"{told.model}/{told.version}/profile.json"


def _check(profile: Profile, loop: Loop, told: Told, device: str) -> None:
    """Refuse a model of which a device's row could not hold enough, before anything is counted."""
    why = too_wide(profile, loop)
    if why:
        fewer = f"watch fewer of them, by drift.features in loops/{loop.name}.toml"
        fix = f"{fewer}; then refluent replay --quarantined --code TEL_WIDE"
        what = f"telemetry of {device} is of a model that is too wide"
        raise Poison(what, why=f"{told.model}:{told.version}: {why}", fix=fix, code="TEL_WIDE")


def _unknown(device: str, *, why: str) -> Poison:
    fix = "see which model the device runs: refluent why " + device.split("/", maxsplit=1)[0]
    return Poison(f"telemetry of {device} names an unknown model", why=why, fix=fix, code="TEL_MODEL")
