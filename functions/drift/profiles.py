"""Profiles of model versions, as one batch of telemetry needs them."""

from functions.errors import Poison
from functions.model_folder import CONTAINER
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
        self._own: dict[str, Profile] = {}

    def named(self, model: str, version: str, profile: str, *, device: str) -> Profile:
        """The profile that a message names by its hash.

        Raises:
            Poison: The version has none, or another one.
        """
        place = _place(model, version)
        found = _kept.get((place, profile)) or self._read(place, device=device)
        if found.hash != profile:
            why = f"{model}:{version} has profile {found.hash}, not {profile}"
            raise _unknown(device, why=why)
        return found

    def own(self, model: str, version: str, *, device: str) -> Profile:
        """The profile of a version whose devices do not know it.

        Raises:
            Poison: The version has none.
        """
        place = _place(model, version)
        if place not in self._own:
            facts = self._here.blobs.facts(CONTAINER, place)
            tag = facts.etag if facts else ""
            self._own[place] = _kept.get((place, tag)) or self._read(place, device=device)
            _kept[place, tag] = self._own[place]
        return self._own[place]

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


def _place(model: str, version: str) -> str:
    return f"{model}/{version}/profile.json"


def _unknown(device: str, *, why: str) -> Poison:
    fix = "see which model the device runs: refluent why " + device.split("/", maxsplit=1)[0]
    return Poison(f"telemetry of {device} names an unknown model", why=why, fix=fix, code="TEL_MODEL")
