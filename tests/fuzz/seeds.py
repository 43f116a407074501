"""Where fuzzing begins: sound inputs of every parser, and what its words are."""

import base64
import json
from collections.abc import Mapping, Sequence

from sketch.sketch import Sketch
from tests.fakes.cloud import ENVIRONMENT
from tests.fuzz.targets import profile

ROW = {"temp": 51.5, "carrier": "AA", "score": 0.25}


def sketch() -> Sketch:
    """Three rows."""
    counted = Sketch(profile())
    counted.add({"temp": [50.0, None, 9e9], "carrier": ["AA", None, "??"]}, [0.1, 0.2, float("nan")])
    return counted


def _message(**members: object) -> bytes:
    names = {"v": 1, "loop": "flight-delays", "model": "flight-delays", "version": "1", "epoch": "e1", "sequence": 0}
    window = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:01:00Z"}
    return json.dumps({**names, **window, **members}).encode()


def _event(kind: str, source: str, **data: object) -> bytes:
    subject = "/blobServices/default/containers/landing/blobs/flight-delays/ewr/1.csv"
    return json.dumps(
        {"id": "1", "type": kind, "source": source, "subject": subject, "time": "x", "data": data}
    ).encode()


def seeds() -> Mapping[str, Sequence[bytes]]:
    """Sound inputs by target."""
    packed = base64.b64encode(sketch().to_bytes()).decode()
    counts = {"rows": 3, "requests": 3, "failed": 0, "profile": profile().hash, "sketch": packed}
    url = f"{ENVIRONMENT['DATA_BLOB_ENDPOINT']}/landing/flight-delays/ewr/1.csv"
    blob = {"api": "PutBlob", "eTag": "0x1", "contentLength": 9, "blobType": "BlockBlob", "url": url}
    told = {"loop": "flight-delays", "device": "lga", "version": "1", "feature": "temp", "explanation": "x"}
    system = {"iothub-connection-device-id": "lga", "iothub-enqueuedtime": "2026-03-01T12:00:00Z"}
    workspace = ENVIRONMENT["AZUREML_WORKSPACE_ID"]
    return {
        "telemetry": [
            _message(**counts),
            _message(kind="rows", rows=[ROW, {**ROW, "temp": None}]),
            _message(kind="rows", columns={"temp": [1, 2.5], "carrier": ["AA", None]}, scores=[0.5, None]),
        ],
        "sketches": [sketch().to_bytes()],
        "events": [
            _event("Microsoft.Storage.BlobCreated", ENVIRONMENT["DATA_ACCOUNT_ID"], **blob),
            _event("Microsoft.MachineLearningServices.RunCompleted", workspace, runId="rt-1"),
            _event("Microsoft.MachineLearningServices.ModelRegistered", workspace, ModelName="m", ModelVersion=20),
            _event("Refluent.DriftDetected", "/refluent", at="2026-03-01T12:00:00Z", **told),
            _event(
                "Microsoft.Devices.DeviceTelemetry",
                ENVIRONMENT["IOTHUB_ID"],
                systemProperties=system,
                body=json.loads(_message(**counts)),
            ),
        ],
    }
