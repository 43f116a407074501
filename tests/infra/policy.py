"""The reviewer's list: one sentence a row, and what breaks it."""

from collections.abc import Callable, Iterator, Mapping

from tests.infra.bicep.syntax import Call, Condition, Expression, Loop, Object, Resource
from tests.infra.bicep.values import Thing, Value, get
from tests.infra.estate import BY_AZD, Estate

STORAGE, CONTAINER = "Microsoft.Storage/storageAccounts", "Microsoft.Storage/storageAccounts/blobServices/containers"
BLOBS, LIFECYCLE = (
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/managementPolicies",
)
SITE, PLAN = "Microsoft.Web/sites", "Microsoft.Web/serverfarms"
PASSWORDS = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
TOPIC, SYSTEM_TOPIC = "Microsoft.EventGrid/topics", "Microsoft.EventGrid/systemTopics"
HUB, BUS, VAULT = "Microsoft.Devices/IotHubs", "Microsoft.EventHub/namespaces", "Microsoft.KeyVault/vaults"
REGISTRY, INSIGHTS = "Microsoft.ContainerRegistry/registries", "Microsoft.Insights/components"
LOGS, WORKSPACE = "Microsoft.OperationalInsights/workspaces", "Microsoft.MachineLearningServices/workspaces"
COMPUTE, DATASTORE = f"{WORKSPACE}/computes", f"{WORKSPACE}/datastores"
GRANT, DIAGNOSTICS = "Microsoft.Authorization/roleAssignments", "Microsoft.Insights/diagnosticSettings"
BUDGET, CONTAINERS = "Microsoft.Consumption/budgets", "Microsoft.ContainerInstance/containerGroups"
ENDPOINT = "Microsoft.Network/privateEndpoints"
WATCHED = (STORAGE, SITE, TOPIC, SYSTEM_TOPIC, HUB, BUS, VAULT, REGISTRY, LOGS, WORKSPACE, CONTAINERS)
TAGGED = (*WATCHED, PLAN, INSIGHTS, COMPUTE, ENDPOINT, "Microsoft.ManagedIdentity/userAssignedIdentities")
BY_KEY = "a Stack Edge device"  # the one case in which an account takes keys: the device has nothing else
FLEX_REFUSES = {"ftpsState", "alwaysOn", "linuxFxVersion", "appCommandLine", "javaVersion", "pythonVersion"}
FLEX_REFUSES_SETTINGS = {  # Microsoft's list of settings that this plan does not take
    "ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTSHARE",
    "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_USE_PLACEHOLDER",
}  # fmt: skip
type Check = Callable[[Estate], Iterator[str]]


def everywhere(type_: str, path: str, *wanted: Value) -> Check:
    """In every case, each resource of a type has one of these values at a path."""

    def check(estate: Estate) -> Iterator[str]:
        for case, world in estate.every_world():
            for thing in world.made(type_):
                if get(thing.body, path) not in wanted:
                    yield f"{thing.at}: {thing}.{path} is {get(thing.body, path)!r} in {case}"

    return check


def all_of(*checks: Check) -> Check:
    """What breaks any of several checks."""
    return lambda estate: (problem for check in checks for problem in check(estate))


def subscriptions(problem: Callable[[Thing], str]) -> Check:
    """Of each Event Grid subscription: what is wrong with it, or an empty text."""

    def check(estate: Estate) -> Iterator[str]:
        for world in estate.subscribed.values():
            for thing in world.made():
                if thing.type.endswith("/eventSubscriptions") and (said := problem(thing)):
                    yield f"{thing.at}: {thing} {said}"

    return check


def shared_keys(estate: Estate) -> Iterator[str]:
    """No storage account takes a key, but the data account of a site whose device knows nothing else."""
    for case, world in estate.worlds.items():
        for account in world.made(STORAGE):
            refused = get(account.body, "properties.allowSharedKeyAccess")
            excused = case == BY_KEY and account.address.startswith("dataAccount.")
            if refused is not False and not excused:
                yield f"{account.at}: {account} takes keys in {case}"


def restorable(estate: Estate) -> Iterator[str]:
    """Deleted blobs and containers can be brought back; overwritten ones too, where versions are data."""
    for world in estate.worlds.values():
        services = {thing.parent: thing for thing in world.made(BLOBS)}
        for account in world.made(STORAGE):
            body = services[account].body if account in services else {}
            for path in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
                days = get(body, f"properties.{path}.days")
                if get(body, f"properties.{path}.enabled") is not True or not isinstance(days, int) or days < 7:
                    yield f"{account.at}: {account} has no {path} of a week or more"
            keeps_versions = get(body, "properties.isVersioningEnabled") is True
            if not keeps_versions and not account.address.startswith("hostAccount."):
                yield f"{account.at}: {account} keeps no versions"


def expiring(estate: Estate) -> Iterator[str]:
    """What lands and what could not be delivered is deleted some day."""
    for world in estate.worlds.values():
        rules = [
            rule
            for policy in world.made(LIFECYCLE)
            if policy.address.startswith("dataAccount.")
            for rule in _list(get(policy.body, "properties.policy.rules"))
        ]
        expire = {
            str(prefix).partition("/")[0]
            for rule in rules
            if get(rule, "definition.actions.baseBlob.delete")
            for prefix in _list(get(rule, "definition.filters.prefixMatch"))
        }
        if not {"landing", "deadletter", "quarantine"} <= expire:
            yield f"nothing deletes {sorted({'landing', 'deadletter', 'quarantine'} - expire)} after a time"


def published_by_password(estate: Estate) -> Iterator[str]:
    """Each site refuses user name and password for FTP and for its deployment endpoint."""
    for world in estate.worlds.values():
        for site in world.made(SITE):
            off = {
                one.name
                for one in world.made(PASSWORDS)
                if one.parent is site and get(one.body, "properties.allow") is False
            }
            if off != {"ftp", "scm"}:
                yield f"{site.at}: {site} refuses passwords for {sorted(map(str, off))} only"


def by_ftp(estate: Estate) -> Iterator[str]:
    """Each site that could take FTP refuses it; Flex Consumption has none."""
    for world in estate.worlds.values():
        for site in world.made(SITE):
            flex = get(site.body, "properties.functionAppConfig")
            if not flex and get(site.body, "properties.siteConfig.ftpsState") != "Disabled":
                yield f"{site.at}: {site} takes FTP"


def flex_is_told_what_it_knows(estate: Estate) -> Iterator[str]:
    """A Flex Consumption site is refused whole for some words, and some settings stop its deployments."""
    for world in estate.worlds.values():
        for site in world.made(SITE):
            said = get(site.body, "properties.siteConfig")
            if get(site.body, "properties.functionAppConfig") and isinstance(said, dict):
                yield from (f"{site.at}: {site} says {name}" for name in sorted(FLEX_REFUSES & said.keys()))
        for settings in world.made(f"{SITE}/config"):
            given = get(settings.body, "properties")
            told = FLEX_REFUSES_SETTINGS & given.keys() if isinstance(given, dict) else set[str]()
            yield from (f"{settings.at}: {settings} sets {name}" for name in sorted(told))


def identities(estate: Estate) -> Iterator[str]:
    """Whoever acts does so as an identity that was made for it: none comes and goes with a resource."""
    for world in estate.worlds.values():
        for thing in world.made():
            kind = get(thing.body, "identity.type")
            if kind not in (None, "UserAssigned"):
                yield f"{thing.at}: {thing} has an identity of type {kind}"
            if kind and not get(thing.body, "identity.userAssignedIdentities"):
                yield f"{thing.at}: {thing} names no identity"


def capped(estate: Estate) -> Iterator[str]:
    """The function app has a cap on its instances."""
    for world in estate.worlds.values():
        for site in world.made(SITE):
            most = get(site.body, "properties.functionAppConfig.scaleAndConcurrency.maximumInstanceCount")
            if get(site.body, "properties.functionAppConfig") and not isinstance(most, int):
                yield f"{site.at}: {site} has no cap on its instances"


def by_identity(estate: Estate) -> Iterator[str]:
    """The Functions host reaches its storage, its package and its telemetry by identity."""
    for world in estate.worlds.values():
        for site in world.made(SITE):
            how = get(site.body, "properties.functionAppConfig.deployment.storage.authentication.type")
            if get(site.body, "properties.functionAppConfig") and how != "UserAssignedIdentity":
                yield f"{site.at}: {site} fetches its package by {how}"
        for settings in world.made(f"{SITE}/config"):
            given = get(settings.body, "properties")
            names = set(given) if isinstance(given, dict) else set()
            needed = {f"AzureWebJobsStorage__{part}" for part in ("accountName", "credential", "clientId")}
            if not needed <= names or "AzureWebJobsStorage" in names:
                yield f"{settings.at}: {settings} does not reach the host's storage by identity"


def diagnosed(estate: Estate) -> Iterator[str]:
    """Every service that acts has its diagnostics sent to Log Analytics."""
    for world in estate.worlds.values():
        sent = {
            one.scope if one.scope and one.scope.parent is None else one.scope.parent  # a part of it, such as its blobs
            for one in world.made(DIAGNOSTICS)
            if isinstance(one.scope, Thing) and get(one.body, "properties.workspaceId")
        }
        for thing in world.made():
            if thing.type in WATCHED and thing not in sent:
                yield f"{thing.at}: {thing} has no diagnostics"


def grants(estate: Estate) -> Iterator[str]:
    """A role is given on a resource and not on its group, once, to a kind of principal, by a name made of all that."""
    for world in estate.worlds.values():
        seen: set[Value] = set()
        for grant in world.made(GRANT):
            if not isinstance(grant.scope, Thing):
                yield f"{grant.at}: {grant} is given on a whole resource group"
            if get(grant.body, "properties.principalType") not in ("ServicePrincipal", "User", "Group"):
                yield f"{grant.at}: {grant} does not say what kind of principal it is for"
            if grant.name in seen:
                yield f"{grant.at}: {grant} has the name of another one"
            seen.add(grant.name)
    every = [declared for one in estate.templates.values() for declared in one.declared.values()]
    for one in every:
        if isinstance(one, Resource) and one.type == GRANT and not _named_by_guid(one.body):
            yield f"{one.at}: {one.name} is not named by guid()"


def region(estate: Estate) -> Iterator[str]:
    """Everything is in one region."""
    for world in estate.worlds.values():
        for thing in world.made():
            if thing.body.get("location", "global") not in (BY_AZD["AZURE_LOCATION"], "global"):
                yield f"{thing.at}: {thing} is in {thing.body['location']}"


def tagged(estate: Estate) -> Iterator[str]:
    """Whatever can have tags says which environment it belongs to; the function app says that azd deploys to it."""
    for world in estate.worlds.values():
        for thing in world.made():
            if thing.type in TAGGED and not get(thing.body, "tags.azd-env-name"):
                yield f"{thing.at}: {thing} has no tag azd-env-name"
        if not any(get(site.body, "tags.azd-service-name") == "backend" for site in world.made(SITE)):
            yield "no site is the service that azd deploys"


def private(estate: Estate) -> Iterator[str]:
    """With private networking, what holds data is closed to the world and has an endpoint in the network."""
    for case, world in estate.worlds.items():
        if not case.startswith("private"):
            continue
        reached = {
            get(connection, "properties.privateLinkServiceId")
            for endpoint in world.made(ENDPOINT)
            for connection in _list(get(endpoint.body, "properties.privateLinkServiceConnections"))
        }
        for type_ in (STORAGE, VAULT, BUS, REGISTRY):
            for thing in world.made(type_):
                closed = get(thing.body, "properties.publicNetworkAccess") == "Disabled"
                rules = "networkRuleSet" if type_ == REGISTRY else "networkAcls"
                fenced = get(thing.body, f"properties.{rules}.defaultAction") == "Deny"
                if not closed and not fenced:
                    yield f"{thing.at}: {thing} is open to the world in {case}"
                of_workspace = thing.address.startswith("workspace")  # its managed network has endpoints of its own
                if f"{{{thing.address}.id}}" not in reached and not of_workspace:
                    yield f"{thing.at}: {thing} has no private endpoint in {case}"


def training_costs_nothing_at_rest(estate: Estate) -> Iterator[str]:
    """The cluster goes down to no node, opens no shell, and has an identity instead of keys."""
    wanted: Mapping[str, Value] = {
        "properties.disableLocalAuth": True,
        "properties.properties.scaleSettings.minNodeCount": 0,
        "properties.properties.remoteLoginPortPublicAccess": "Disabled",
        "properties.properties.userAccountCredentials": None,
        "properties.properties.enableNodePublicIp": False,
    }
    for path, value in wanted.items():
        yield from everywhere(COMPUTE, path, value)(estate)


def inference_is_not_public(estate: Estate) -> Iterator[str]:
    """What scores without asking who asks is reached from inside the network, or by named addresses only."""
    yield from everywhere(CONTAINERS, "properties.ipAddress.type", "Private")(estate)
    for case, world in estate.worlds.items():
        for site in world.made(SITE):
            if not get(site.body, "properties.functionAppConfig"):
                closed = get(site.body, "properties.publicNetworkAccess") == "Disabled"
                if not closed and get(site.body, "properties.siteConfig.ipSecurityRestrictionsDefaultAction") != "Deny":
                    yield f"{site.at}: {site} is open to the world in {case}"


def budget(estate: Estate) -> Iterator[str]:
    """Somebody is told before a month costs more than it may."""
    for case, world in estate.worlds.items():
        told = [one for one in world.made(BUDGET) if get(one.body, "properties.notifications")]
        if not told:
            yield f"there is no budget in {case}"


def logs_are_capped(estate: Estate) -> Iterator[str]:
    """A loop of errors costs no fortune."""
    for world in estate.worlds.values():
        for logs in world.made(LOGS):
            most = get(logs.body, "properties.workspaceCapping.dailyQuotaGb")
            if not isinstance(most, int) or most < 1:
                yield f"{logs.at}: {logs} has no daily cap"


def _dead_letters(thing: Thing) -> str:
    letters = get(thing.body, "properties.deadLetterWithResourceIdentity")
    if not get(letters, "identity.userAssignedIdentity"):
        return "has no dead-letter by identity"
    where = get(letters, "deadLetterDestination.properties.blobContainerName")
    return "" if where == "deadletter" else f"lays dead letters down in {where}"


def _tries(thing: Thing) -> str:
    tries = get(thing.body, "properties.retryPolicy.maxDeliveryAttempts")
    minutes = get(thing.body, "properties.retryPolicy.eventTimeToLiveInMinutes")
    sound = isinstance(tries, int) and 1 <= tries <= 30 and isinstance(minutes, int) and 1 <= minutes <= 1440
    return "" if sound else f"is tried {tries!r} times in {minutes!r} minutes; Event Grid allows 30 in 1440"


def _filtered(thing: Thing) -> str:
    wanted = _list(get(thing.body, "properties.filter.includedEventTypes"))
    return "" if wanted and "All" not in wanted else "takes every event there is"


def _without_url(thing: Thing) -> str:
    kind = get(thing.body, "properties.destination.endpointType")
    return "" if kind == "AzureFunction" else f"is delivered to a {kind}, whose address holds a key"


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _named_by_guid(body: Expression) -> bool:
    while isinstance(body, Loop | Condition):
        body = body.body
    given = {key.parts: value for key, value in body.items} if isinstance(body, Object) else {}
    name = given.get(("name",))
    return isinstance(name, Call) and name.function == "guid"


POLICY: Mapping[str, Check] = {
    "no storage account takes a shared key, but for a Stack Edge device": shared_keys,
    "no blob is public": all_of(
        everywhere(STORAGE, "properties.allowBlobPublicAccess", False),
        everywhere(CONTAINER, "properties.publicAccess", "None"),
    ),
    "nothing speaks less than TLS 1.2": all_of(
        everywhere(STORAGE, "properties.minimumTlsVersion", "TLS1_2", "TLS1_3"),
        everywhere(STORAGE, "properties.supportsHttpsTrafficOnly", True),
        everywhere(BUS, "properties.minimumTlsVersion", "1.2", "1.3"),
        everywhere(TOPIC, "properties.minimumTlsVersionAllowed", "1.2"),
        everywhere(HUB, "properties.minTlsVersion", "1.2"),
        everywhere(SITE, "properties.siteConfig.minTlsVersion", "1.2", "1.3"),
        everywhere(SITE, "properties.siteConfig.scmMinTlsVersion", "1.2", "1.3"),
    ),
    "what is deleted or overwritten can be brought back": restorable,
    "what lands, and what was not delivered, is deleted some day": expiring,
    "sites answer by https only": everywhere(SITE, "properties.httpsOnly", True),
    "sites take no FTP and no password": all_of(published_by_password, by_ftp),
    "Flex Consumption is told nothing that it refuses": flex_is_told_what_it_knows,
    "identities are user-assigned": identities,
    "the app has a cap on its instances": capped,
    "the app reaches its host's storage and its package by identity": by_identity,
    "telemetry, topics and event hubs take Entra tokens only": all_of(
        everywhere(INSIGHTS, "properties.DisableLocalAuth", True),
        everywhere(LOGS, "properties.features.disableLocalAuth", True),
        everywhere(TOPIC, "properties.disableLocalAuth", True),
        everywhere(BUS, "properties.disableLocalAuth", True),
    ),
    "IoT Hub refuses shared access policies unless it is told not to": lambda estate: (
        f"{hub.at}: {hub} takes keys" for hub in estate.usual.made(HUB)
        if get(hub.body, "properties.disableLocalAuth") is not True
    ),
    "every subscription lays down what it cannot deliver, by identity": subscriptions(_dead_letters),
    "every subscription tries as long as Event Grid allows and no longer": subscriptions(_tries),
    "every subscription takes the events it is for": subscriptions(_filtered),
    "no subscription has a key in its address": subscriptions(_without_url),
    "key vaults go by role, and nothing in them is purged before its time": all_of(
        everywhere(VAULT, "properties.enableRbacAuthorization", True),
        everywhere(VAULT, "properties.enablePurgeProtection", True),
        everywhere(VAULT, "properties.enableSoftDelete", True),
    ),
    "the registry has no administrator and no anonymous readers": all_of(
        everywhere(REGISTRY, "properties.adminUserEnabled", False),
        everywhere(REGISTRY, "properties.anonymousPullEnabled", False),
    ),
    "Azure Machine Learning reaches data by identity, from a managed network": all_of(
        everywhere(WORKSPACE, "properties.systemDatastoresAuthMode", "Identity"),
        everywhere(WORKSPACE, "properties.managedNetwork.isolationMode", "AllowInternetOutbound",
                   "AllowOnlyApprovedOutbound"),
        everywhere(WORKSPACE, "properties.v1LegacyMode", False),
        everywhere(DATASTORE, "properties.credentials.credentialsType", "None"),
    ),
    "a cluster at rest costs nothing and opens no door": training_costs_nothing_at_rest,
    "every service has its diagnostics sent to Log Analytics": diagnosed,
    "roles are given by deterministic names, on resources, to a kind of principal": grants,
    "what is stored and who acts is in one region": region,
    "everything is tagged with its environment": tagged,
    "logs are capped by day": logs_are_capped,
    "there is a budget, and somebody is told": budget,
    "with private networking, data is closed to the world": private,
    "inference in the cloud is not open to the world": inference_is_not_public,
    "the app is a Flex Consumption app on Python 3.13": all_of(
        lambda estate: (
            f"{site.at}: {site} runs {get(site.body, 'properties.functionAppConfig.runtime')}"
            for site in estate.usual.made(SITE)
            if get(site.body, "properties.functionAppConfig.runtime") != {"name": "python", "version": "3.13"}
        ),
        lambda estate: (
            f"{plan.at}: {plan} is {get(plan.body, 'sku')}"
            for plan in estate.usual.made(PLAN)
            if get(plan.body, "sku.name") != "FC1"
        ),
    ),
}  # fmt: skip
