"""Whether the templates are sound in themselves: what Bicep's compiler, and Resource Manager, would say of them."""

import re
from collections.abc import Iterator

from tests.infra.bicep import symbols
from tests.infra.bicep.parameters import check_parameter, looks_secret, plain, secure
from tests.infra.bicep.published import types
from tests.infra.bicep.syntax import Call, inside
from tests.infra.estate import Estate

KEYS = re.compile(r"(?i)(key|connectionstring|listkeys|sas)\}")
NO_TYPES = {  # not among the published types that lie beside the project: nobody has checked their bodies
    "Microsoft.ContainerInstance/containerGroups",
    "Microsoft.EventHub/namespaces/networkRuleSets",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
}


def names(estate: Estate) -> Iterator[str]:
    """Undefined, unused, or needed before they are known."""
    for one in estate.templates.values():
        yield from symbols.problems(one)


def deployments(estate: Estate) -> Iterator[str]:
    """What no deployment of any case could evaluate: modules, parameters, properties of values, conditions."""
    for one in estate.templates.values():
        for parameter in one.parameters.values():
            default = plain(parameter.default)
            if default is not None:
                yield from (f"{parameter.at}: {problem}" for problem in check_parameter(parameter, default))
    for _, world in estate.every_world():
        yield from world.wrong


def untaken(estate: Estate) -> Iterator[str]:
    """Branches that no case takes, so that nothing here has looked at them."""
    taken = {one for _, world in estate.every_world() for one in world.taken}
    asked = {at for one in estate.templates.values() for node in one.declarations() for at in symbols.branches(node)}
    for at in asked:
        for outcome in (True, False):
            if (at, outcome) not in taken:
                yield f"{at}: no case has this condition {str(outcome).lower()}"


def published(estate: Estate) -> Iterator[str]:
    """What does not agree with the published types: properties written, and properties read."""
    known = types()
    for _, world in estate.every_world():
        for thing in world.resources:
            if thing.type not in NO_TYPES:
                yield from known.check(thing)
        for read in world.reads:
            if read.thing.type not in ("", *NO_TYPES):
                problem = known.kind(read.thing, read.path)[1]
                if problem:
                    yield f"{read.at}: {read.thing}: {problem}"


def names_taken_twice(estate: Estate) -> Iterator[str]:
    """Two resources of one type, parent and name: the second would be deployed over the first."""
    for _, world in estate.every_world():
        seen: dict[tuple[object, ...], str] = {}
        for thing in world.made():
            key = (thing.type, thing.name, str(thing.parent), str(thing.scope))
            if key in seen:
                yield f"{thing.at}: {thing} is {seen[key]} once more"
            seen[key] = str(thing)


def secrets(estate: Estate) -> Iterator[str]:
    """No template asks Azure for a key, takes a secret without @secure(), or gives one away."""
    for path, one in estate.templates.items():
        parts, parameters = inside(tuple(one.declarations())), one.parameters.values()
        calls = [part for part in parts if isinstance(part, Call)]
        listing = [call for call in calls if call.function.rpartition(".")[2].startswith("list")]
        yield from (f"{call.at}: {call.function} reads a key" for call in listing)
        open_ones = [given for given in parameters if looks_secret(given.name) and not secure(given)]
        yield from (f"{given.at}: {given.name} is a secret without @secure()" for given in open_ones)
        yield from (f"{path}: the output {name} gives a secret away" for name in one.outputs if looks_secret(name))
    for case, world in estate.every_world():
        for name, value in world.outputs.items():
            if KEYS.search(str(value)):
                yield f"the output {name} is {value}, in {case}"


CHECKS = {
    "names": names,
    "deployments": deployments,
    "untaken": untaken,
    "published": published,
    "names taken twice": names_taken_twice,
    "secrets": secrets,
}
