"""Azure IoT Hub (azure-iot-hub): automatic deployments of the fleet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.iot.hub import IoTHubConfigurationManager
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics, QuerySpecification
from msrest.exceptions import ClientException, HttpOperationError

from functions.errors import Full, LoopError, Refused, Throttled, Transient
from functions.ports import Deployment, Progress

NOT_FOUND, CONFLICTS, THROTTLED = 404, (409, 412), 429
DENIED = (401, 403)
QUOTA = ("403002", "ConfigurationCountLimitExceeded")  # IoT Hub's codes for too many configurations
MOST_CONFIGURATIONS = 100  # of a paid hub; more than it has cannot be listed
PAGE = "1000"  # devices a query answers with at once
TRIES = 3  # of a query: the SDK repeats no POST


class HubFleet:
    """Fleet backed by IoT Hub's configurations.

    Args:
        hostname: Of the hub.
        credential: Identity that may write configurations and query twins.
    """

    def __init__(self, hostname: str, credential: TokenCredential) -> None:
        self._manager = IoTHubConfigurationManager.from_token_credential(hostname, credential)
        patience = self._manager.protocol.config.retry_policy.policy
        patience.respect_retry_after_header = False  # it would sleep in the function; our next turn goes on
        patience.status_forcelist = [500, 502, 503, 504]

    def apply(self, deployment: Deployment) -> bool:
        """Create it if absent, and read back what stands; False if the id is taken by other content."""
        found = self._find(deployment.id)
        if found is None:
            self._create(deployment)
            found = self._find(deployment.id)
        if found is None:
            why, fix = "the hub does not show what it has just taken", "wait for the redelivery"
            raise Transient(f"deployment {deployment.id}", why=why, fix=fix)
        return _canonical(found.content.modules_content) == _canonical(deployment.content)

    def progress(self, deployment: str) -> Progress | None:
        """Devices targeted, and those that each custom metric counts; None if there is no such deployment."""
        found = self._find(deployment)
        if found is None:
            return None
        targeted = (found.system_metrics.results or {}).get("targetedCount", 0)
        return Progress(int(targeted), {name: int(n) for name, n in (found.metrics.results or {}).items()})

    def delete(self, deployment: str) -> None:
        """Remove it, whatever its etag: its id names its content; one that is gone already counts as removed."""
        with _asked(f"deployment {deployment}", passed_over=(NOT_FOUND,)):
            self._manager.delete_configuration(deployment, "*")

    def deployments(self) -> Sequence[Deployment]:
        """Every deployment of the hub, ordered by id."""
        with _asked("the deployments"):
            found = self._manager.get_configurations(MOST_CONFIGURATIONS)
        return sorted((_deployment(one) for one in found), key=lambda one: one.id)

    def devices(self, condition: str) -> Sequence[str]:
        """Ids of the IoT Edge devices that meet a target condition, ordered."""
        matched = "" if condition.strip() == "*" else f" AND ({condition})"
        # IoT Hub's queries take no parameters; the condition is the operator's own, and the hub parses it
        query = f"SELECT deviceId FROM devices WHERE capabilities.iotEdge = true{matched}"  # noqa: S608
        return sorted(str(twin.device_id) for twin in self._twins(query))

    def sites(self) -> Mapping[str, str]:
        """Device -> `tags.site`; nothing else of a twin travels."""
        query = "SELECT deviceId, tags FROM devices WHERE capabilities.iotEdge = true"
        sites = {str(twin.device_id): (twin.tags or {}).get("site") for twin in self._twins(query)}
        return {device: site for device, site in sites.items() if isinstance(site, str) and site}

    def _twins(self, query: str) -> Iterator[Any]:
        found, more = self._page(query, None)
        yield from found
        while more:
            found, more = self._page(query, more)
            yield from found

    def _page(self, query: str, token: str | None) -> tuple[list[Any], str | None]:
        for attempt in range(TRIES):
            try:
                with _asked("the devices of the fleet"):
                    ask = self._manager.protocol.query.get_twins
                    answer = ask(QuerySpecification(query=query), token, PAGE, None, raw=True)
            except Throttled:
                raise
            except Transient:
                if attempt + 1 == TRIES:
                    raise
            else:
                return list(answer.output), answer.headers["x-ms-continuation"]
        raise AssertionError("the last try returned or raised")

    def _find(self, name: str) -> Any:  # noqa: ANN401  # azure-iot-hub ships no types
        with _asked(f"deployment {name}", passed_over=(NOT_FOUND,)):
            return self._manager.get_configuration(name)
        return None

    def _create(self, deployment: Deployment) -> None:
        wanted = Configuration(
            id=deployment.id,
            schema_version="2.0",
            labels=dict(deployment.labels),
            content=ConfigurationContent(modules_content=dict(deployment.content)),
            target_condition=deployment.target,
            priority=deployment.priority,
            metrics=ConfigurationMetrics(queries=dict(deployment.metrics)),
        )
        with _asked(f"deployment {deployment.id}", passed_over=CONFLICTS):  # ours whose answer was lost, or another's
            self._manager.create_configuration(wanted)


@contextmanager
def _asked(what: str, *, passed_over: tuple[int, ...] = ()) -> Iterator[None]:
    """Translate what the block's request fails with; statuses that are passed over end the block instead."""
    try:
        yield
    except HttpOperationError as problem:
        if problem.response.status_code not in passed_over:
            raise _translated(problem, what) from problem
    except (ClientException, AzureError) as problem:
        fix = "wait for the redelivery; check IOTHUB_HOSTNAME if it persists"
        raise Transient(f"{what}: IoT Hub cannot be reached", why=str(problem), fix=fix) from problem


def _deployment(found: Any) -> Deployment:  # noqa: ANN401  # azure-iot-hub ships no types
    return Deployment(
        id=found.id,
        content=found.content.modules_content or {},
        target=found.target_condition or "",
        priority=found.priority or 0,
        labels=found.labels or {},
        metrics=(found.metrics.queries if found.metrics else None) or {},
    )


def _canonical(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True)


def _translated(problem: HttpOperationError, what: str) -> LoopError:
    status, said = problem.response.status_code, problem.response.text
    if any(code in said for code in QUOTA):
        fix = "delete deployments that nobody needs, or give the hub's loops to two hubs"
        return Full(f"{what}: IoT Hub has no place for it", why=said, fix=fix)
    if status == THROTTLED:
        after = problem.response.headers.get("Retry-After", "")
        fix = "nothing: what is left goes on by itself; add a unit to the hub if it never ends"
        return Throttled(f"{what}: IoT Hub is asked too often", why=said, fix=fix, after_s=_seconds(after))
    if status in DENIED:
        fix = "give the app's identity a role with Microsoft.Devices/IotHubs/configurations/* and twins/read"
        return Refused(f"{what}: IoT Hub rejected our identity", why=said, fix=fix)
    if status in (400, 403):
        return Refused(f"{what}: IoT Hub refused it", why=said, fix="see the reason; then deploy again")
    return Transient(f"{what}: IoT Hub answered {status}", why=said, fix="wait for the redelivery")


def _seconds(text: str) -> float:
    return min(float(text), 300.0) if text.isdigit() else 10.0
