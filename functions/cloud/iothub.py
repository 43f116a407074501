"""Azure IoT Hub (azure-iot-hub): automatic deployments of the fleet."""

import json
from collections.abc import Mapping
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.iot.hub import IoTHubConfigurationManager
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics
from msrest.exceptions import ClientException, HttpOperationError

from functions.errors import Refused, Transient
from functions.ports import Deployment, Progress

NOT_FOUND, CONFLICTS = 404, (409, 412)
DENIED = (401, 403)
QUOTA = 403002  # IoT Hub's code for too many configurations


class HubFleet:
    """Fleet backed by IoT Hub's configurations.

    Args:
        hostname: Of the hub.
        credential: Identity that may write configurations.
    """

    def __init__(self, hostname: str, credential: TokenCredential) -> None:
        self._manager = IoTHubConfigurationManager.from_token_credential(hostname, credential)

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

    def _find(self, name: str) -> Any:  # noqa: ANN401  # azure-iot-hub ships no types
        try:
            return self._manager.get_configuration(name)
        except HttpOperationError as problem:
            if problem.response.status_code == NOT_FOUND:
                return None
            raise _translated(problem, name) from problem
        except (ClientException, AzureError) as problem:
            raise _unreachable(problem, name) from problem

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
        try:
            self._manager.create_configuration(wanted)
        except HttpOperationError as problem:
            if problem.response.status_code not in CONFLICTS:  # somebody's, or our own whose answer was lost
                raise _translated(problem, deployment.id) from problem
        except (ClientException, AzureError) as problem:
            raise _unreachable(problem, deployment.id) from problem


def _canonical(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True)


def _translated(problem: HttpOperationError, what: str) -> Transient | Refused:
    status, said = problem.response.status_code, problem.response.text
    if status in DENIED and str(QUOTA) not in said:
        return Refused(
            f"deployment {what}: IoT Hub rejected our identity",
            why=said,
            fix="give the app's identity a role with Microsoft.Devices/IotHubs/configurations/*",
        )
    if status in (400, 403):
        return Refused(f"deployment {what}: IoT Hub refused it", why=said, fix="see the reason; then deploy again")
    return Transient(f"deployment {what}: IoT Hub answered {status}", why=said, fix="wait for the redelivery")


def _unreachable(problem: Exception, what: str) -> Transient:
    fix = "wait for the redelivery; check IOTHUB_HOSTNAME if it persists"
    return Transient(f"deployment {what}: IoT Hub cannot be reached", why=str(problem), fix=fix)
