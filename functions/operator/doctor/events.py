"""Event Grid and Event Hubs: is everything that happens brought to a function that exists?"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from functions.deployed import FUNCTIONS, SUBSCRIPTIONS
from functions.errors import LoopError
from functions.operator.doctor.finding import Finding, of_answer
from functions.operator.doctor.patient import EVENT_GRID, Patient

GRID, WEB, HUBS = "2025-02-15", "2024-11-01", "2024-01-01"
SENDER = "EventGrid Data Sender"
PYTHON = "3.13"

type Json = Mapping[str, Any]


def topic(patient: Patient) -> Iterator[Finding]:
    """Whether we may publish: an empty batch is nothing, but who is denied is told so before that."""
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    endpoint = patient.settings.topic_endpoint
    asked = patient.asker.ask("POST", endpoint, audience=EVENT_GRID, headers=headers, body=b"[]")
    right = patient.right(SENDER, f"{patient.group}/providers/Microsoft.EventGrid/topics/<the topic>")
    what = f"{endpoint} takes events (tried with none)"
    yield of_answer("topic", asked, what=what, right=right, fine=(400,), fix="check EVENT_TOPIC_ENDPOINT")


def subscriptions(patient: Patient) -> Iterator[Finding]:
    """Whether each Event Grid function has a subscription, with filter, retry and a place for dead letters."""
    found: dict[str, list[tuple[str, Json]]] = {}
    for source, one in _subscriptions(patient):
        function = str(one["properties"].get("destination", {}).get("properties", {}).get("resourceId", ""))
        found.setdefault(function.rpartition("/functions/")[2], []).append((source, one))
    fix = "deploy infra/subscriptions.bicep again (azd hooks run postdeploy); on a laptop restart refluent up"
    for function, types in SUBSCRIPTIONS.items():
        ours = found.get(function, [])
        missing = set(types) - {kind for _, one in ours for kind in _types(one)}
        if missing and not (function in OPTIONAL and not ours):
            what = f"{function} does not wake on {', '.join(sorted(missing))}"
            yield Finding("subscriptions", "error", what, "no event subscription brings them", fix)
        for source, one in ours:
            yield _health(function, source, one, fix)


OPTIONAL = {"score_drift_on_device_event"}  # telemetry comes by Event Hubs, or by Event Grid


def _health(function: str, source: str, one: Json, fix: str) -> Finding:
    properties, wrong = one["properties"], []
    if properties.get("provisioningState") != "Succeeded":
        wrong.append(f"it is {properties.get('provisioningState')}, not Succeeded")
    if not (properties.get("deadLetterDestination") or properties.get("deadLetterWithResourceIdentity")):
        wrong.append("what it gives up on is lost: it has no dead-letter destination")
    if not properties.get("retryPolicy"):
        wrong.append("it has no retry policy")
    named = f"subscription {one['name']} of {source}"
    if wrong:
        return Finding("subscriptions", "error", f"{named} is not sound", "; ".join(wrong), fix)
    return Finding("subscriptions", "ok", f"{named} brings {', '.join(_types(one))} to {function}")


def _types(one: Json) -> list[str]:
    return list(one["properties"].get("filter", {}).get("includedEventTypes") or ())


def _subscriptions(patient: Patient) -> Iterator[tuple[str, Json]]:
    """Source -> subscription, of our system topics and of the custom topic."""
    sources = {one.casefold() for one in _sources(patient)}
    for one in patient.manager.list(f"{patient.group}/providers/Microsoft.EventGrid/systemTopics", GRID):
        source = str(one["properties"].get("source", ""))
        if source.casefold() in sources:
            for subscription in patient.manager.list(f"{one['id']}/eventSubscriptions", GRID):
                yield source.rpartition("/")[2], subscription
    for one in patient.manager.list(f"{patient.group}/providers/Microsoft.EventGrid/topics", GRID):
        if one["properties"].get("endpoint") == patient.settings.topic_endpoint:
            for subscription in patient.manager.list(f"{one['id']}/eventSubscriptions", GRID):
                yield str(one["name"]), subscription


def _sources(patient: Patient) -> tuple[str, str, str]:
    return patient.settings.account_id, patient.settings.workspace_id, patient.settings.hub_id


def app(patient: Patient) -> Iterator[Finding]:
    """Whether the function app runs, on the right Python, with every function of this release and no other."""
    sites = list(patient.manager.list(f"{patient.group}/providers/Microsoft.Web/sites", WEB))
    ours = [one for one in sites if "functionapp" in str(one.get("kind", ""))]
    if len(ours) != 1:
        why, fix = f"{patient.group} has {[one['name'] for one in ours]}", "azd up makes it"
        yield Finding("app", "error", f"there are {len(ours)} function apps, not one", why, fix)
        return
    properties = ours[0]["properties"]
    if properties.get("state") != "Running":
        why, fix = f"its state is {properties.get('state')}", f"az functionapp start --ids {ours[0]['id']}"
        yield Finding("app", "error", f"the function app {ours[0]['name']} does not run", why, fix)
        return
    runtime = (properties.get("functionAppConfig") or {}).get("runtime", {})
    if runtime and runtime.get("version") != PYTHON:
        why, fix = f"its runtime is {runtime}", "correct functionAppConfig.runtime in infra/, and deploy again"
        yield Finding("app", "error", f"the function app does not run on Python {PYTHON}", why, fix)
    there = {str(one["id"]).rpartition("/")[2] for one in patient.manager.list(f"{ours[0]['id']}/functions", WEB)}
    if there != set(FUNCTIONS):
        missing, more = sorted(set(FUNCTIONS) - there), sorted(there - set(FUNCTIONS))
        why = f"missing: {', '.join(missing) or 'none'}; not of this release: {', '.join(more) or 'none'}"
        fix = "deploy the app again, and read its start's log: without a setting no function is indexed"
        yield Finding("app", "error", "the function app has not the functions of this release", why, fix)
    else:
        yield Finding("app", "ok", f"the function app runs, with its {len(there)} functions")


def telemetry(patient: Patient) -> Iterator[Finding]:
    """Whether the event hub is there, with a consumer group that is the app's own."""
    host, hub, group = (
        patient.environment.get(name, "")
        for name in ("Telemetry__fullyQualifiedNamespace", "TELEMETRY_EVENT_HUB", "TELEMETRY_CONSUMER_GROUP")
    )
    spaces = patient.manager.list(f"{patient.group}/providers/Microsoft.EventHub/namespaces", HUBS)
    ours = [one for one in spaces if _host(one) == host.partition(":")[0]]
    if not ours:
        fix = "correct Telemetry__fullyQualifiedNamespace, or deploy infra/ again"
        yield Finding(
            "telemetry", "error", f"there is no Event Hubs namespace {host or '?'}", f"{patient.group} has none", fix
        )
        return
    place = f"{ours[0]['id']}/eventhubs/{hub}"
    try:
        groups = {str(one["name"]) for one in patient.manager.list(f"{place}/consumergroups", HUBS)}
    except LoopError as problem:
        fix = "correct TELEMETRY_EVENT_HUB, or deploy infra/ again"
        yield Finding("telemetry", "error", f"event hub {hub} of {host} cannot be read", problem.why, fix)
        return
    if group not in groups:
        fix = f"az eventhubs eventhub consumer-group create --eventhub-name {hub} -n {group} …"
        yield Finding("telemetry", "error", f"there is no consumer group {group}", f"{hub} has {sorted(groups)}", fix)
    else:
        yield Finding("telemetry", "ok", f"event hub {hub} is there, and consumer group {group}")


def _host(namespace: Json) -> str:
    return urlsplit(str(namespace["properties"].get("serviceBusEndpoint", ""))).hostname or ""
