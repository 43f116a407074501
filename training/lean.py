"""Keeps a step's process as small as its environment, also on a laptop where much more is installed."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NotHere(MetaPathFinder):
    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"{fullname} is no part of a training step", name=fullname)
        return None


def keep_out(*packages: str) -> None:
    """Make packages look absent to whatever is imported from now on.

    LightGBM and pyarrow import pandas and scikit-learn only because they are there: two thirds of a step's start, for
    nothing that a step uses. The environment of environment.yml has neither.
    """
    sys.meta_path.insert(0, _NotHere(frozenset(packages)))
