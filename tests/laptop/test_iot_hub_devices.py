"""Devices as the real device SDK makes them: rollouts reach them, telemetry comes back, connections come and go."""

import base64
import gc
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from azure.iot.device import IoTHubModuleClient, Message, MethodResponse
from azure.iot.hub.models import CloudToDeviceMethod, Twin

from laptop.identity import Identity
from laptop.iot_hub.errors import MethodError
from laptop.iot_hub.mqtt_codec import Publish
from laptop.iot_hub.registry import Name
from laptop.iot_hub.telemetry_log import partition_of
from laptop.tls import client_context
from tests.laptop.hub_running import KEY, RunningHub, base, desired, model, running_hub
from tests.laptop.serving import eventually

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated"),  # azure-iot-device 2.14
    pytest.mark.filterwarnings(
        "ignore:unclosed <socket:ResourceWarning"
    ),  # paho's wake-up sockets after a reconnection
]


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub
    gc.collect()  # so that what paho leaves open is found here, and not by a test of somebody else


INFERENCE = Name("edge-1", "inference")


class Inference:
    """A module that loads what its twin asks for, and reports it; models called bad do not load."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - the SDK has no types
        self.client = client
        self.loaded: list[str] = []
        client.on_twin_desired_properties_patch_received = self.apply

    def apply(self, patch: dict[str, Any]) -> None:
        if not (model := patch.get("model")):
            return
        version = model["version"]
        if version.startswith("bad"):
            self.client.patch_twin_reported_properties({"candidate": {"version": version, "state": "failed"}})
        else:
            self.loaded.append(version)
            self.client.patch_twin_reported_properties({"model": {"version": version}, "candidate": None})


@contextmanager
def module(hub: RunningHub, device: str, name: str = "inference") -> Iterator[Any]:
    """A client made as in a module's container, connected, and shut down at the end."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in hub.edge_environment(device, name).items():
            patch.setenv(variable, value)
        client = IoTHubModuleClient.create_from_edge_environment(connection_retry_interval=1)
    client.connect()
    try:
        yield client
    finally:
        client.shutdown()


def counts(hub: RunningHub, name: str) -> dict[str, int]:
    found = hub.configurations.get_configuration(name)
    return {**found.system_metrics.results, **found.metrics.results}


def is_connected(hub: RunningHub) -> bool:
    return bool(hub.registry.get_module("edge-1", "inference").connection_state == "Connected")


def test_a_model_reaches_the_canary_then_all_and_a_bad_one_is_rolled_back(hub: RunningHub) -> None:
    names = [f"edge-{number}" for number in range(3)]
    for number, name in enumerate(names):
        hub.add(name, "inference", tags={"ring": "canary" if number == 0 else "prod"})
    hub.configurations.create_configuration(base())
    with module(hub, names[0]) as first, module(hub, names[1]) as second, module(hub, names[2]) as third:
        devices = [Inference(client) for client in (first, second, third)]
        hub.configurations.create_configuration(model("m-1", "1", priority=1, condition="tags.ring='canary'"))
        eventually(lambda: counts(hub, "m-1")["ready"] == 1, "the model is not ready on one device")
        assert [device.loaded for device in devices] == [["1"], [], []]
        assert counts(hub, "m-1") == {
            "targetedCount": 1, "appliedCount": 0, "reportedSuccessfulCount": 0, "reportedFailedCount": 0,
            "ready": 1, "failed": 0,
        }  # fmt: skip
        promoted = hub.configurations.get_configuration("m-1")
        promoted.target_condition = "*"
        hub.configurations.update_configuration(promoted, f'"{promoted.etag}"')
        eventually(lambda: counts(hub, "m-1")["ready"] == 3, "the model is not ready on every device")
        hub.configurations.create_configuration(model("m-bad2", "bad2", priority=2, condition="tags.ring='canary'"))
        eventually(lambda: counts(hub, "m-bad2")["failed"] == 1, "the bad model did not fail")
        hub.configurations.delete_configuration("m-bad2")
        eventually(lambda: [one.loaded for one in devices] == [["1", "1"], ["1"], ["1"]], "the canary did not go back")
        assert counts(hub, "m-1")["ready"] == 3
        hub.registry.update_twin(names[2], Twin(tags={"ring": "canary"}))
        hub.configurations.create_configuration(model("m-3", "3", priority=3, condition="tags.ring='canary'"))
        eventually(lambda: counts(hub, "m-3")["ready"] == 2, "the next model is not ready on both canaries")
        hub.registry.update_twin(names[1], Twin(tags={"ring": "canary"}))
        eventually(lambda: counts(hub, "m-3")["ready"] == 3, "the next model is not ready on the new canary")


def test_a_device_that_is_added_later_gets_what_is_deployed(hub: RunningHub) -> None:
    hub.configurations.create_configuration(base())
    hub.configurations.create_configuration(model("m-1", "1", priority=1))
    hub.add("late", "inference")
    assert desired(hub, "late") == {"model": {"model": "m", "version": "1"}}


def test_a_condition_on_reported_properties_follows_the_device(hub: RunningHub) -> None:
    hub.add("edge-1")
    hub.configurations.create_configuration(base(condition="properties.reported.gpu = true"))
    assert counts(hub, "base")["targetedCount"] == 0
    report = Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b'{"gpu": true}')
    hub.within(hub.hub.devices.received("edge-1", report))
    eventually(lambda: counts(hub, "base")["appliedCount"] == 1, "the report did not move the deployment")


def test_the_agents_report_moves_the_system_metrics(hub: RunningHub) -> None:
    hub.registry.create_device_with_sas("edge-1", KEY, KEY, "enabled", iot_edge=True)
    hub.configurations.create_configuration(base())
    agent = hub.registry.get_module("edge-1", "$edgeAgent").authentication.symmetric_key.primary_key
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in hub.edge_environment("edge-1", "$edgeAgent", key=agent).items():
            patch.setenv(variable, value)
        client = IoTHubModuleClient.create_from_edge_environment()
    try:
        client.connect()
        version = client.get_twin()["desired"]["$version"]
        for code, success, failure in ((200, 1, 0), (500, 0, 1)):
            status = {"lastDesiredVersion": version, "lastDesiredStatus": {"code": code}}
            client.patch_twin_reported_properties(status)
            found = counts(hub, "base")
            assert (found["reportedSuccessfulCount"], found["reportedFailedCount"]) == (success, failure)
    finally:
        client.shutdown()


def test_patches_reach_a_module_that_has_reconnected_without_subscribing_again(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    hub.configurations.create_configuration(base())
    with module(hub, "edge-1") as client:
        device = Inference(client)
        client.get_twin()
        hub.restart()
        eventually(lambda: is_connected(hub), "the module did not come back")
        hub.configurations.create_configuration(model("m-1", "1", priority=1))
        eventually(lambda: device.loaded == ["1"], "the patch did not arrive")
        eventually(lambda: counts(hub, "m-1")["ready"] == 1, "the model is not ready on one device")


def test_a_method_runs_on_the_module_and_a_silent_one_times_out(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    with module(hub, "edge-1") as client:

        def answer(request: Any) -> None:  # noqa: ANN401 - the SDK has no types
            if request.name == "echo":
                client.send_method_response(MethodResponse.create_from_method_request(request, 201, request.payload))

        client.on_method_request_received = answer
        method = CloudToDeviceMethod(method_name="echo", payload={"a": [1, "é"]}, response_timeout_in_seconds=5)
        result = hub.registry.invoke_device_module_method("edge-1", "inference", method)
        assert (result.status, result.payload) == (201, {"a": [1, "é"]})
        with pytest.raises(MethodError, match="Timed out waiting for the response") as silent:
            hub.within(hub.hub.devices.invoke(INFERENCE, "x", {}, connect_seconds=0, answer_seconds=0.1))
        assert (silent.value.status, silent.value.number) == (504, 504101)


def read(hub: RunningHub, path: str, **params: object) -> httpx.Response:
    token = Identity(hub.stack).token("https://eventhubs.azure.net")
    with httpx.Client(verify=client_context(hub.stack)) as client:
        return client.get(
            f"https://{hub.stack.hub_hostname}/laptop/eventhubs/telemetry/partitions{path}",
            params={name: str(value) for name, value in params.items()},
            headers={"Authorization": f"Bearer {token}"},
        )


def test_telemetry_is_numbered_kept_and_announced(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    partition = partition_of("edge-1")
    with module(hub, "edge-1") as client:
        sketch = Message(
            json.dumps({"v": 1}), message_id="m 1", content_encoding="utf-8", content_type="application/json"
        )
        sketch.custom_properties["a b+&"] = "c=d/é"
        client.send_message_to_output(sketch, "telemetry")
        client.send_message(b"\xff\x00")
        found = read(hub, f"/{partition}/messages", **{"from": 0, "wait": 5}).json()["messages"]
        hub.restart()
        eventually(lambda: is_connected(hub), "the module did not come back")
        client.send_message("third")
    later = read(hub, f"/{partition}/messages", **{"from": 2, "wait": 5}).json()["messages"]
    assert [(one["sequenceNumber"], one["offset"], one["partitionKey"]) for one in found + later] == [
        (0, "0", "edge-1"), (1, "8", "edge-1"), (2, "10", "edge-1"),
    ]  # fmt: skip
    assert [base64.b64decode(one["body"]) for one in found + later] == [b'{"v": 1}', b"\xff\x00", b"third"]
    assert found[0]["properties"] == {"a b+&": "c=d/é"}
    system = found[0]["systemProperties"]
    assert (system["iothub-connection-device-id"], system["iothub-connection-module-id"], system["message-id"]) == (
        "edge-1", "inference", "m 1",
    )  # fmt: skip
    assert (system["iothub-content-type"], system["iothub-content-encoding"]) == ("application/json", "utf-8")
    events = [event for event in hub.events if event.type == "Microsoft.Devices.DeviceTelemetry"]
    assert [event.data["body"] for event in events] == [{"v": 1}, "/wA=", "dGhpcmQ="]
    assert (events[0].subject, events[0].data["properties"]) == ("devices/edge-1/inference", {"a b+&": "c=d/é"})


def test_readers_wait_for_what_has_not_come_yet(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    partition = partition_of("edge-1")
    assert read(hub, "").json() == {"partitionIds": ["0", "1"]}
    assert read(hub, f"/{partition}/messages", wait=0.01).json() == {"messages": []}
    with module(hub, "edge-1") as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: read(hub, f"/{partition}/messages", wait=10).json()["messages"])
        client.send_message("now")
        assert [base64.b64decode(one["body"]) for one in waiting.result()] == [b"now"]


@pytest.mark.parametrize(("path", "status"), [("/7/messages", 404), ("/0/messages?from=x", 400)])
def test_a_wrong_partition_or_number_is_refused(hub: RunningHub, path: str, status: int) -> None:
    query = {"from": "x"} if "?" in path else {}
    assert read(hub, path.partition("?")[0], **query).status_code == status


def test_messages_need_a_token_for_event_hubs(hub: RunningHub) -> None:
    token = Identity(hub.stack).token("https://iothubs.azure.net")
    with httpx.Client(verify=client_context(hub.stack)) as client:
        url = f"https://{hub.stack.hub_hostname}/laptop/eventhubs/telemetry/partitions"
        assert client.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_coming_and_going_are_events_and_show_in_the_registry(hub: RunningHub) -> None:
    hub.add("edge-1", "inference")
    with module(hub, "edge-1"):
        assert is_connected(hub)
        assert hub.registry.get_service_statistics().connected_device_count == 1
    eventually(lambda: len(hub.events) == 2, "there were not two events")
    assert [(event.type, event.data["moduleId"]) for event in hub.events] == [
        ("Microsoft.Devices.DeviceConnected", "inference"), ("Microsoft.Devices.DeviceDisconnected", "inference"),
    ]  # fmt: skip
    assert not is_connected(hub)


def test_twenty_five_modules_are_served_at_once(hub: RunningHub) -> None:
    names = [f"edge-{number}" for number in range(25)]
    for name in names:
        hub.add(name, "inference")
    hub.configurations.create_configuration(base())
    contexts = [module(hub, name) for name in names]
    devices = [Inference(context.__enter__()) for context in contexts]
    try:
        hub.configurations.create_configuration(model("m-1", "1", priority=1))
        eventually(lambda: counts(hub, "m-1")["ready"] == 25, "the model is not ready on all 25")
        for device in devices:
            device.client.send_message("x")
    finally:
        for context in contexts:
            context.__exit__(None, None, None)
    total = [read(hub, f"/{partition}/messages").json()["messages"] for partition in ("0", "1")]
    assert sum(map(len, total)) == 25
    assert [one["sequenceNumber"] for one in total[0]] == list(range(len(total[0])))
