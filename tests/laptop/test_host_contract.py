"""What the host takes from azure-functions-runtime 1.3.0 beyond its promised API, and what its data decodes to."""

import inspect
from datetime import UTC, datetime

import azure.functions as func
import azure_functions_runtime
import pytest
from azure.functions.meta import get_binding_registry
from azure_functions_runtime import native_invocation
from azure_functions_runtime.utils.constants import PYTHON_SCRIPT_FILE_NAME_DEFAULT
from azure_functions_runtime.version import VERSION

from laptop.host import worker
from laptop.host.event_hubs import Message, batch_event, single_event
from laptop.host.invocations import Event
from laptop.host.queues import queue_event
from laptop.host.storage import QueueMessage
from laptop.host.timers import timer_event

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def decode(kind: str, event: Event) -> object:
    return get_binding_registry().get(kind).decode(event.data, trigger_metadata=event.metadata)


def test_the_library_is_the_version_this_host_was_written_for() -> None:
    assert VERSION == "1.3.0"
    assert PYTHON_SCRIPT_FILE_NAME_DEFAULT == "function_app.py"


def test_the_native_entry_point_takes_what_the_host_gives() -> None:
    assert list(inspect.signature(native_invocation.invocation_request_native).parameters) == [
        "invocation_id", "function_id", "inputs", "trigger_metadata", "trace_parent", "trace_state",
        "retry_count", "max_retry_count", "retry_exception",
    ]  # fmt: skip
    assert inspect.iscoroutinefunction(native_invocation.invocation_request_native)


@pytest.mark.parametrize(
    "name",
    ["worker_init_request", "functions_metadata_request", "start_threadpool_executor", "stop_threadpool_executor",
     "invocation_id_cv"],
)  # fmt: skip
def test_the_library_still_exports_what_the_host_calls(name: str) -> None:
    assert name in azure_functions_runtime.__all__


def test_the_library_touches_no_message_class_the_host_does_not_stand_in_for() -> None:
    used = set()
    for module in (
        azure_functions_runtime.handle_event,
        azure_functions_runtime.loader,
        azure_functions_runtime.functions,
    ):
        used |= {
            word.split("(")[0] for word in inspect.getsource(module).replace("protos.", " \0").split() if "\0" in word
        }
    names = {word.strip("\0").split(".")[0].rstrip(",)") for word in used}
    unused = {"TypedData", "ParameterBinding", "InvocationResponse", "FunctionLoadResponse"}  # protobuf's own paths
    unused |= {"FunctionEnvironmentReloadResponse", ""}
    assert names - unused <= set(vars(worker.MESSAGES))


def test_a_queue_message_decodes() -> None:
    message = QueueMessage("m1", "", 2, inserted=AT, expires=AT, next_visible=AT, pop_receipt="r")
    decoded = decode("queueTrigger", queue_event(message, '{"a": 1}'))
    assert isinstance(decoded, func.QueueMessage)
    assert (decoded.id, decoded.dequeue_count, decoded.get_json(), decoded.pop_receipt) == ("m1", 2, {"a": 1}, "r")
    assert decoded.insertion_time == decoded.expiration_time == decoded.time_next_visible == AT


def test_a_timer_decodes() -> None:
    decoded = decode("timerTrigger", timer_event({"Last": "x"}, past_due=True))
    assert isinstance(decoded, func.TimerRequest)
    assert (decoded.past_due, decoded.to_dict()["schedule_status"], decoded.to_dict()["schedule"]) == (
        True,
        {"Last": "x"},
        {"AdjustForDST": True},
    )


def telemetry(sequence: int) -> Message:
    return Message(
        sequence,
        str(10 * sequence),
        "2026-11-22T10:00:00Z",
        b"\xff{}",
        "edge-1",
        {"iothub-connection-device-id": "edge-1"},
    )


def test_an_event_hub_batch_decodes_byte_for_byte() -> None:
    decoded = decode("eventHubTrigger", batch_event([telemetry(1), telemetry(2)], {"PartitionId": "0"}, binary=True))
    assert isinstance(decoded, list)
    first, second = decoded
    assert isinstance(first, func.EventHubEvent)
    assert (first.get_body(), first.sequence_number, second.sequence_number, second.offset) == (b"\xff{}", 1, 2, 20)
    assert (first.partition_key, first.enqueued_time, first.iothub_metadata) == (
        "edge-1", AT, {"connection-device-id": "edge-1"},
    )  # fmt: skip


def test_a_single_event_hub_message_decodes() -> None:
    decoded = decode("eventHubTrigger", single_event(telemetry(3), {}, binary=True))
    assert isinstance(decoded, func.EventHubEvent)
    assert (decoded.get_body(), decoded.sequence_number, decoded.offset) == (b"\xff{}", 3, "30")
    assert (decoded.enqueued_time, decoded.iothub_metadata) == (AT, {"connection-device-id": "edge-1"})


def test_a_batch_without_the_binary_type_is_text() -> None:
    plain = Message(1, "1", "2026-11-22T10:00:00Z", b"{}")
    decoded = decode("eventHubTrigger", batch_event([plain], {}, binary=False))
    assert isinstance(decoded, list)
    assert decoded[0].get_body() == b"{}"
    assert decoded[0].partition_key is None


def test_an_offset_that_is_no_number_cannot_be_decoded() -> None:
    """The limit is the library's own; the telemetry log keeps to numbers."""
    odd = Message(1, "5:1024:7", "2026-11-22T10:00:00Z", b"{}")
    with pytest.raises(ValueError, match="5:1024:7"):
        decode("eventHubTrigger", batch_event([odd], {}, binary=True))
