"""`python -m bench.package [--json FILE]`: what is uploaded to Azure, built, installed and indexed as it is there."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.app_process import ROOT
from bench.figures import Figures
from laptop.cli import HOME
from laptop.settings import app_settings
from laptop.stack import Stack

RUNS = 5
HOOK = ["/bin/sh", "infra/hooks/prepackage.sh"]
PACKAGES = ".python_packages"
PYTHON = f"{sys.base_prefix}/bin/python3.13"  # without this checkout's environment; -S takes its own packages away too
LOAD = """
import asyncio, json, sys, time
app, repository = sys.argv[1:]
sys.path.insert(0, repository)
from laptop.host import worker  # Microsoft's worker library behind it
sys.path.remove(repository)
begun = time.perf_counter()
functions = asyncio.run(worker.load(__import__("pathlib").Path(app)))
seconds = time.perf_counter() - begun
places = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
triggers = {one.name: {"type": one.trigger.kind, **one.trigger.options} for one in functions}
print(json.dumps({"functions": triggers, "seconds": seconds, "modules": places}))
"""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the worker library found in an app.

    Args:
        functions: Each function's trigger, by the function's name.
        seconds: What loading took, Microsoft's libraries and Python itself not counted.
        modules: Every module the process imported, and its file.
    """

    functions: Mapping[str, Mapping[str, object]]
    seconds: float
    modules: Mapping[str, str]


def uploaded(root: Path) -> list[str]:
    """Paths that are uploaded from a clean clone: what git has, but not what .funcignore names, as git reads it."""
    tracked = _git(root, "ls-files", "--cached")
    ignored = _git(root, "ls-files", "--cached", "--ignored", "--exclude-from=.funcignore")
    return sorted(path for path in tracked - ignored if (root / path).is_file())


def build(root: Path, folder: Path) -> Path:
    """Lay the package down in a folder, and beside it as a ZIP file; the file's path."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in uploaded(root):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, folder / path)
            packed.write(root / path, path)
    return archive


def bring(root: Path, package: Path) -> None:
    """Bring the packages of requirements.txt into it, as the deployment's own hook does, in a clone of the repository.

    Raises:
        subprocess.CalledProcessError: They cannot be installed.
    """
    with TemporaryDirectory(dir=package.parent) as place:
        clone = Path(place)
        for path in _git(root, "ls-files", "--cached"):
            if (root / path).is_file():
                (clone / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / path, clone / path)
        for name in (".venv", ".tools"):  # what `make setup` makes there
            (clone / name).symlink_to(root / name)
        offline = {**os.environ, "UV_OFFLINE": "1"}
        if subprocess.run(HOOK, cwd=clone, env=offline, check=False, capture_output=True).returncode:
            subprocess.run(HOOK, cwd=clone, check=True, capture_output=True)  # not all is in uv's cache any more
        (clone / PACKAGES).rename(package / PACKAGES)


def index(package: Path) -> Indexed:
    """Load the package in a fresh process, as Microsoft's worker does, on a Python that has nothing of its own.

    Raises:
        RuntimeError: It does not load.
    """
    settings = app_settings(Stack("127.0.0.1", HOME))
    libraries = package / PACKAGES / "lib" / "site-packages"
    environment = {"PATH": os.environ["PATH"], "HOME": str(package.parent), "PYTHONPATH": str(libraries), **settings}
    order = [PYTHON, "-S", "-W", "ignore", "-c", LOAD, str(package), str(ROOT)]
    found = subprocess.run(order, cwd=package, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"the package does not load:\n{found.stderr}")
    return Indexed(**json.loads(found.stdout.splitlines()[-1]))


def size_mib(paths: Sequence[Path]) -> float:
    """What files hold together."""
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="bench.package", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    figures = Figures("The package that is uploaded to Azure")
    with TemporaryDirectory() as place:
        package = Path(place) / "package"
        archive = build(ROOT, package)
        begun = time.perf_counter()
        bring(ROOT, package)
        figures.single("bring_s", time.perf_counter() - begun, of="bringing its libraries, from uv's cache")
        found = [index(package) for _ in range(RUNS)]
        figures.spread("load_s", [one.seconds for one in found[1:]], of="loading and indexing function_app.py")
        figures.single("functions", len(found[0].functions), of="functions")
        figures.single("files", len(uploaded(ROOT)), of="files of ours")
        figures.single("ours_mib", size_mib([archive]), of="files of ours, packed")
        figures.single("libraries_mib", size_mib(list((package / PACKAGES).rglob("*"))), of="libraries, unpacked")
        whole = shutil.make_archive(str(Path(place) / "whole"), "zip", package)
        figures.single("package_mib", size_mib([Path(whole)]), of="the package, packed")
        figures.single("modules", len(found[0].modules), of="modules imported at the start")
    figures.tell(given.json)


def _git(root: Path, *order: str) -> set[str]:
    said = subprocess.run(["git", *order, "-z"], cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S607
    return set(said.split("\0")) - {""}


if __name__ == "__main__":
    main()
