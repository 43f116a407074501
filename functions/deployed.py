"""What must be deployed for this release to work; held to function_app.py and to the subscriptions by tests."""

from collections.abc import Mapping, Sequence

ML = "Microsoft.MachineLearningServices"
SUBSCRIPTIONS: Mapping[str, Sequence[str]] = {  # function -> what it wakes on
    "count_upload_on_blob_created": ("Microsoft.Storage.BlobCreated",),
    "judge_on_run_ended": (f"{ML}.RunCompleted", f"{ML}.RunStatusChanged"),
    "deploy_on_model_registered": (f"{ML}.ModelRegistered",),
    "request_retraining_on_drift": ("Refluent.DriftDetected",),
    "request_retraining_on_code_change": ("Refluent.TrainingCodeChanged",),
    "score_drift_on_device_event": ("Microsoft.Devices.DeviceTelemetry",),
}
FUNCTIONS = (
    *SUBSCRIPTIONS,
    "advance_on_timer",
    "answer_status",
    "answer_why",
    "count_overlooked_on_timer",
    "describe_training_sets_on_timer",
    "judge_drift_on_timer",
    "judge_on_timer",
    "replay_on_timer",
    "retrain_on_timer",
    "score_drift_on_telemetry",
)
