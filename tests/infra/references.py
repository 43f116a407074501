"""Texts that name something elsewhere, which types leave open: sources, routes, private links, categories of logs."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.bicep.deploy import World
from tests.infra.bicep.values import Runtime, Thing, Value, get
from tests.infra.estate import Estate
from tests.infra.policy import (
    BLOBS,
    BUS,
    CONTAINER,
    DIAGNOSTICS,
    ENDPOINT,
    HUB,
    LIFECYCLE,
    LOGS,
    REGISTRY,
    SITE,
    STORAGE,
    SYSTEM_TOPIC,
    TOPIC,
    VAULT,
    WORKSPACE,
)  # fmt: skip

TABLES = f"{STORAGE}/tableServices"
TOPIC_TYPES = {  # what a system topic calls its source
    STORAGE: "Microsoft.Storage.StorageAccounts",
    WORKSPACE: "Microsoft.MachineLearningServices.Workspaces",
    HUB: "Microsoft.Devices.IoTHubs",
}
BUILT_IN = {"events", "eventgrid"}  # endpoints that every IoT Hub has
LINKS: Mapping[str, Mapping[str, str]] = {  # what a private endpoint may reach of a resource, and the zone of its names
    STORAGE: {part: f"privatelink.{part}.core.windows.net" for part in ("blob", "table", "queue", "file", "dfs")},
    VAULT: {"vault": "privatelink.vaultcore.azure.net"},
    REGISTRY: {"registry": "privatelink.azurecr.io"},
    BUS: {"namespace": "privatelink.servicebus.windows.net"},
}
WRITES = {"StorageRead", "StorageWrite", "StorageDelete"}
CATEGORIES: Mapping[str, set[str]] = {  # of logs, by who writes them; Microsoft's reference of resource logs
    BLOBS: WRITES,
    TABLES: WRITES,
    TOPIC: {"DeliveryFailures", "PublishFailures", "DataPlaneRequests"},
    SYSTEM_TOPIC: {"DeliveryFailures", "DataPlaneRequests"},
    HUB: {
        "Connections", "DeviceTelemetry", "C2DCommands", "DeviceIdentityOperations", "FileUploadOperations", "Routes",
        "D2CTwinOperations", "C2DTwinOperations", "TwinQueries", "JobsOperations", "DirectMethods", "Configurations",
    },
    SITE: {"FunctionAppLogs", "AppServiceAuthenticationLogs", "AppServiceHTTPLogs", "AppServicePlatformLogs"},
    BUS: set(), VAULT: {"AuditEvent"}, REGISTRY: {"ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"},
    WORKSPACE: set(), LOGS: {"Audit"},
}  # fmt: skip
GROUPS = {"allLogs", "audit"}  # of categories; the services without a list above have both
WITH_GROUPS = {BUS, VAULT, REGISTRY, WORKSPACE, LOGS, TOPIC, BLOBS, TABLES}


def sources(estate: Estate) -> Iterator[str]:
    """A system topic calls its source what it is."""
    for world in estate.worlds.values():
        for topic in world.made(SYSTEM_TOPIC):
            source = get(topic.body, "properties.source")
            of = world.meant(source.thing).type if isinstance(source, Runtime) and source.thing else ""
            if TOPIC_TYPES.get(of) != get(topic.body, "properties.topicType"):
                yield f"{topic.at}: {topic} calls {source} a {get(topic.body, 'properties.topicType')}"


def routes(estate: Estate) -> Iterator[str]:
    """A route of IoT Hub leads to an endpoint that the hub has, and no two routes are called the same."""
    for world in estate.worlds.values():
        for hub in world.made(HUB):
            routing = get(hub.body, "properties.routing")
            known = BUILT_IN | {str(one["name"]) for one in _each(get(routing, "endpoints.eventHubs"))}
            every = [*_each(get(routing, "routes")), get(routing, "fallbackRoute")]
            names = {name for route in every for name in _each(get(route, "endpointNames"))}
            yield from (f"{hub.at}: {hub} has a route to {name}" for name in sorted(names - known))


def links(estate: Estate) -> Iterator[str]:
    """A private endpoint reaches a part that its resource has, and its name lies in the zone of that part."""
    for world in estate.worlds.values():
        zones = {one.parent: _zones(one) for one in world.made(f"{ENDPOINT}/privateDnsZoneGroups")}
        for endpoint in world.made(ENDPOINT):
            for link in _each(get(endpoint.body, "properties.privateLinkServiceConnections")):
                target = get(link, "properties.privateLinkServiceId")
                of = world.meant(target.thing).type if isinstance(target, Runtime) and target.thing else ""
                for group in _each(get(link, "properties.groupIds")):
                    zone = LINKS.get(of, {}).get(group)
                    if zone is None:
                        yield f"{endpoint.at}: {endpoint} reaches {group} of {target}, which has none"
                    elif zones.get(endpoint) != [zone]:
                        yield f"{endpoint.at}: {endpoint} is named in {zones.get(endpoint)}, not in {zone}"


def categories(estate: Estate) -> Iterator[str]:
    """Diagnostics ask for logs that the resource writes."""
    for world in estate.worlds.values():
        for one in world.made(DIAGNOSTICS):
            of = world.meant(one.scope).type if isinstance(one.scope, Thing) else ""
            for asked in _each(get(one.body, "properties.logs")):
                name, group = get(asked, "category"), get(asked, "categoryGroup")
                fits = name in CATEGORIES.get(of, set()) if name else group in GROUPS and of in WITH_GROUPS
                if not fits:
                    yield f"{one.at}: {one} asks for {name or group}, which a {of} does not write"


def containers(estate: Estate) -> Iterator[str]:
    """Rules about what is deleted, and dead letters, name containers that are made."""
    for world in estate.worlds.values():
        made = _containers(world)
        for policy in world.made(LIFECYCLE):
            for rule in _each(get(policy.body, "properties.policy.rules")):
                for prefix in _each(get(rule, "definition.filters.prefixMatch")):
                    if (str(policy.parent), str(prefix).partition("/")[0]) not in made:
                        yield f"{policy.at}: {policy} has a rule about {prefix}"


CHECKS = {
    "sources": sources,
    "routes": routes,
    "private links": links,
    "log categories": categories,
    "containers with rules": containers,
}


def _containers(world: World) -> set[tuple[str, str]]:
    return {(str(one.parent.parent), str(one.name)) for one in world.made(CONTAINER) if one.parent}


def _zones(group: Thing) -> list[Value]:
    found: list[Value] = []
    for one in _each(get(group.body, "properties.privateDnsZoneConfigs")):
        zone = get(one, "properties.privateDnsZoneId")
        found.append(zone.thing.name if isinstance(zone, Runtime) and zone.thing else zone)
    return found


def _each(value: Value) -> list[Any]:
    return value if isinstance(value, list) else []
