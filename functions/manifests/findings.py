"""What may be wrong with a manifest: every code once, with its severity and what to do about it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

type Severity = Literal["error", "policy", "warning"]
type Place = tuple[str | int, ...]


class Rule(NamedTuple):
    """How bad it is, and what to do about it."""

    severity: Severity
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or may be.

    Args:
        severity: `error`: IoT Edge would reject or misread it; `policy`: IoT Edge takes it, our fence does not.
        code: One of `RULES`.
        pointer: JSON pointer (RFC 6901) of the place in the file; "" is the whole file.
        reason: What was found.
        fix: What to do.
    """

    severity: Severity
    code: str
    pointer: str
    reason: str
    fix: str


RULES = {
    "FILE_UNREADABLE": Rule("error", "name a file that exists and can be read"),
    "JSON_SYNTAX": Rule("error", "mend the line and column named in the reason"),
    "NOT_A_DEPLOYMENT": Rule("warning", "give a file that has modulesContent with $edgeAgent, if it was meant as one"),
    "WRAPPER": Rule("error", "wrap the modules in modulesContent, an object"),
    "NO_WRAPPER": Rule("warning", "wrap the modules in modulesContent: the command line and the portal want it"),
    "COMMENTS": Rule("warning", "remove them before the file is sent: JSON has no comments"),
    "DUPLICATE_KEY": Rule("warning", "keep one of them: the last one counts"),
    "AGENT_MISSING": Rule("error", "add $edgeAgent: IoT Hub takes no deployment without it"),
    "HUB_MISSING": Rule("error", "add $edgeHub with schemaVersion and routes"),
    "SECTION_KEY": Rule("error", "use properties.desired, or properties.desired.<path>"),
    "WRONG_TYPE": Rule("error", "give the value the type named in the reason"),
    "MISSING": Rule("error", "add it"),
    "MISSING_DEFAULT": Rule("warning", "write it out: without it the runtime takes its default"),
    "UNKNOWN_KEY": Rule("warning", "remove it, or correct its spelling: the runtime does not read it"),
    "SCHEMA_VERSION": Rule("error", 'use "1.1": $edgeAgent knows 1.0 and 1.1, $edgeHub 1.0 to 1.3'),
    "SCHEMA_VERSION_HUB_ONLY": Rule("warning", 'use "1.1" for $edgeAgent: later versions exist for $edgeHub only'),
    "MODULE_TYPE": Rule("error", 'use "docker"'),
    "MODULE_STATUS": Rule("error", "use running or stopped"),
    "RESTART_POLICY": Rule("error", "use never, on-failure, on-unhealthy or always"),
    "PULL_POLICY": Rule("error", "use never or on-create"),
    "LETTER_CASE": Rule("warning", "write it in lower case, as it is documented"),
    "MODULE_NAME": Rule("error", "use 1 to 128 of a-z, A-Z, 0-9, - and _"),
    "MODULE_RESERVED": Rule("error", "choose another name: edgeAgent and edgeHub are system modules"),
    "MODULE_COUNT": Rule("error", "spread the modules over several devices: a device has 50 modules at most"),
    "MODULE_MANY": Rule("policy", "keep to 20 modules a device, which every tier and older hubs allow"),
    "IMAGE": Rule("error", "name an image as registry/name@sha256:… or registry/name:tag"),
    "IMAGE_TAG_AND_DIGEST": Rule("error", "keep the digest and drop the tag (Azure/iotedge issue 5259)"),
    "IMAGE_DIGEST": Rule("policy", "pin it: registry/name@sha256:<64 hex digits>"),
    "IMAGE_RUNTIME_TAG": Rule("warning", "pin the runtime too, once its digest is known to you"),
    "IMAGE_REGISTRY": Rule("policy", "copy the image to an allowed registry and name that one"),
    "CREATE_OPTIONS_CHUNKS": Rule(
        "error", "number them createOptions, createOptions01, createOptions02, … without a gap"
    ),
    "CREATE_OPTIONS_JSON": Rule("error", "make the joined createOptions the text of one JSON object"),
    "CREATE_OPTIONS_LENIENT": Rule(
        "warning", "use double quotes and no trailing commas: only IoT Edge's reader takes it"
    ),
    "CREATE_OPTIONS_OBJECT": Rule("warning", "make it a string: the documented form, and the only one tools check"),
    "CREATE_OPTIONS_LONG": Rule("warning", "cut it into createOptions, createOptions01, … of 512 characters"),
    "CREATE_OPTIONS_TYPE": Rule("error", "give the Docker option the type named in the reason"),
    "HOST_OPTION": Rule("policy", "remove it: it lets the container out of its box"),
    "ENV": Rule("error", 'write {"NAME": {"value": "text"}}; a value is a text, a number or a boolean'),
    "CREDENTIALS": Rule("error", "give address, username and password, none of them empty"),
    "SECRET": Rule("policy", "keep it out of the manifest: use an identity, or a secret of the device"),
    "STARTUP_ORDER_VERSION": Rule("warning", 'use schemaVersion "1.1" for $edgeAgent: 1.0 knows no startupOrder'),
    "ROUTE_SYNTAX": Rule("error", "write FROM <source> [WHERE <condition>] INTO <sink>"),
    "ROUTE_OBJECT_VERSION": Rule("error", 'use schemaVersion "1.1" for $edgeHub: in 1.0 a route is a text'),
    "ROUTE_NUMBER": Rule("error", "priority is 0 to 9; timeToLiveSecs is 0 to 4294967295"),
    "ROUTE_SOURCE": Rule("warning", "use /messages/… or one of the other documented sources: nothing matches this one"),
    "ROUTE_MODULE": Rule("warning", "add the module, or correct the name in the route: nothing comes or goes there"),
    "TWIN_MODULE": Rule("warning", "add the module to $edgeAgent, or remove its properties"),
    "TWIN_KEY": Rule("error", "rename it: IoT Hub takes no control character, space, dot or $ in a name"),
    "TWIN_STRING": Rule("error", "shorten it: IoT Hub takes names of 1 KB and texts of 4 KB"),
    "TWIN_NUMBER": Rule("error", "keep whole numbers within 52 bits and a sign, or write a text"),
    "TWIN_DEPTH": Rule("error", "flatten it: IoT Hub takes ten levels below properties.desired"),
    "TWIN_SIZE": Rule("error", "shrink it: IoT Hub takes 32 KB of desired properties a module"),
    "MANIFEST_SIZE": Rule("error", "shrink it: IoT Hub takes 128 KB"),
    "LAYER_COLLISION": Rule("error", "give one of them a higher priority: among equals the newest wins, silently"),
    "LAYER_SHADOWED": Rule("warning", "remove it, or raise its priority: something above it overwrites all of it"),
    "LAYER_BELOW_BASE": Rule("error", "raise its priority above the base's: a layer below its base has no effect"),
}


def finding(code: str, at: Place, reason: str) -> Finding:
    """What is wrong at a place."""
    rule = RULES[code]
    return Finding(rule.severity, code, pointer(at), reason, rule.fix)


def pointer(at: Place) -> str:
    """A place as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in at)
