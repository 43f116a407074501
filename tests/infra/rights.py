"""Whether the template gives each right that something needs, and no other."""

from collections.abc import Iterator

from tests.infra.bicep.deploy import World
from tests.infra.bicep.values import Runtime, Thing, Value, get
from tests.infra.estate import DEVICE, KUBELET, PERSON, Estate
from tests.infra.permissions import GRANTS, OPERATIONS, ROLES, Role
from tests.infra.policy import CONTAINER, GRANT
from tests.infra.sdk_calls import calls

PEOPLE = {PERSON: "operator", DEVICE: "device", KUBELET: "kubelet"}
NAMED = {CONTAINER, "Microsoft.EventHub/namespaces/eventhubs"}  # are known by their own names
DEFINITION = "Microsoft.Authorization/roleDefinitions"


def given(estate: Estate) -> Iterator[str]:
    """Each case gives exactly the rights of the table."""
    for case, world in estate.worlds.items():
        found = [_grant(world, one) for one in world.made(GRANT)]
        wanted = [(one.who, one.role, one.on) for one in GRANTS if not one.when or case in one.when]
        for one in sorted(set(wanted) - set(found)):
            yield f"nobody gives {one[0]} the role {one[1]} on {one[2]}, in {case}"
        for one in sorted(set(found) - set(wanted)):
            yield f"nothing needs that {one[0]} has the role {one[1]} on {one[2]}, as in {case}"


def known_roles(estate: Estate) -> Iterator[str]:
    """Every role is on the list, or declared here without the right to give rights or read keys."""
    for world in estate.worlds.values():
        for one in world.made(GRANT):
            role = get(one.body, "properties.roleDefinitionId")
            if not isinstance(role, Runtime) and str(role).rpartition("/")[2] not in ROLES:
                yield f"{one.at}: {one} gives the role {role}, which is not on the list"
        for one in world.made(DEFINITION):
            for action in _role(one).gives:
                if (
                    action in ("*", "*/read")
                    or "listkeys" in action.lower()
                    or action.startswith("Microsoft.Authorization")
                ):
                    yield f"{one.at}: {one} gives {action}"


def sufficient(estate: Estate) -> Iterator[str]:
    """The role of each row gives what the row takes."""
    declared = {one.address.rpartition(".")[2]: _role(one) for one in estate.usual.made(DEFINITION)}
    roles = {role.name: role for role in ROLES.values()} | declared
    for row in GRANTS:
        for action in row.takes:
            if row.role not in roles or not roles[row.role].covers(action):
                yield f"{row.role} does not give {action}, which {row.who} needs on {row.on}"


def declared_roles_are_used(estate: Estate) -> Iterator[str]:
    """A role of our own gives the app nothing that the app does not use."""
    for one in estate.usual.made(DEFINITION):
        rows = [row for row in GRANTS if row.role == one.address.rpartition(".")[2] and row.who == "app"]
        used = {action.lower() for row in rows for action in row.takes} | ALONGSIDE
        for action in _role(one).gives if rows else ():
            if action.lower() not in used:
                yield f"{one.at}: {one} gives {action}, which nothing uses"


def asked_of_azure() -> Iterator[str]:
    """What the code asks of Azure is what the table says; each entry takes a right that the app has."""
    found = calls()
    for one in sorted(found ^ OPERATIONS.keys()):
        yield f"{one} is {'asked, and not in the table' if one in found else 'in the table, and never asked'}"
    for what, actions in OPERATIONS.items():
        for action in actions:
            if not any(row.who == "app" and action in row.takes for row in GRANTS):
                yield f"{what} takes {action}, which no row gives the app"


def needed_by_the_code() -> Iterator[str]:
    """Each right of the app is taken by the code, or the row says by what else."""
    taken = {action for actions in OPERATIONS.values() for action in actions}
    for row in GRANTS:
        if not row.because and not (row.who == "app" and set(row.takes) <= taken):
            yield f"nothing in functions/cloud needs {row.role} on {row.on}"


ALONGSIDE = {  # Resource Manager asks for these beside what a request is about
    "microsoft.containerregistry/registries/read", "microsoft.containerregistry/registries/schedulerun/action",
}  # fmt: skip


def _grant(world: World, one: Thing) -> tuple[str, str, str]:
    return (
        _who(get(one.body, "properties.principalId")),
        _named(get(one.body, "properties.roleDefinitionId")),
        _on(world, one),
    )


def _who(principal: Value) -> str:
    if isinstance(principal, Runtime) and principal.thing:
        name = principal.thing.address
        return "inference" if name.startswith("inferenceInTheCloud.") else name.rpartition(".")[2]
    return PEOPLE.get(str(principal), str(principal))


def _named(role: Value) -> str:
    if isinstance(role, Runtime) and role.thing:
        return role.thing.address.rpartition(".")[2]
    known = ROLES.get(str(role).rpartition("/")[2])
    return known.name if known else str(role)


def _on(world: World, one: Thing) -> str:
    if not isinstance(one.scope, Thing):
        return "the resource group"
    found = world.meant(one.scope)
    return str(found.name) if found.type in NAMED else found.address


def _role(one: Thing) -> Role:
    permissions = get(one.body, "properties.permissions")
    every = permissions if isinstance(permissions, list) else []
    gives = [action for part in every for kind in ("actions", "dataActions") for action in _list(get(part, kind))]
    return Role(str(one.name), tuple(map(str, gives)))


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


CHECKS = {
    "given": given,
    "known roles": known_roles,
    "sufficient": sufficient,
    "declared roles": declared_roles_are_used,
}
