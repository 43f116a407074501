"""One-place faults, each planted in our own template; faults.toml has them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAID = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Fault:
    """A text of one file that is replaced, once.

    Args:
        what: In words.
        file: In infra/.
        old: What stands there.
        new: What would stand there.
        found_by: Name of the check that must find it; empty if none does.
    """

    what: str
    file: str
    old: str
    new: str
    found_by: str = ""


def _faults(said: Mapping[str, Any], found_by: str) -> list[Fault]:
    return [Fault(what, file, old, new, found_by) for what, (file, old, new) in said.items()]


CAUGHT = [fault for found_by, said in _SAID["caught"].items() for fault in _faults(said, found_by)]
MISSED = _faults(_SAID["missed"], "")
