"""Who wakes on what: the event subscriptions of a stack, as infra/subscriptions.bicep declares them in Azure."""

from laptop.event_grid.filters import Filter
from laptop.event_grid.subscription import Subscription
from laptop.stack import ACCOUNT_ID, HUB_ID, TOPIC_ID, WORKSPACE_ID, Stack

ML = "Microsoft.MachineLearningServices"


def subscriptions(stack: Stack, *, telemetry: bool) -> list[Subscription]:
    """Every subscription of the function app.

    Args:
        stack: Where the host listens.
        telemetry: Deliver device telemetry by Event Grid: for `func start`, which has no Event Hubs to read here.
    """
    wanted = [
        _to(stack, "count_upload_on_blob_created", ACCOUNT_ID, Filter(
            event_types=("Microsoft.Storage.BlobCreated",),
            subject_begins_with="/blobServices/default/containers/landing/",
        )),
        _to(stack, "judge_on_run_ended", WORKSPACE_ID, Filter(
            event_types=(f"{ML}.RunCompleted", f"{ML}.RunStatusChanged"),
        )),
        _to(stack, "deploy_on_model_registered", WORKSPACE_ID, Filter(event_types=(f"{ML}.ModelRegistered",))),
        _to(stack, "request_retraining_on_drift", TOPIC_ID, Filter(event_types=("Refluent.DriftDetected",))),
        _to(stack, "request_retraining_on_code_change", TOPIC_ID, Filter(
            event_types=("Refluent.TrainingCodeChanged",),
        )),
    ]  # fmt: skip
    if telemetry:
        devices = Filter(event_types=("Microsoft.Devices.DeviceTelemetry",))
        wanted.append(_to(stack, "score_drift_on_device_event", HUB_ID, devices))
    return wanted


def _to(stack: Stack, function: str, source: str, wanted: Filter) -> Subscription:
    return Subscription(
        name=function.replace("_", "-"),
        source=source,
        endpoint=f"{stack.host_url}/runtime/webhooks/eventgrid?functionName={function}",
        filter=wanted,
        schema="cloud" if source == TOPIC_ID else "eventgrid",
        events_per_batch_max=20,
    )
