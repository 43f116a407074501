"""The only untyped border: both of Event Grid's envelopes, every spelling Azure uses, and whatever else may come."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.envelope import read_drift, read_registration, read_run, read_upload
from functions.errors import Ignored, Poison
from functions.retraining.trigger import count_upload_on_blob_created
from functions.wiring import using
from tests.fakes.cloud import ENVIRONMENT, FakeCloud
from tests.messages import AT, blob_created, message, registered, run_completed

SETTINGS = FakeCloud().settings
BLOB = "flight-delays/ewr/2013-01-01.parquet"


def as_cloud_event(event: func.EventGridEvent) -> func.CloudEvent:
    """The same event in the other schema."""
    return func.CloudEvent(
        id=event.id,
        source=event.topic,
        type=event.event_type,
        specversion="1.0",
        data=event.get_json(),
        time=event.event_time,
        subject=event.subject,
    )


def test_an_upload_is_the_same_upload_in_both_schemas() -> None:
    event = blob_created(BLOB)
    upload = read_upload(event, SETTINGS)
    assert upload == read_upload(as_cloud_event(event), SETTINGS)
    assert (upload.container, upload.blob, upload.size_bytes) == ("landing", BLOB, 524)
    assert (upload.api, upload.etag, upload.blob_type) == ("PutBlob", "0x8D4BCC2E4835CD0", "BlockBlob")


def test_an_upload_counts_once_even_if_both_schemas_are_subscribed() -> None:
    with using(FakeCloud()) as here:
        for event in (blob_created(BLOB), as_cloud_event(blob_created(BLOB, id="another-id"))):
            count_upload_on_blob_created(event)
        assert len(list(here.rows.find("uploads", "flight-delays"))) == 1


def test_fields_nobody_knows_yet_are_no_error() -> None:
    assert read_upload(blob_created(BLOB, sequencer="01", storageDiagnostics={"batchId": "b"}), SETTINGS)


@pytest.mark.parametrize("account", [str.upper, str.lower])
def test_arm_ids_are_compared_as_azure_compares_them(account: Any) -> None:  # noqa: ANN401 # a method of str
    assert read_upload(blob_created(BLOB, topic=account(ENVIRONMENT["DATA_ACCOUNT_ID"])), SETTINGS)


@pytest.mark.parametrize(
    "data",
    [
        {"ModelName": "flight-delays", "ModelVersion": 20},
        {"ModelName": "flight-delays", "ModelVersion": "20"},
        {"modelName": "flight-delays", "modelVersion": "20"},
        {"modelName": "flight-delays", "modelVersion": 20, "modelTags": {"stage": "new"}},
    ],
)
def test_a_registration_is_read_in_every_spelling_azure_documents(data: dict[str, object]) -> None:
    source, kind = ENVIRONMENT["AZUREML_WORKSPACE_ID"], "Microsoft.MachineLearningServices.ModelRegistered"
    event = message(kind, data, subject="models/flight-delays:20", topic=source)
    for spelled in (event, as_cloud_event(event)):
        found = read_registration(spelled, SETTINGS)
        assert (found.model, found.version) == ("flight-delays", "20")


@pytest.mark.parametrize("version", ["", "v1", "one", 1.5, -1, None, True, "1" * 10, "²", [1], {"a": 1}, "1\n"])
def test_a_version_that_is_no_plain_number_is_poison(version: object) -> None:
    with pytest.raises(Poison) as poison:
        read_registration(registered(version), SETTINGS)
    assert poison.value.code == "EG_SCHEMA"


@pytest.mark.parametrize(
    "model", ["../../x", "a'b", 'a"b', "x" * 300, "<img onerror>", "$edgeAgent", "", None, 7, "flight-delays\n", " "]
)
def test_a_model_name_that_no_registry_allows_is_poison(model: Any) -> None:  # noqa: ANN401 # of any type
    with pytest.raises(Poison):
        read_registration(registered(1, model), SETTINGS)


def test_a_model_no_loop_owns_is_passed_over() -> None:
    with pytest.raises(Ignored):
        read_registration(registered(1, "somebody-else-s"), SETTINGS)


@pytest.mark.parametrize("spelling", ["runId", "RunId"])
def test_a_run_is_read_in_both_spellings(spelling: str) -> None:
    source, kind = ENVIRONMENT["AZUREML_WORKSPACE_ID"], "Microsoft.MachineLearningServices.RunStatusChanged"
    event = message(kind, {spelling: "rt-1", "runStatus": "Completed"}, subject="runs/rt-1", topic=source)
    assert read_run(event, SETTINGS).run == read_run(as_cloud_event(event), SETTINGS).run == "rt-1"


@pytest.mark.parametrize("workspace", ["/subscriptions/other/x", ENVIRONMENT["AZUREML_WORKSPACE_ID"] + "-2"])
def test_a_foreign_workspace_is_poison(workspace: str) -> None:
    data = {"ModelName": "flight-delays", "ModelVersion": 1, "runId": "rt-1"}
    event = message("Microsoft.MachineLearningServices.ModelRegistered", data, subject="x", topic=workspace)
    for read in (read_registration, read_run):
        with pytest.raises(Poison) as poison:
            read(event, SETTINGS)
        assert poison.value.code == "EG_TOPIC_NOT_ALLOWED"


def test_drift_is_read_from_our_own_topic() -> None:
    data = {"loop": "flight-delays", "device": "lga", "version": "1", "feature": "temp", "explanation": "warmer"}
    event = as_cloud_event(message("Refluent.DriftDetected", {**data, "at": AT.isoformat()}, subject="lga"))
    drift = read_drift(event, SETTINGS)
    assert (drift.device, drift.version, drift.at) == ("lga", "1", AT)
    with pytest.raises(Ignored):
        read_drift(
            as_cloud_event(message("x", {**data, "loop": "other", "at": AT.isoformat()}, subject="lga")), SETTINGS
        )


@pytest.mark.parametrize(
    "change",
    [{"version": "new"}, {"version": ""}, {"at": "yesterday"}, {"at": "2026-03-01T12:00:00"}, {"device": None}],
)
def test_drift_that_no_device_of_ours_could_have_is_poison(change: dict[str, object]) -> None:
    data = {"loop": "flight-delays", "device": "lga", "version": "1", "feature": "temp", "explanation": "warmer"}
    event = message("Refluent.DriftDetected", {**data, "at": AT.isoformat(), **change}, subject="lga")
    with pytest.raises(Poison):
        read_drift(event, SETTINGS)


@pytest.mark.parametrize(
    "url",
    [
        "https://refluent.blob.core.windows.net.evil.example.com/landing/x",
        "https://refluent.blob.core.windows.net:444/landing/x",
        "http://refluent.blob.core.windows.net/landing/x",
        "https://\u0430refluent.blob.core.windows.net/landing/x",  # a Cyrillic a
        "https://[refluent.blob.core.windows.net/landing/x",
        "https://",
        "",
        None,
        7,
    ],
)
def test_a_url_of_another_host_is_poison_and_never_asked(url: object) -> None:
    with pytest.raises(Poison) as poison:
        read_upload(blob_created(BLOB, url=url), SETTINGS)
    assert poison.value.code == "BLOB_HOST"


def test_a_data_lake_s_own_host_names_the_same_account() -> None:
    url = f"{ENVIRONMENT['DATA_BLOB_ENDPOINT']}/landing/{BLOB}".replace(".blob.", ".dfs.")
    assert read_upload(blob_created(BLOB, url=url, api="FlushWithClose"), SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"contentLength": 2**63},
        {"contentLength": 1e400},
        {"contentLength": float("nan")},
        {"eTag": "\ud800"},
        {"eTag": "x" * 2_000},
        {"eTag": 'a"\nb'},
    ],
)
def test_facts_no_store_would_tell_are_poison(change: dict[str, object]) -> None:
    with pytest.raises(Poison) as poison:
        read_upload(blob_created(BLOB, **change), SETTINGS)
    assert poison.value.code == "EG_SCHEMA"


def test_a_stranger_s_text_is_one_short_line_of_the_journal() -> None:
    with pytest.raises(Poison) as poison:
        read_upload(blob_created(BLOB, id="\x1b[2J\r\n\ud800" + "x" * 1_000_000, topic="\r\n" * 500_000), SETTINGS)
    assert poison.value.what.isprintable()
    assert poison.value.why.isprintable()
    assert len(str(poison.value)) < 3_000


FACTS: Mapping[str, object] = blob_created(BLOB).get_json()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(
        ["PutBlob", "BlockBlob", "0x1", "https://[", f"{ENVIRONMENT['DATA_BLOB_ENDPOINT']}/landing/{BLOB}"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(
    [f"/blobServices/default/containers/landing/blobs/{BLOB}", "/blobServices/default/containers/landing/blobs/%00"]
)
SOUND: Mapping[str, Any] = {
    "id": "1",
    "topic": ENVIRONMENT["DATA_ACCOUNT_ID"],
    "subject": f"/blobServices/default/containers/landing/blobs/{BLOB}",
    "event_type": "Microsoft.Storage.BlobCreated",
    "event_time": AT,
}


@given(
    data=JSON | st.fixed_dictionaries({name: st.just(value) | JSON for name, value in FACTS.items()}),
    broken=st.fixed_dictionaries(
        {},
        optional={
            "id": JSON,
            "topic": TEXTS | JSON,
            "subject": TEXTS | JSON,
            "event_type": TEXTS | JSON,
            "event_time": st.none() | st.datetimes() | st.datetimes(timezones=st.just(UTC)),
        },
    ),
    cloud_schema=st.booleans(),
)
def test_whatever_comes_is_an_upload_or_poison_or_not_ours_and_always_acknowledged(
    data: Any,  # noqa: ANN401 # whatever JSON may hold
    broken: dict[str, Any],
    *,
    cloud_schema: bool,
) -> None:
    event = func.EventGridEvent(data=data, data_version="", **{**SOUND, **broken})
    came = as_cloud_event(event) if cloud_schema else event
    with suppress(Poison, Ignored):
        assert read_upload(came, SETTINGS).container == "landing"
    with using(FakeCloud()) as here:
        count_upload_on_blob_created(came)
        quarantined = here.blobs.list("quarantine", "")
        counted = list(here.rows.find("uploads", "flight-delays"))
        assert len(quarantined) + len(counted) <= 1


def test_a_time_without_a_zone_is_poison() -> None:
    with pytest.raises(Poison) as poison:
        read_upload(blob_created(BLOB, event_time=datetime(2026, 3, 1)), SETTINGS)  # noqa: DTZ001 # the point of the test
    assert poison.value.code == "EG_TIME"


def test_a_run_s_event_wakes_and_decides_nothing() -> None:
    assert read_run(run_completed("rt-1"), SETTINGS).run == "rt-1"
