"""IoT Hub's service API as the real service SDK uses it: with a token and with the policy's key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.identity import DefaultAzureCredential
from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    CloudToDeviceMethod,
    ConfigurationContent,
    ConfigurationQueriesTestInput,
    QuerySpecification,
    Twin,
    TwinProperties,
)
from msrest.exceptions import HttpOperationError

from laptop.identity import Identity
from laptop.iot_hub.bodies import ConfigurationBody, Content
from laptop.iot_hub.errors import HubError
from laptop.iot_hub.hub import connection_string
from laptop.iot_hub.throttle import Throttle
from laptop.tls import client_context
from tests.laptop.hub_running import KEY, RunningHub, base, configuration, desired, model, running_hub

pytestmark = pytest.mark.enable_socket

VERSION = {"api-version": "2021-04-12"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def hub(running: RunningHub) -> RunningHub:
    """An empty hub."""
    running.empty()
    return running


def refused(call: Callable[..., object], *arguments: object) -> tuple[int, str]:
    """Status and message of a call that the hub refuses, in the service's envelope."""
    with pytest.raises(HttpOperationError) as problem:
        call(*arguments)
    response = problem.value.response
    envelope = response.json()
    code, _, message = envelope["Message"].removeprefix("ErrorCode:").partition(";")
    if "errorCode" not in envelope["Message"]:
        assert re.fullmatch(r"Tracking ID:\w{32}-G:0-TimeStamp:[\d/]+ [\d:]+", envelope["ExceptionMessage"])
        assert response.headers["iothub-errorcode"] == code
    return response.status_code, f"{code};{message}"


@pytest.fixture(scope="module")
def credential() -> Iterator[DefaultAzureCredential]:
    credential = DefaultAzureCredential()
    yield credential
    credential.close()


def test_the_default_credential_opens_configurations_and_registry(
    hub: RunningHub, credential: DefaultAzureCredential
) -> None:
    hub.add("edge-1", tags={"ring": "canary"})
    name = hub.stack.hub_hostname
    configurations = IoTHubConfigurationManager.from_token_credential(name, credential)
    assert configurations.create_configuration(base()).system_metrics.results["appliedCount"] == 1
    assert IoTHubRegistryManager.from_token_credential(name, credential).get_twin("edge-1").tags == {"ring": "canary"}


@pytest.mark.parametrize(
    "header", ["", "Bearer x", "SharedAccessSignature x", "SharedAccessSignature sr=a&sig=b&se=1&skn=iothubowner"]
)
def test_a_bad_proof_is_unauthorized_in_the_services_envelope(hub: RunningHub, header: str) -> None:
    answer = get(hub, "/devices", authorization=header)
    assert answer.status_code == 401
    assert answer.json()["Message"].startswith("ErrorCode:IotHubUnauthorizedAccess;Unauthorized")


def test_a_token_for_another_service_is_unauthorized(hub: RunningHub) -> None:
    token = Identity(hub.stack).token("https://storage.azure.com")
    assert get(hub, "/devices", authorization=f"Bearer {token}").status_code == 401


def test_a_key_of_another_hub_is_unauthorized(hub: RunningHub) -> None:
    foreign = re.sub("SharedAccessKey=.*", f"SharedAccessKey={KEY}", connection_string(hub.stack))
    status, _ = refused(IoTHubConfigurationManager.from_connection_string(foreign).get_configurations)
    assert status == 401


def get(hub: RunningHub, path: str, *, authorization: str = "", params: dict[str, str] | None = None) -> httpx.Response:
    with httpx.Client(verify=client_context(hub.stack), base_url=f"https://{hub.stack.hub_hostname}") as client:
        headers = {"Authorization": authorization} if authorization else {}
        return client.get(path, params=VERSION if params is None else params, headers=headers)


def bearer(hub: RunningHub) -> str:
    return f"Bearer {Identity(hub.stack).token('https://iothubs.azure.net')}"


def test_another_api_version_and_an_unknown_path_are_refused(hub: RunningHub) -> None:
    other = get(hub, "/devices", authorization=bearer(hub), params={"api-version": "2016-11-14"})
    assert (other.status_code, other.headers["iothub-errorcode"]) == (400, "InvalidProtocolVersion")
    assert get(hub, "/nowhere", authorization=bearer(hub)).status_code == 404


@pytest.mark.parametrize("path", ["/jobs/v2/query", "/jobs", "/digitaltwins/x", "/messages/serviceBound/feedback"])
def test_what_is_not_supported_is_refused_and_never_faked(hub: RunningHub, path: str) -> None:
    answer = get(hub, path, authorization=bearer(hub))
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (403, "OperationNotAvailableInCurrentTier")


def test_a_configuration_is_created_once_and_reads_back_as_it_was_sent(hub: RunningHub) -> None:
    sent = model("m-1", "1", priority=3, condition="tags.ring='canary'")
    sent.labels = {"model": "m:1"}
    hub.configurations.create_configuration(sent)
    read = hub.configurations.get_configuration("m-1")
    assert read.content.modules_content == sent.content.modules_content
    assert (read.target_condition, read.priority, read.labels) == ("tags.ring='canary'", 3, {"model": "m:1"})
    assert read.metrics.queries == sent.metrics.queries
    status, message = refused(hub.configurations.create_configuration, sent)
    assert (status, message) == (
        409, "ConfigurationAlreadyExists;Configuration with id 'm-1' already exist on IotHub.",
    )  # fmt: skip


def test_only_a_quoted_etag_is_a_precondition(hub: RunningHub) -> None:
    created = hub.configurations.create_configuration(base())
    assert refused(hub.configurations.update_configuration, created, created.etag)[0] == 409
    created.priority = 7
    updated = hub.configurations.update_configuration(created, f'"{created.etag}"')
    assert updated.priority == 7
    assert refused(hub.configurations.update_configuration, created, f'"{created.etag}"')[0] == 412
    assert refused(hub.configurations.delete_configuration, "base", f'"{created.etag}"')[0] == 412
    hub.configurations.delete_configuration("base", f'"{updated.etag}"')
    assert refused(hub.configurations.get_configuration, "base")[0] == 404
    assert refused(hub.configurations.delete_configuration, "base")[0] == 404


def test_new_content_of_an_old_configuration_is_answered_with_200_and_ignored(hub: RunningHub) -> None:
    hub.configurations.create_configuration(model("m-1", "1", priority=1))
    updated = hub.configurations.update_configuration(model("m-1", "9", priority=2), "*")
    assert updated.priority == 2
    assert updated.content.modules_content["inference"] == {"properties.desired.model": {"model": "m", "version": "1"}}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (configuration("Upper", {"$edgeAgent": {}}), "ArgumentInvalid"),
        (configuration("x", {"inference": {}}), "InvalidConfigurationContent"),
        (configuration("x", {"$edgeAgent": {}}, condition="edge"), "InvalidConfigurationTargetCondition"),
        (configuration("x", {"$edgeAgent": {}}, metrics={"m": "SELEC"}), "InvalidConfigurationCustomMetricsQuery"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_code(hub: RunningHub, bad: Any, code: str) -> None:  # noqa: ANN401 - the SDK has no types
    status, message = refused(hub.configurations.create_configuration, bad)
    assert (status, message.partition(";")[0]) == (400, code)


def test_the_hundred_and_first_configuration_is_refused(hub: RunningHub) -> None:
    body = ConfigurationBody(content=Content(modules_content={"$edgeAgent": {}}))

    async def fill() -> None:
        for number in range(100):
            hub.hub.write_configuration(f"c-{number}", body, if_match=None)

    hub.within(fill())
    status, message = refused(hub.configurations.create_configuration, configuration("c-100", {"$edgeAgent": {}}))
    assert (status, message) == (
        413, "ConfigurationCountLimitExceeded;Number of deployments exceed the maximum quota 100 for this IotHub.",
    )  # fmt: skip
    assert len(hub.configurations.get_configurations(20)) == 20


def test_queries_can_be_tried_before_they_are_used(hub: RunningHub) -> None:
    tried = hub.configurations.test_configuration_queries(
        ConfigurationQueriesTestInput(
            target_condition="tags.x=='y'", custom_metric_queries={"bad": "SELEC 1", "good": "SELECT * FROM devices"}
        )
    )
    assert tried.target_condition_error.startswith("Line 1:7")
    assert list(tried.custom_metric_query_errors) == ["bad"]


def test_content_can_be_applied_to_one_device(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    content = ConfigurationContent(
        modules_content=base().content.modules_content | {"inference": {"properties.desired": {"a": 1}}}
    )
    hub.configurations.apply_configuration_on_edge_device("edge-1", content)
    assert desired(hub, "edge-1") == {"a": 1}
    assert refused(hub.configurations.apply_configuration_on_edge_device, "none", content)[0] == 404
    empty = ConfigurationContent(modules_content={})
    assert refused(hub.configurations.apply_configuration_on_edge_device, "edge-1", empty)[0] == 400


def test_deployments_that_only_together_are_too_large_leave_the_twin_alone(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    hub.configurations.create_configuration(base())
    for number in (1, 2):
        half = {f"properties.desired.p{number}{part}": "x" * 4000 for part in range(5)}
        one = configuration(f"half-{number}", {"$edgeAgent": {}, "inference": half}, priority=number)
        hub.configurations.create_configuration(one)
    assert sorted(desired(hub, "edge-1")) == ["p10", "p11", "p12", "p13", "p14"]


def test_a_twin_is_changed_as_a_whole_or_not_at_all(hub: RunningHub) -> None:
    hub.add("edge-1", tags={"a": 1})
    both = Twin(tags={"a": 2}, properties=TwinProperties(desired={"bad name": 1}))
    assert refused(hub.registry.update_twin, "edge-1", both)[0] == 400
    assert hub.registry.get_twin("edge-1").tags == {"a": 1}


def test_devices_and_modules_are_created_read_changed_and_deleted(hub: RunningHub) -> None:
    hub.registry.create_device_with_sas("edge-1", KEY, KEY, "enabled", iot_edge=True)
    hub.registry.create_module_with_sas("edge-1", "inference", "iotEdge", KEY, KEY)
    assert [module.module_id for module in hub.registry.get_modules("edge-1")] == [
        "$edgeAgent", "$edgeHub", "inference",
    ]  # fmt: skip
    device = hub.registry.get_device("edge-1")
    assert (device.status, device.capabilities.iot_edge, device.authentication.symmetric_key.primary_key) == (
        "enabled", True, KEY,
    )  # fmt: skip
    assert refused(hub.registry.create_device_with_sas, "edge-1", KEY, KEY, "enabled") == (
        409, "DeviceAlreadyExists;A device with ID 'edge-1' is already registered.",
    )  # fmt: skip
    assert refused(hub.registry.create_module_with_sas, "edge-1", "inference", "iotEdge", KEY, KEY)[0] == 409
    changed = hub.registry.update_device_with_sas("edge-1", device.etag, KEY, KEY, "disabled", iot_edge=True)
    assert (changed.status, changed.generation_id) == ("disabled", device.generation_id)
    assert refused(hub.registry.update_device_with_sas, "edge-1", device.etag, KEY, KEY, "enabled")[0] == 412
    statistics = hub.registry.get_device_registry_statistics()
    assert (statistics.total_device_count, statistics.disabled_device_count) == (1, 1)
    assert hub.registry.get_service_statistics().connected_device_count == 0
    hub.registry.delete_module("edge-1", "inference")
    assert refused(hub.registry.get_module, "edge-1", "inference")[1].startswith("ModuleNotFound")
    hub.registry.delete_device("edge-1", changed.etag)
    assert refused(hub.registry.get_device, "edge-1") == (404, "DeviceNotFound;edge-1")
    assert refused(hub.registry.get_module, "edge-1", "$edgeAgent")[0] == 404


def test_keys_that_are_not_given_are_made(hub: RunningHub) -> None:
    symmetric = hub.registry.create_device_with_sas("d", None, None, "enabled").authentication.symmetric_key
    assert len({symmetric.primary_key, symmetric.secondary_key}) == 2


@pytest.mark.parametrize("name", ["edge#1", "a+b%20c", "q?x=1", "it's", "$odd@(1),*!"])
def test_odd_but_legal_device_ids_work(hub: RunningHub, name: str) -> None:
    hub.registry.create_device_with_sas(name, KEY, KEY, "enabled")
    assert hub.registry.get_twin(name).device_id == name
    hub.registry.delete_device(name)


@pytest.mark.parametrize("name", ["ö", "a b", "x" * 129])
def test_illegal_device_ids_are_refused(hub: RunningHub, name: str) -> None:
    assert refused(hub.registry.create_device_with_sas, name, KEY, KEY, "enabled")[0] == 400


def test_certificates_and_bulk_changes_are_refused_as_not_supported(hub: RunningHub) -> None:
    assert "not supported" in refused(hub.registry.create_device_with_x509, "d", "A" * 40, "B" * 40, "enabled")[1]
    assert "not supported" in refused(hub.registry.bulk_create_or_update_devices, [])[1]


def test_twins_are_patched_and_replaced_under_their_etags(hub: RunningHub) -> None:
    hub.add("edge-1", "inference", tags={"site": "lga", "ring": "canary"})
    first = hub.registry.get_twin("edge-1")
    patched = hub.registry.update_twin("edge-1", Twin(tags={"ring": None, "floor": 3}), first.etag)
    assert patched.tags == {"site": "lga", "floor": 3}
    assert refused(hub.registry.update_twin, "edge-1", Twin(tags={"x": 1}), first.etag)[0] == 412
    replaced = hub.registry.replace_twin("edge-1", Twin(tags={"a": 1}), patched.etag)
    assert replaced.tags == {"a": 1}
    module = hub.registry.update_module_twin(
        "edge-1", "inference", Twin(properties=TwinProperties(desired={"rate": 5, "deep": {"a": 1}}))
    )
    assert module.properties.desired["$version"] == 2
    assert module.properties.desired["$metadata"]["deep"]["a"]["$lastUpdated"]
    hub.registry.replace_module_twin("edge-1", "inference", Twin(properties=TwinProperties(desired={"rate": 6})))
    assert desired(hub, "edge-1") == {"rate": 6}
    assert refused(hub.registry.update_twin, "edge-1", Twin(tags={"big": "x" * 5000}))[0] == 400
    assert refused(hub.registry.update_twin, "none", Twin(tags={}))[0] == 404


def test_queries_page_with_continuation_tokens(hub: RunningHub) -> None:
    for number in range(5):
        hub.add(f"edge-{number}", tags={"ring": "canary" if number < 3 else "prod"})
    specification = QuerySpecification(query="SELECT * FROM devices WHERE tags.ring='canary'")
    first = hub.registry.query_iot_hub(specification, None, 2)
    assert ([twin.device_id for twin in first.items], first.type) == (["edge-0", "edge-1"], "twin")
    rest = hub.registry.query_iot_hub(specification, first.continuation_token, 2)
    assert ([twin.device_id for twin in rest.items], rest.continuation_token) == (["edge-2"], None)
    counted = hub.registry.query_iot_hub(
        QuerySpecification(query="SELECT tags.ring AS ring, COUNT() AS n FROM devices GROUP BY tags.ring")
    )
    assert counted.type == "raw"
    assert [row.additional_properties for row in counted.items] == [
        {"ring": "canary", "n": 3},
        {"ring": "prod", "n": 2},
    ]
    status, message = refused(hub.registry.query_iot_hub, QuerySpecification(query="SELECT"))
    assert (status, message[:47]) == (400, "ArgumentInvalid;SQL query parse failed due to f")
    assert refused(hub.registry.query_iot_hub, specification, "nonsense")[0] == 400


def test_a_method_on_a_device_that_is_away_or_unknown_is_not_found(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    method = CloudToDeviceMethod(method_name="ping", payload={}, response_timeout_in_seconds=5)
    with pytest.raises(HttpOperationError) as problem:
        hub.registry.invoke_device_module_method("edge-1", "inference", method)
    response = problem.value.response
    assert (response.status_code, response.headers["iothub-errorcode"]) == (404, "DeviceNotOnline")
    assert json.loads(response.json()["Message"])["errorCode"] == 404103
    assert refused(hub.registry.invoke_device_method, "none", method)[1].startswith("DeviceNotFound")
    method.response_timeout_in_seconds = 1
    assert refused(hub.registry.invoke_device_method, "edge-1", method)[0] == 400


def test_everything_is_found_again_after_a_restart(hub: RunningHub) -> None:
    hub.add("edge-1", "inference", tags={"ring": "canary"})
    hub.configurations.create_configuration(base())
    created = hub.configurations.create_configuration(model("m-1", "1", priority=1))
    before = hub.registry.get_module_twin("edge-1", "inference").as_dict()
    hub.restart()
    assert hub.registry.get_module_twin("edge-1", "inference").as_dict() == before
    assert hub.registry.get_twin("edge-1").tags == {"ring": "canary"}
    assert hub.configurations.get_configuration("m-1").as_dict() == created.as_dict()


def test_a_hub_of_one_unit_throttles_the_twenty_first_query(tmp_path: Path) -> None:
    with running_hub(tmp_path, units=1) as small:
        for _ in range(20):
            small.registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"))
        with pytest.raises(HttpOperationError) as problem:
            small.registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"))
    assert problem.value.response.status_code == 429
    assert 1 <= int(problem.value.response.headers["Retry-After"]) <= 4


def test_a_throttle_lets_through_again_what_a_minute_allows() -> None:
    seconds = [0.0]
    throttle = Throttle(2, lambda: seconds[0])
    for _ in range(40):
        throttle.take("query")
    with pytest.raises(HubError) as refusal:
        throttle.take("query")
    assert refusal.value.headers["Retry-After"] == "2"
    seconds[0] += 1.5
    throttle.take("query")
    throttle.take("twin")
