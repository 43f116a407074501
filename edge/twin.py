"""The desired half of the module twin, as the device knows it."""

from typing import Any

Document = dict[str, Any]


class Desired:
    """Desired properties, kept whole from one full reading and the patches after it.

    A patch holds only what changed, patches may arrive twice, and one may be missing after a reconnect.
    """

    def __init__(self) -> None:
        self._document: Document = {}
        self._version = 0

    @property
    def model(self) -> object:
        """The desired property `model`, as it stands."""
        return self._document.get("model")

    @property
    def shadow(self) -> object:
        """The desired property `shadow`, as it stands."""
        return self._document.get("shadow")

    def replace(self, document: Document) -> None:
        """Take over a full reading, unless a patch newer than it has been merged already."""
        version = int(document.get("$version", 0))
        if version >= self._version:
            self._document, self._version = document, version

    def merge(self, patch: Document) -> bool:
        """Merge a patch that follows on what is known; an old one again changes nothing.

        Returns:
            False when a patch in between is missing: the twin must be read in full.
        """
        version = int(patch.get("$version", 0))
        if version > self._version + 1:
            return False
        if version == self._version + 1:
            self._document, self._version = _merged(self._document, patch), version
        return True


def _merged(document: Document, patch: Document) -> Document:
    """JSON merge patch (RFC 7396), as IoT Hub applies it."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = _merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result
