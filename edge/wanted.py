"""Which model a device is asked for: the twin's desired properties `model`, to serve, and `shadow`, to try."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge.errors import Unfit

_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")]


class Wanted(Struct, frozen=True):
    """One model version, down to the last byte.

    Args:
        model: Registered name.
        version: Registered version.
        sha256: Checksum of the model's files.json, which holds the checksums of all other files.
        url: Folder of the model inside the model store.
        profile: Hash of the reference profile the model was trained with.
    """

    model: _Name
    version: _Name
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    url: Annotated[str, Meta(max_length=2_000)]
    profile: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it this model, wherever it is fetched from."""
        return self.model, self.version, self.sha256

    def __str__(self) -> str:
        return f"{self.model}:{self.version}"


def read_wanted(desired: object, *, name: str) -> Wanted | None:
    """Read a desired property; None when no model is asked for.

    Args:
        desired: Its value.
        name: `model` or `shadow`.

    Raises:
        Unfit: The property is there and names no model.
    """
    if desired is None:
        return None
    try:
        return msgspec.convert(desired, Wanted)
    except msgspec.ValidationError as problem:
        raise Unfit(
            f"the twin's desired property `{name}` names no model",
            why=str(problem),
            fix="compare the deployment with edge/wanted.py",
        ) from problem
