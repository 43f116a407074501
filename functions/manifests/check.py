"""Everything that is wrong with one manifest, or may be. Pure."""

import json
import re
from collections.abc import Iterator, Sequence

from functions.manifests.agent import AgentCheck
from functions.manifests.findings import Finding, Place, finding
from functions.manifests.hub import HubCheck
from functions.manifests.options import is_chunk
from functions.manifests.placeholders import holds, holds_surely
from functions.manifests.read import AGENT, DESIRED, HUB, Manifest
from functions.manifests.twin import check_twin
from functions.manifests.values import wrong_type

CONTENT_BYTES_MAX = 128 * 1024
_ORDER = ("error", "policy", "warning")
_SECRET_TEXT = re.compile(
    r"(?i)SharedAccessKey\s*=\s*[^;\s$<{]|AccountKey\s*=\s*[^;\s$<{]|[?&]sig=[\w%]{8}|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?:password|passwd|pwd)\s*=\s*[^;\s$<{]|\b(?:ghp|github_pat|xox[bp])_\w{16}"
)
_SECRET_NAME = re.compile(
    r"(?i)(password|passwd|pwd|secret|api_?key|access_?key|shared_?key|account_?key|(access|sas|auth)_?token|connection_?string)$"
)


def check(manifest: Manifest, *, registries: Sequence[str] = ()) -> list[Finding]:
    """Check a manifest.

    Args:
        manifest: As it was read.
        registries: Hosts that images may come from, besides Microsoft's for the runtime; empty for any.

    Returns:
        The findings, the worst first; findings of one severity in the order of the file.
    """
    found = [*manifest.found]
    if manifest.kind != "not-a-deployment" and manifest.modules:
        found += _sections(manifest, tuple(registries))
    elif manifest.kind != "not-a-deployment" and not found:
        found.append(finding("AGENT_MISSING", manifest.at, "there is no $edgeAgent"))
    return sorted(dict.fromkeys(found), key=lambda one: _ORDER.index(one.severity))


def _sections(manifest: Manifest, registries: tuple[str, ...]) -> Iterator[Finding]:
    at, modules = manifest.at, manifest.modules
    if AGENT not in modules:
        yield finding("AGENT_MISSING", at, "there is no $edgeAgent")
    if HUB not in modules and manifest.kind == "base":
        yield finding("HUB_MISSING", at, "there is no $edgeHub")
    size = len(json.dumps(modules, separators=(",", ":")).encode())
    if size > CONTENT_BYTES_MAX:
        yield finding("MANIFEST_SIZE", at, f"{size} bytes")
    names = _names(manifest)
    agent, hub = AgentCheck(manifest.template, registries), HubCheck(names)
    for module, section in modules.items():
        yield from _section(manifest, module, section, agent=agent, hub=hub)
        if names is not None and module not in (AGENT, HUB, *names) and not holds_surely(module):
            yield finding("TWIN_MODULE", (*at, module), f"there are properties for {module[:60]!r}, but no such module")
    yield from _secrets(modules, at)


def _section(
    manifest: Manifest, module: str, section: object, *, agent: AgentCheck, hub: HubCheck
) -> Iterator[Finding]:
    at: Place = (*manifest.at, module)
    if not isinstance(section, dict):
        yield from wrong_type(section, at, dict)
        return
    if manifest.kind == "base" and module in (AGENT, HUB) and DESIRED not in section:
        yield finding("MISSING", at, f"there is no {DESIRED}")
    for key, value in section.items():
        if key == DESIRED and not isinstance(value, dict):
            yield from wrong_type(value, (*at, key), dict)
        elif key == DESIRED and isinstance(value, dict):
            checks = {AGENT: agent.whole, HUB: hub.whole}.get(module)
            yield from checks(value, (*at, key)) if checks else ()
        elif key.startswith(f"{DESIRED}."):
            paths = {AGENT: agent.path, HUB: hub.path}.get(module)
            parts = tuple(key.removeprefix(f"{DESIRED}.").split("."))
            yield from paths(parts, value, (*at, key)) if paths else ()
        else:
            yield finding("SECTION_KEY", (*at, key), f"{key[:60]!r} is neither {DESIRED} nor a path below it")
            continue
        yield from check_twin(_as_sent(value), (*at, key), template=manifest.template)


def _names(manifest: Manifest) -> frozenset[str] | None:
    """The modules that a base has; None for a layer, whose base is not known."""
    agent = manifest.modules.get(AGENT)
    desired = agent.get(DESIRED) if isinstance(agent, dict) else None
    modules = desired.get("modules") if isinstance(desired, dict) else None
    if manifest.kind != "base" or not isinstance(modules, dict) or any(holds_surely(name) for name in modules):
        return None
    paths = [key.removeprefix(f"{DESIRED}.modules.") for key in agent] if isinstance(agent, dict) else []
    return frozenset(modules) | {path.partition(".")[0] for path in paths}


def _as_sent(value: object) -> object:
    """A value once every createOptions that is an object has become its text: tools do that, and so does the agent."""
    if isinstance(value, dict):
        return {
            name: json.dumps(inner, separators=(",", ":"))
            if is_chunk(str(name)) and isinstance(inner, dict)
            else _as_sent(inner)
            for name, inner in value.items()
        }
    return [_as_sent(inner) for inner in value] if isinstance(value, list) else value


def _secrets(value: object, at: Place) -> Iterator[Finding]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _secrets(inner, (*at, name))
        case list():
            for index, inner in enumerate(value):
                yield from _secrets(inner, (*at, index))
        case str() if value and not holds(value):
            if _SECRET_TEXT.search(value):
                yield finding("SECRET", at, "a key or password in clear")
            elif _SECRET_NAME.search(_owner(at)):
                yield finding("SECRET", at, f"{_owner(at)} in clear")


def _owner(at: Place) -> str:
    names = [str(part) for part in at if part != "value"]
    return names[-1] if names else ""
