"""createOptions: cut into chunks and joined again, read as leniently as IoT Edge does, held against an allow-list."""

import json
import re
from collections.abc import Iterator, Mapping

from functions.manifests.findings import Finding, Place, finding
from functions.manifests.placeholders import holds, is_open

CHUNK = 512  # characters; the documented length of a chunk
CHUNKS_MAX = 100
_CHUNK_NAME = re.compile(r"(?i)createoptions(\d*)")
_LENIENT = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<comment>/\*.*?\*/|//[^\n]*)"""
    r"""|(?P<comma>,)(?=\s*[}\]])|(?P<name>[A-Za-z_$][\w$]*)(?=\s*:)""",
    re.DOTALL,
)
_TYPES: Mapping[str, type] = {  # what edgeAgent itself takes apart; everything else goes to Docker as it is
    "env": list,
    "labels": dict,
    "exposedports": dict,
    "hostconfig": dict,
    "hostconfig/binds": list,
    "hostconfig/portbindings": dict,
    "hostconfig/mounts": list,
    "hostconfig/devices": list,
}
_HARMLESS = frozenset(
    {
        *("cmd", "entrypoint", "env", "exposedports", "healthcheck", "hostname", "image", "labels", "networkdisabled"),
        *("attachstdin", "attachstdout", "attachstderr", "openstdin", "stdinonce", "stopsignal", "stoptimeout", "tty"),
        *("user", "volumes", "workingdir"),
    }
)
_HARMLESS_ON_HOST = frozenset(
    {
        *("portbindings", "publishallports", "logconfig", "restartpolicy", "init", "autoremove", "consolesize"),
        *("memory", "memoryreservation", "memoryswap", "memoryswappiness", "oomscoreadj", "pidslimit", "ulimits"),
        *("nanocpus", "cpushares", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems", "devicerequests"),
        *("shmsize", "tmpfs", "readonlyrootfs", "capdrop", "dns", "dnssearch", "dnsoptions", "extrahosts"),
    }
)
_NETWORKS = ("default", "bridge", "none")
_NO_MORE_RIGHTS = (["no-new-privileges"], ["no-new-privileges:true"])
_RUNTIMES = ("nvidia", "runc")


def chunked(options: str) -> Mapping[str, str]:
    """Cut createOptions as IoT Edge wants it: `createOptions`, `createOptions01`, … of at most 512 characters.

    Source: IoT Edge agent, settings of a docker module (DockerConfig.cs).
    """
    parts = [options[at : at + CHUNK] for at in range(0, len(options), CHUNK)] or ["{}"]
    return {f"createOptions{n:02}" if n else "createOptions": part for n, part in enumerate(parts)}


def joined(settings: Mapping[str, object]) -> str:
    """The text that chunks of createOptions make up, in the order of their numbers; an object as its JSON."""
    chunks = sorted((name.lower(), value) for name, value in settings.items() if _CHUNK_NAME.fullmatch(name))
    return "".join(value if isinstance(value, str) else json.dumps(value) for _, value in chunks if value is not None)


def is_chunk(name: str) -> bool:
    """Whether a name is one of createOptions' chunks."""
    return bool(_CHUNK_NAME.fullmatch(name))


def check_options(settings: Mapping[str, object], at: Place, *, template: bool) -> Iterator[Finding]:
    """Hold a module's createOptions against what IoT Edge reads and our fence allows.

    Args:
        settings: The module's settings.
        at: Their place.
        template: Whether a tool may still turn objects into text and cut it.
    """
    chunks = {name: value for name, value in settings.items() if is_chunk(name)}
    broken = [*_chunks(chunks, at, template=template)]
    yield from broken
    if any(one.severity == "error" for one in broken) or any(is_open(value) for value in chunks.values()):
        return
    place = (*at, "createOptions")
    text = joined(chunks)
    try:
        options = parsed(text)
    except ValueError as problem:
        if not holds(text):
            yield finding("CREATE_OPTIONS_JSON", place, str(problem))
        return
    if not _strict(text):
        yield finding("CREATE_OPTIONS_LENIENT", place, "is no strict JSON, though IoT Edge reads it")
    yield from _types(options, place)
    yield from _fence(options, place)


def parsed(text: str) -> Mapping[str, object]:
    """Read createOptions as edgeAgent does: nothing is an empty object; single quotes and trailing commas pass.

    Raises:
        ValueError: It is not the text of one object.
    """
    if not text.strip() or text.strip().lower() == "null":
        return {}
    try:
        options = json.loads(text)
    except ValueError as problem:
        try:
            options = json.loads(_LENIENT.sub(_as_strict, text))
        except ValueError:
            raise ValueError(f"the joined text is no JSON: {problem}") from problem
    except RecursionError as problem:
        raise ValueError("the joined text is nested too deeply") from problem
    if not isinstance(options, dict):
        raise ValueError("the joined text is JSON, but no object")  # noqa: TRY004  # it is a text that is wrong
    return options


def _strict(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return not text.strip()
    return True


def _as_strict(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return json.dumps(match["single"].replace("\\'", "'"))
    if match["name"] is not None:
        return json.dumps(match["name"])
    return match["text"] or ""


def _chunks(chunks: Mapping[str, object], at: Place, *, template: bool) -> Iterator[Finding]:
    yield from _gaps(chunks, at)
    for name, value in chunks.items():
        match value:
            case None:
                continue
            case dict():
                code, reason = "CREATE_OPTIONS_OBJECT", "is an object, not its text"
            case str():
                code, reason = "CREATE_OPTIONS_LONG", f"has {len(value)} characters"
            case _:
                yield finding("WRONG_TYPE", (*at, name), "is neither a text nor an object")
                continue
        if not template and not (isinstance(value, str) and len(value) <= CHUNK):
            yield finding(code, (*at, name), reason)


def _gaps(chunks: Mapping[str, object], at: Place) -> Iterator[Finding]:
    numbers = sorted((int(n) if (n := name[len("createOptions") :]) else 0, n, name) for name in chunks)
    for wanted, (number, digits, name) in enumerate(numbers):
        if number != wanted or (wanted == 0 and digits):
            due = f"createOptions{wanted:02}" if wanted else "createOptions"
            yield finding("CREATE_OPTIONS_CHUNKS", (*at, name), f"comes where {due} is due")
            return
    if len(chunks) > CHUNKS_MAX:
        yield finding("CREATE_OPTIONS_CHUNKS", at, f"{len(chunks)} chunks; IoT Edge reads {CHUNKS_MAX}")


def _lower(options: Mapping[str, object]) -> Mapping[str, object]:
    return {name.lower(): value for name, value in options.items()}  # edgeAgent's reader looks at no letter case


def _types(options: Mapping[str, object], at: Place) -> Iterator[Finding]:
    flat = dict(_lower(options))
    host = flat.get("hostconfig")
    flat |= {f"hostconfig/{name}": value for name, value in _lower(host).items()} if isinstance(host, dict) else {}
    for name, wanted in _TYPES.items():
        value = flat.get(name)
        if value is not None and not isinstance(value, wanted) and not is_open(value):
            word = "an object" if wanted is dict else "an array"
            yield finding("CREATE_OPTIONS_TYPE", at, f"{name} is not {word}")
    ports = flat.get("hostconfig/portbindings")
    for port, bindings in ports.items() if isinstance(ports, dict) else ():
        if bindings is not None and not isinstance(bindings, list) and not is_open(bindings):
            yield finding("CREATE_OPTIONS_TYPE", at, f"hostconfig/portbindings/{port} is not an array")


def _fence(options: Mapping[str, object], at: Place) -> Iterator[Finding]:
    for name, value in options.items():
        if name.lower() == "hostconfig":
            for inner, setting in value.items() if isinstance(value, dict) else ():
                if why := _escapes(inner.lower(), setting):
                    yield finding("HOST_OPTION", at, f"HostConfig.{inner}: {why}")
        elif name.lower() == "networkingconfig":
            if "host" in [network.lower() for network in _networks(value)]:
                yield finding("HOST_OPTION", at, "NetworkingConfig: the host's network")
        elif name.lower() not in _HARMLESS:
            yield finding("HOST_OPTION", at, f"{name} is not on the list of allowed options")


def _networks(value: object) -> list[str]:
    endpoints = _lower(value).get("endpointsconfig") if isinstance(value, dict) else None
    return list(endpoints) if isinstance(endpoints, dict) else []


def _escapes(name: str, value: object) -> str:
    """Why a HostConfig option is outside the fence; empty if it is inside."""
    if name in _HARMLESS_ON_HOST or value in (None, False, [], {}, ""):
        return ""
    sound = {
        "networkmode": value in _NETWORKS or _is_name(value),
        "securityopt": value in _NO_MORE_RIGHTS,
        "runtime": value in _RUNTIMES,
    }
    match name:
        case "binds":
            return _paths([str(one).partition(":")[0] for one in value] if isinstance(value, list) else ["?"])
        case "mounts":
            return _mounts(value)
    if name in sound:
        return "" if sound[name] else f"{str(value)[:60]!r} is not allowed here"
    return "is not on the list of allowed options"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"(?i)(?!host$)[a-z0-9][\w.-]+", value))


def _paths(sources: list[str]) -> str:
    hosts = [source for source in sources if not _is_name(source) and not is_open(source)]
    return f"the host's own {', '.join(hosts)}; a named volume is allowed" if hosts else ""


def _mounts(value: object) -> str:
    mounts = [_lower(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    others = sorted({str(one.get("type")) for one in mounts if one.get("type") not in ("volume", "tmpfs")})
    if others or not mounts:
        return f"a mount of type {', '.join(others) or 'unknown'}; a volume is allowed"
    return _paths([str(one.get("source", "volume")) for one in mounts if one.get("type") == "volume"])
