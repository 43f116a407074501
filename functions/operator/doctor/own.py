"""The app by itself: its settings, loops, identity and versions."""

import re
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from functions import loops
from functions.errors import Refused
from functions.loops import Loop
from functions.operator.doctor.finding import Finding
from functions.operator.doctor.patient import AUDIENCES, Patient

PYTHON = (3, 13)
PINNED = ("azure-functions", "azure-functions-runtime", "azure-iot-hub", "azure-ai-ml")
OF_TRIGGERS = (
    "LOOP_SCHEDULE",
    "RECONCILE_SCHEDULE",
    "TELEMETRY_EVENT_HUB",
    "TELEMETRY_CONSUMER_GROUP",
    "Telemetry__fullyQualifiedNamespace",
)
PIN = re.compile(r"(?m)^([a-z0-9-]+)==([^ \\;]+)")
REQUIREMENTS = Path(__file__).parents[3] / "requirements.txt"


def settings_of_triggers(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What the host puts into triggers: without one of them no function of the app starts."""
    missing = [name for name in OF_TRIGGERS if not environment.get(name)]
    if missing:
        fix = "set them in the app's configuration; docs/settings.md has their meaning"
        yield Finding("settings", "error", f"the host finds no {', '.join(missing)}", "a trigger names each", fix)
    else:
        yield Finding("settings", "ok", "every setting is there, and each is usable")


def readable_loops(folder: Path) -> tuple[Mapping[str, Loop], list[Finding]]:
    """Every loop file by itself, so that a broken one does not hide its neighbours."""
    found: dict[str, Loop] = {}
    told: list[Finding] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            found[path.stem] = loops.read(path)
        except Refused as broken:
            told.append(Finding("loops", "error", broken.what, broken.why, broken.fix))
        else:
            told.append(Finding("loops", "ok", f"{path.name} is a sound loop"))
    if not told:
        fix = "add one, or correct LOOPS_FOLDER; see docs/loops.md"
        told.append(Finding("loops", "error", f"no loop in {folder}/", "the folder has no .toml file", fix))
    return found, told


def identity(patient: Patient) -> Iterator[Finding]:
    """A token for each service, and whose it is."""
    who = set()
    with ThreadPoolExecutor(len(AUDIENCES)) as pool:  # one that gets no token may take seconds to say so
        asked = {audience: pool.submit(patient.asker.claims, audience) for audience in AUDIENCES}
    for answer in asked.values():
        try:
            claims = answer.result()
        except Refused as refused:
            yield Finding("identity", "error", refused.what, refused.why, refused.fix)
        else:
            who.add(str(claims.get("upn") or claims.get("appid") or "unknown"))
    if who:
        yield Finding("identity", "ok", f"tokens are had in the name of {', '.join(sorted(who))}")


def versions(_: Patient) -> Iterator[Finding]:
    """Python, and the packages whose version matters, beside what requirements.txt pins."""
    if sys.version_info[:2] != PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        why, fix = "azure-functions 2 and azure-iot-hub need it", "deploy with Python 3.13; in Azure runtime.version"
        yield Finding("versions", "error", f"Python is {found}, not 3.13", why, fix)
    wanted = dict(PIN.findall(REQUIREMENTS.read_text(encoding="utf-8"))) if REQUIREMENTS.is_file() else {}
    wrong = [
        f"{name} is {have}, not {wanted[name]}" for name in PINNED if (have := _installed(name)) != wanted.get(name)
    ]
    if not wanted:
        why, fix = f"{REQUIREMENTS} is not there", "deploy it with the app"
        yield Finding("versions", "warning", "no version can be compared", why, fix)
    elif wrong:
        fix = "install what requirements.txt pins, with hashes"
        yield Finding("versions", "error", "packages differ from requirements.txt", "; ".join(wrong), fix)
    else:
        told = ", ".join(f"{name} {wanted[name]}" for name in PINNED)
        yield Finding("versions", "ok", f"Python {sys.version.split()[0]}, {told}")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
