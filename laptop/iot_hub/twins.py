"""Twins: what a device should be, what it says it is, and the tags only the cloud sees."""

import base64
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

Json = dict[str, object]

SECTION_BYTES_MAX = 32 * 1024
TAGS_BYTES_MAX = 8 * 1024
_STRING_BYTES_MAX = 4096
_KEY_BYTES_MAX = 1024
_DEPTH_MAX = 10
_NUMBER_BYTES, _BOOLEAN_BYTES = 8, 4  # what the service counts for them
_FORBIDDEN_IN_KEYS = re.compile(r"[\x00-\x1f\x7f-\x9f.$ ]")


class TwinError(ValueError):
    """A twin may not hold this; the message names the property and the rule."""


@dataclass(frozen=True, slots=True)
class Section:
    """Desired or reported properties.

    Args:
        values: The properties; never changed in place.
        version: Grows by one with every change.
        metadata: When each property changed, in the shape of the values.
    """

    values: Json = field(default_factory=dict)
    version: int = 1
    metadata: Json = field(default_factory=dict)

    def patched(self, patch: Json, now: datetime) -> Self:
        """The section after a merge patch: objects merge, null removes, anything else replaces.

        Raises:
            TwinError: The patch or the outcome breaks a limit.
        """
        patch = {name: value for name, value in patch.items() if name not in ("$version", "$metadata")}
        check(patch, SECTION_BYTES_MAX)
        values = merged(self.values, patch)
        check(values, SECTION_BYTES_MAX)
        return replace(
            self, values=values, version=self.version + 1, metadata=_stamped(self.metadata, patch, _text(now))
        )

    def document(self) -> Json:
        """As the service API and queries show it."""
        return {**self.values, "$metadata": self.metadata, "$version": self.version}

    def device_document(self) -> Json:
        """As the device reads it."""
        return {**self.values, "$version": self.version}


@dataclass(frozen=True, slots=True)
class Twin:
    """One twin.

    Args:
        tags: Set by the cloud, never seen by the device.
        desired: Set by the cloud or by a deployment.
        reported: Set by the device.
        service_version: Counts the changes made from the cloud; the etag is made of it.
        version: Counts every change.
    """

    tags: Json = field(default_factory=dict)
    desired: Section = field(default_factory=Section)
    reported: Section = field(default_factory=Section)
    service_version: int = 1
    version: int = 1

    @property
    def etag(self) -> str:
        """Eight bytes of the version, in base64, as the service writes it."""
        return base64.b64encode(self.service_version.to_bytes(8, "big")).decode()

    def tagged(self, patch: Json) -> Self:
        """The twin after a merge patch of its tags.

        Raises:
            TwinError: The patch or the outcome breaks a limit.
        """
        check(patch, TAGS_BYTES_MAX)
        tags = merged(self.tags, patch)
        check(tags, TAGS_BYTES_MAX)
        return replace(self, tags=tags, service_version=self.service_version + 1, version=self.version + 1)

    def with_desired(self, patch: Json, now: datetime) -> Self:
        """The twin after a merge patch of its desired properties; TwinError as for Section.patched."""
        desired = self.desired.patched(patch, now)
        return replace(self, desired=desired, service_version=self.service_version + 1, version=self.version + 1)

    def with_reported(self, patch: Json, now: datetime) -> Self:
        """The twin after a merge patch of its reported properties; TwinError as for Section.patched."""
        return replace(self, reported=self.reported.patched(patch, now), version=self.version + 1)


def merged(values: Mapping[str, object], patch: Mapping[str, object]) -> Json:
    """A new object: the values with the patch merged in; null removes, at any depth."""
    result = dict(values)
    for name, change in patch.items():
        before = result.get(name)
        if change is None:
            result.pop(name, None)
        elif isinstance(change, Mapping):
            result[name] = merged(before if isinstance(before, Mapping) else {}, change)
        else:
            result[name] = deepcopy(change)
    return result


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> Json:
    """The smallest merge patch that turns one object into the other (which holds no null)."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := difference(old, value):
                patch[name] = inner
        elif name not in before or old != value or type(old) is not type(value):
            patch[name] = value
    return patch


def check(values: Mapping[str, object], bytes_max: int) -> None:
    """Hold an object against the service's rules for keys, depth, strings and size.

    Args:
        values: Tags or properties, or a patch of them.
        bytes_max: What keys and values may weigh together.

    Raises:
        TwinError: A rule is broken.
    """
    if (size_bytes := _weight(values, depth=1)) > bytes_max:
        raise TwinError(f"{size_bytes} bytes exceed the limit of {bytes_max} bytes: keep large values in a blob")


def _weight(value: object, *, depth: int) -> int:
    if isinstance(value, Mapping):
        if depth > _DEPTH_MAX:
            raise TwinError(f"objects nest deeper than {_DEPTH_MAX} levels")
        return sum(_key_weight(name) + _weight(inner, depth=depth + 1) for name, inner in value.items())
    if isinstance(value, list):
        return sum(_weight(inner, depth=depth) for inner in value)
    if isinstance(value, str):
        if (size_bytes := len(value.encode())) > _STRING_BYTES_MAX:
            raise TwinError(f"a string of {size_bytes} bytes exceeds the limit of {_STRING_BYTES_MAX} bytes")
        return size_bytes
    return _BOOLEAN_BYTES if isinstance(value, bool) else 0 if value is None else _NUMBER_BYTES


def _key_weight(name: str) -> int:
    if not name or _FORBIDDEN_IN_KEYS.search(name):
        raise TwinError(f"property name {name!r} is empty or holds a control character, '.', '$' or a space")
    if (size_bytes := len(name.encode())) > _KEY_BYTES_MAX:
        raise TwinError(f"property name {name[:40]!r}… exceeds {_KEY_BYTES_MAX} bytes")
    return size_bytes


def _stamped(metadata: Mapping[str, object], patch: Mapping[str, object], now: str) -> Json:
    result: Json = {**metadata, "$lastUpdated": now}
    for name, change in patch.items():
        before = result.get(name)
        if change is None:
            result.pop(name, None)
        else:
            kept = before if isinstance(change, Mapping) and isinstance(before, Mapping) else {}
            result[name] = _stamped(kept, change if isinstance(change, Mapping) else {}, now)
    return result


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
