"""Whether the templates and the code mean the same: names that stand in both, settings, subscriptions, outputs."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from functions import events, model_folder, quarantine
from functions.cloud.eventgrid import TYPE_PREFIX
from functions.loops import Data
from functions.promotion import register
from functions.retraining import job, versions
from functions.settings import Settings
from laptop.cli import HOME
from laptop.event_grid.subscription import Subscription
from laptop.stack import ACCOUNT_ID, HUB_ID, TOPIC_ID, WORKSPACE_ID, Stack
from laptop.subscriptions import subscriptions
from tests.infra import signals
from tests.infra.bicep.deploy import World
from tests.infra.bicep.parameters import plain
from tests.infra.bicep.values import Thing, Value, get
from tests.infra.estate import MAIN, SUBSCRIPTIONS, Estate
from tests.infra.policy import CONTAINER, DATASTORE, SITE
from tests.test_docs import indexed, settings_of_triggers, text

HOST = {  # settings of the Functions host and of the libraries, that no code of ours reads
    "AzureWebJobsStorage__accountName": "the host's storage, by identity",
    "AzureWebJobsStorage__credential": "likewise",
    "AzureWebJobsStorage__clientId": "likewise",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "where telemetry goes; it holds no right to read",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "that it goes there by identity",
    "PYTHON_ENABLE_OPENTELEMETRY": "the worker hands on traces",
}
ONLY_ON_A_LAPTOP = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}  # Flex Consumption takes neither
SOURCES = {  # of a subscription of a stack -> the output of main.bicep that names the topic
    ACCOUNT_ID: "UPLOADS_TOPIC_NAME",
    WORKSPACE_ID: "TRAINING_TOPIC_NAME",
    HUB_ID: "DEVICES_TOPIC_NAME",
    TOPIC_ID: "ANNOUNCEMENTS_TOPIC_NAME",
}
TELEMETRY = ("score_drift_on_telemetry", "score_drift_on_device_event")  # two ways, of which one is open
SCHEMAS = {"cloud": "CloudEventSchemaV1_0", "eventgrid": "EventGridSchema"}
CONTAINERS = {  # of the data account; Event Grid's own is deadletter
    str(Data.model_fields["container"].default), versions.CONTAINER, job.CONTAINER, model_folder.CONTAINER,
    quarantine.CONTAINER, register.OUTPUTS, "deadletter",
}  # fmt: skip
_ML = text("functions/cloud/ml.py")
DATASTORES = {*re.findall(r"azureml://datastores/(\w+)/", _ML), *re.findall(r'(?m)^STORE = "(\w+)"', _ML)}
HOOKS = re.compile(r"^hooks/.*\.(sh|ps1)$")


def functions_are_there(estate: Estate) -> Iterator[str]:
    """Each subscription wakes a function of this app that Event Grid can wake, and each such function has one."""
    woken = {name for name, trigger in indexed().items() if trigger["type"] == "eventGridTrigger"}
    for cheap, world in estate.subscribed.items():
        expected = woken if cheap else woken - {TELEMETRY[1]}
        found = sorted(_function(one) for one in _subscriptions(world))
        for name in sorted(set(found) - expected):
            yield f"{SUBSCRIPTIONS}: {name} is no function that Event Grid wakes here"
        for name in sorted(expected):
            if found.count(name) != 1:
                yield f"{SUBSCRIPTIONS}: {name} has {found.count(name)} subscriptions"
        for one in _subscriptions(world):
            yield from _addressed(one, world, estate)


def _addressed(one: Thing, world: World, estate: Estate) -> Iterator[str]:
    for name in _list(get(one.body, "properties.filter.includedEventTypes")):
        if str(name).startswith(TYPE_PREFIX) and not hasattr(events, name.removeprefix(TYPE_PREFIX)):
            yield f"{one.at}: nothing announces {name}"
    where = str(get(one.body, "properties.destination.properties.resourceId"))
    app = next((site for site in world.resources if site.type == SITE), None)
    if app is None or not where.startswith(f"{{{app.address}.id}}/functions/"):
        yield f"{one.at}: {one} is delivered to {where}, which is no function of the app"
    elif app.name != estate.usual.outputs.get("FUNCTION_APP_NAME"):
        yield f"{app.at}: the app is {app.name}, and was deployed as another"


def same_subscriptions_as_on_a_laptop(estate: Estate) -> Iterator[str]:
    """A stack and Azure wake each function on the same events of the same source, in the same envelope."""
    for cheap, world in estate.subscribed.items():
        outputs = estate.usual.outputs
        here = {one.name: one for one in subscriptions(Stack("127.0.0.1", HOME), telemetry=cheap)}
        there = {str(one.name): one for one in _subscriptions(world)}
        for name in sorted(here.keys() ^ there.keys()):
            yield f"{name} is subscribed {'here' if name in here else 'in Azure'} only"
        for name in here.keys() & there.keys():
            for what, (one, other) in _differences(here[name], there[name], outputs).items():
                if one != other:
                    yield f"{there[name].at}: {name}: {what} is {other!r} in Azure, and {one!r} here"


def _differences(
    here: Subscription, there: Thing, outputs: Mapping[str, Value]
) -> dict[str, tuple[Value | tuple[str, ...], Value | tuple[str, ...]]]:
    prefixes = get(there.body, "properties.filter.subjectBeginsWith")
    for one in _list(get(there.body, "properties.filter.advancedFilters")):
        if get(one, "operatorType") == "StringBeginsWith" and get(one, "key") == "subject":
            prefixes = next(iter(_list(get(one, "values"))), None)
    return {
        "types": (here.filter.event_types, tuple(_list(get(there.body, "properties.filter.includedEventTypes")))),
        "subject": (here.filter.subject_begins_with or None, prefixes),
        "envelope": (SCHEMAS[here.schema], get(there.body, "properties.eventDeliverySchema")),
        "source": (outputs.get(SOURCES[here.source]), there.parent.name if there.parent else None),
        "batch": (here.events_per_batch_max, get(there.body, "properties.destination.properties.maxEventsPerBatch")),
    }  # fmt: skip


def settings_are_complete(estate: Estate) -> Iterator[str]:
    """What the app, its triggers and its host are told: all they need, and nothing that nobody reads."""
    fields = {str(field.alias): field for field in Settings.model_fields.values()}
    connections = {f"{trigger['connection']}__" for trigger in indexed().values() if trigger.get("connection")}
    reached = {
        f"{name}{part}" for name in connections for part in ("fullyQualifiedNamespace", "credential", "clientId")
    }
    switches = {f"AzureWebJobs.{name}.Disabled" for name in indexed()}
    required = {name for name, field in fields.items() if field.is_required()} | settings_of_triggers() | reached
    for case, world in estate.worlds.items():
        given = _settings(world)
        for name in sorted(required - {name for name, value in given.items() if value}):
            yield f"{name} is not set in {case}"
        for name in sorted(given.keys() - fields.keys() - required - HOST.keys() - switches):
            yield f"{name} is set, and nothing reads it"
        for name in sorted(HOST.keys() - given.keys()):
            yield f"{name} is not set in {case}: {HOST[name]}"
        ways = [given.get(f"AzureWebJobs.{name}.Disabled") for name in TELEMETRY]
        if sorted(map(str, ways)) != ["false", "true"]:
            yield f"telemetry has two ways or none in {case}: {ways}"


def settings_are_documented(estate: Estate) -> Iterator[str]:
    """Every setting given in Azure is in docs/settings.md, and is in the sample or has a reason not to be."""
    documented = set(re.findall(r"`([A-Za-z][\w.<>]*)`", text("docs/settings.md")))
    for name in _settings(estate.usual):
        known = name in documented or re.sub(r"\.\w+\.Disabled$", ".<function>.Disabled", name) in documented
        if not known:
            yield f"{name} is set in Azure, and docs/settings.md does not know it"


def names_are_those_of_the_code(estate: Estate) -> Iterator[str]:
    """Containers, datastores, the event hub and its consumer group are called what the code calls them."""
    for case, world in estate.worlds.items():
        made = {str(one.name) for one in world.made(CONTAINER) if one.address.startswith("dataAccount.")}
        for name in sorted(CONTAINERS ^ made):
            yield f"the container {name} is {'used by the code' if name in CONTAINERS else 'made'} only, in {case}"
        stores = {str(one.name): get(one.body, "properties.containerName") for one in world.made(DATASTORE)}
        for name in sorted(DATASTORES - stores.keys()):
            yield f"jobs use the datastore {name}, which {case} does not make"
        for name, container in stores.items():
            if container not in made:
                yield f"the datastore {name} is on {container}, which is not made"
        yield from _telemetry(world)


def _telemetry(world: World) -> Iterator[str]:
    given = _settings(world)
    reads = given.get("TELEMETRY_EVENT_HUB"), given.get("TELEMETRY_CONSUMER_GROUP")
    groups = world.made("Microsoft.EventHub/namespaces/eventhubs/consumergroups")
    for one in groups:
        if reads != (one.parent.name if one.parent else None, one.name):
            yield f"{one.at}: the app reads {reads}, and {one.name} is made"
    if not groups and given.get(f"AzureWebJobs.{TELEMETRY[0]}.Disabled") != "true":
        yield f"the app reads {reads}, which is not made"


def hooks_use_outputs_that_exist(estate: Estate) -> Iterator[str]:
    """Each variable that a hook takes from azd is an output; the parameters it gives are those of the template."""
    outputs = estate.templates[MAIN].outputs.keys()
    wanted = estate.templates[SUBSCRIPTIONS].parameters.keys()
    for path, said in estate.files.items():
        if not HOOKS.match(path):
            continue
        for name in sorted(set(re.findall(r"\$(?:env:|\{)?([A-Z][A-Z0-9_]{3,})", said)) - outputs - _set_by(said)):
            yield f"{path}: {name} is no output of {MAIN}"
        if "subscriptions.bicep" in said:
            given = set(re.findall(r"\"(\w+)=\$", said))
            for name in sorted(wanted ^ given):
                yield f"{path}: {name} is {'not given' if name in wanted else 'no parameter'} of {SUBSCRIPTIONS}"


def parameters_are_those_of_azd(estate: Estate) -> Iterator[str]:
    """main.parameters.json and main.bicep have the same parameters, with the same defaults."""
    said = json.loads(estate.files["main.parameters.json"])["parameters"]
    declared = estate.templates[MAIN].parameters
    for name in sorted(set(said) - set(declared)):
        yield f"main.parameters.json: {MAIN} has no parameter {name}"
    for name in sorted(set(declared) - set(said) - {"thisMonth"}):
        yield f"main.parameters.json: {name} cannot be set"
    for name, parameter in declared.items():
        default = plain(parameter.default)
        if name in said and default not in (None, "") and estate.defaults.get(name) != default:
            yield f"main.parameters.json: {name} is {estate.defaults.get(name)!r}, and {default!r} in {MAIN}"


def _set_by(script: str) -> set[str]:
    return {"LASTEXITCODE", *re.findall(r"(?m)^\s*(?:export |\$env:)?([A-Z][A-Z0-9_]+) ?=", script)}


def _settings(world: World) -> dict[str, Value]:
    found = [get(one.body, "properties") for one in world.made(f"{SITE}/config") if one.address.startswith("app.")]
    return found[0] if found and isinstance(found[0], dict) else {}


def _subscriptions(world: World) -> list[Thing]:
    return [one for one in world.made() if one.type.endswith("/eventSubscriptions")]


def _function(one: Thing) -> str:
    return str(get(one.body, "properties.destination.properties.resourceId")).rpartition("/")[2]


def _list(value: Any) -> list[Any]:  # what JSON holds
    return value if isinstance(value, list) else []


CHECKS = {
    "functions are there": functions_are_there,
    "subscriptions": same_subscriptions_as_on_a_laptop,
    "settings": settings_are_complete,
    "documented settings": settings_are_documented,
    "names of the code": names_are_those_of_the_code,
    "signals": signals.agreed,
    "runbook": signals.explained,
    "hooks": hooks_use_outputs_that_exist,
    "parameters": parameters_are_those_of_azd,
}
