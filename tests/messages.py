"""Event Grid messages as the host hands them over; each argument changes one part."""

from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from tests.fakes.cloud import ENVIRONMENT

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def blob_created(blob: str = "flight-delays/ewr/2013-01-01.parquet", **changes: object) -> func.EventGridEvent:
    container = str(changes.pop("container", "landing"))
    data = {
        "api": "PutBlob",
        "eTag": "0x8D4BCC2E4835CD0",
        "contentLength": 524,
        "blobType": "BlockBlob",
        "url": f"{ENVIRONMENT['DATA_BLOB_ENDPOINT']}/{container}/{blob}",
    }
    subject = changes.pop("subject", f"/blobServices/default/containers/{container}/blobs/{blob}")
    return message("Microsoft.Storage.BlobCreated", data, subject=str(subject), **changes)


def registered(version: object, model: str = "flight-delays") -> func.EventGridEvent:
    data = {"ModelName": model, "ModelVersion": version, "ModelTags": {}, "ModelProperties": {}}
    source = ENVIRONMENT["AZUREML_WORKSPACE_ID"]
    kind = "Microsoft.MachineLearningServices.ModelRegistered"
    return message(kind, data, topic=source, subject=f"models/{model}:{version}")


def run_completed(run: str) -> func.EventGridEvent:
    source = ENVIRONMENT["AZUREML_WORKSPACE_ID"]
    return message(
        "Microsoft.MachineLearningServices.RunCompleted", {"runId": run}, topic=source, subject=f"runs/{run}"
    )


def message(kind: str, data: dict[str, object], *, subject: str, **changes: Any) -> func.EventGridEvent:  # noqa: ANN401 # tests break any part
    envelope: dict[str, Any] = {
        "id": "831e1650-001e-001b-66ab-eeb76e069631",
        "topic": ENVIRONMENT["DATA_ACCOUNT_ID"],
        "subject": subject,
        "event_type": kind,
        "event_time": AT,
        "data_version": "",
    }
    own = {name: changes.pop(name) for name in list(changes) if name in envelope}
    return func.EventGridEvent(data={**data, **changes}, **{**envelope, **own})
