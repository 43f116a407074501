"""One trace from an upload to a device, and every decision counted: with exporters in memory, over the real slices."""

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from functions import tracing
from functions.drift.trigger import score_drift_on_telemetry
from functions.errors import Transient
from functions.journal import Entry, record
from functions.ports import JobOutcome
from functions.promotion.trigger import judge_on_run_ended
from functions.quarantine import acknowledging
from functions.retraining.trigger import count_upload_on_blob_created, request_retraining_on_drift, retrain_on_timer
from functions.rollout.trigger import deploy_on_model_registered
from functions.tracing import carried, following
from functions.wiring import using
from tests.drift.test_trigger import PROFILE, WINDOW, routed, sketch_of
from tests.drift.test_trigger import told as telemetry
from tests.fakes.cloud import FakeCloud
from tests.messages import blob_created, registered, run_completed
from tests.promotion.test_trigger import REPORT, complete
from tests.uploads import land

LOOP = "flight-delays"
UPSTREAM = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"


def trace_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"


class Told:
    """What the app told, by exporters that keep it."""

    def __init__(self) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.traces, self.meters = TracerProvider(), MeterProvider([self._reader])
        self.traces.add_span_processor(SimpleSpanProcessor(self._spans))

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def trace(self, name: str) -> str:
        (span,) = self.spans(name)
        return trace_id(span)

    def _points(self, name: str) -> list[object]:
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        found = [metric.data for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for data in found for point in data.data_points]

    def windows(self, name: str) -> int:
        """How often a histogram was told something."""
        return sum(point.count for point in self._points(name) if isinstance(point, HistogramDataPoint))

    def number(self, name: str, **attributes: str) -> float | None:
        found = [
            p.value
            for p in self._points(name)
            if isinstance(p, NumberDataPoint) and dict(p.attributes or {}) == attributes
        ]
        return found[0] if found else None


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    told = Told()
    monkeypatch.setattr(tracing, "_tracer", told.traces.get_tracer("refluent"))
    monkeypatch.setattr(tracing, "_numbers", tracing._Numbers(told.meters.get_meter("refluent")))
    yield told
    told.traces.shutdown()
    told.meters.shutdown()


@pytest.fixture(autouse=True)
def here() -> Iterator[FakeCloud]:
    with using(FakeCloud()) as cloud:
        assert isinstance(cloud, FakeCloud)
        yield cloud


def drift(**extensions: str) -> func.CloudEvent:
    data = {
        "loop": LOOP,
        "device": "jfk",
        "version": "1",
        "feature": "temp",
        "explanation": "rises",
        "at": "2026-03-01T12:00:00Z",
    }
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    kind, subject = "Refluent.DriftDetected", "jfk"
    return func.CloudEvent(
        id="1", source="/refluent", type=kind, specversion="1.0", subject=subject, time=at, data=data, **extensions
    )


def trace_of(carrier: object) -> str:
    assert isinstance(carrier, Mapping)
    return str(carrier["traceparent"]).split("-")[1]


def go_round(here: FakeCloud) -> None:
    """Upload, job, verdict, deployment, as the host would wake the functions."""
    land(here, *(f"{LOOP}/{site}/2013-01-{day:02}.parquet" for day in range(1, 29) for site in ("ewr", "jfk", "lga")))
    retrain_on_timer(None)
    here.clock = lambda: datetime.now(UTC) + timedelta(hours=1)
    retrain_on_timer(None)
    (job,) = here.trainer.orders
    complete(here, REPORT)
    here.trainer.ended[job] = JobOutcome("completed", {"model": "out/model", "report": "out/report"})
    judge_on_run_ended(run_completed(job))
    deploy_on_model_registered(registered(1))


def test_one_trace_leads_from_the_upload_to_the_deployment_that_devices_get(told: Told, here: FakeCloud) -> None:
    go_round(here)
    uploads = [trace_id(span) for span in told.spans("count_upload_on_blob_created")]
    assert len(set(uploads)) == 28 * 3
    trace = uploads[-1]
    assert (told.trace("launch"), told.trace("judge"), told.trace("reach")) == (trace, trace, trace)
    (order,), (model,), (deployment,) = (
        here.trainer.orders.values(), here.registry.models.values(), here.fleet.made.values()
    )  # fmt: skip
    twin = deployment.content["inference"]
    assert isinstance(twin, Mapping)
    for carrier in (order.lineage, model.lineage, deployment.labels, twin["properties.desired.model"]):
        assert trace_of(carrier) == trace
    announced = {message["type"]: message for message in here.announcer.messages}
    assert trace_of(announced["Refluent.TrainingLaunched"]) == trace
    assert trace_of(announced["Refluent.RolloutAdvanced"]) == trace


def test_a_job_is_linked_with_the_other_uploads_that_led_to_it(told: Told, here: FakeCloud) -> None:
    go_round(here)
    (launch,) = told.spans("launch")
    linked = {f"{link.context.trace_id:032x}" for link in launch.links}
    uploads = [trace_id(span) for span in told.spans("count_upload_on_blob_created")]
    assert linked == set(uploads[-16:-1])


def test_without_an_exporter_nothing_is_carried_and_nothing_is_stored(here: FakeCloud) -> None:
    go_round(here)
    (order,) = here.trainer.orders.values()
    (deployment,) = here.fleet.made.values()
    assert carried() == {}
    assert "traceparent" not in order.lineage
    assert "traceparent" not in deployment.labels
    assert all("traceparent" not in stored.row for stored in here.rows.find("uploads", LOOP))
    assert "traces" not in json.loads(here.blobs.blobs["manifests", f"{LOOP}/1/new.json"])


def test_an_event_of_ours_goes_on_with_the_trace_it_carries(told: Told) -> None:
    request_retraining_on_drift(drift(traceparent=UPSTREAM))
    assert told.trace("request_retraining_on_drift") == UPSTREAM.split("-")[1]


@pytest.mark.parametrize("text", ["", "nonsense", UPSTREAM.upper(), f"00-{'0' * 32}-{'1' * 16}-01", f"{UPSTREAM}-x"])
def test_what_is_no_traceparent_begins_a_trace_and_breaks_nothing(told: Told, here: FakeCloud, text: str) -> None:
    request_retraining_on_drift(drift(traceparent=text))
    assert told.trace("request_retraining_on_drift") != UPSTREAM.split("-")[1]
    assert len(list(here.rows.find("requests", LOOP))) == 1


def test_a_step_of_a_stored_trace_is_linked_with_what_woke_it(told: Told) -> None:
    with following(OTHER, "timer"), following(UPSTREAM, "launch"):
        assert carried()["traceparent"].split("-")[1] == UPSTREAM.split("-")[1]
    (launch,) = told.spans("launch")
    assert [f"{link.context.trace_id:032x}" for link in launch.links] == [OTHER.split("-")[1]]


def test_a_step_that_fails_says_why_without_secrets(told: Told) -> None:
    def fail() -> None:
        raise Transient("storage", why="at ?sig=abc%2Fdef&se=1", fix="wait")

    with pytest.raises(Transient), following(UPSTREAM, "launch"):
        fail()
    (span,) = told.spans("launch")
    assert "sig=[secret]&se=1" in str(span.status.description)


def test_every_decision_is_counted_once_however_often_it_is_repeated(told: Told, here: FakeCloud) -> None:
    go_round(here)
    deploy_on_model_registered(registered(1))
    for slice_, decision in (("retraining", "Launch"), ("promotion", "Register"), ("rollout", "Deploy")):
        assert told.number("refluent.decisions", loop=LOOP, slice=slice_, decision=decision) == 1


def test_a_decision_is_logged_with_its_facts(here: FakeCloud, caplog: pytest.LogCaptureFixture) -> None:
    entry = Entry(here.now(), LOOP, "drift", "jfk", "Drifted", "temp rises\nmuch")
    with caplog.at_level(logging.INFO, "refluent"):
        assert record(here.rows, entry)
        assert not record(here.rows, entry)
    (line,) = [one for one in caplog.records if one.name == "refluent.decisions"]
    assert line.getMessage() == "Drifted of jfk: temp rises … much"
    facts = {name: value for name, value in vars(line).items() if name.startswith("refluent.")}
    assert facts == {
        "refluent.loop": LOOP, "refluent.slice": "drift", "refluent.decision": "Drifted", "refluent.subject": "jfk",
    }  # fmt: skip


def test_messages_are_counted_by_what_became_of_them(told: Told, here: FakeCloud) -> None:
    function = "count_upload_on_blob_created"
    count_upload_on_blob_created(blob_created())
    count_upload_on_blob_created(blob_created("elsewhere/x"))
    count_upload_on_blob_created(blob_created("flight-delays/atlantis/x.parquet"))

    def fail() -> None:
        with acknowledging(here, function, blob_created()):
            raise Transient("storage", why="it is away", fix="wait")

    with pytest.raises(Transient):
        fail()
    for outcome in ("used", "ignored", "quarantined", "failed"):
        assert told.number("refluent.messages", function=function, outcome=outcome) == 1, outcome
    assert told.number("refluent.quarantined", function=function, code="BLOB_SITE") == 1


def test_the_evidence_of_a_device_is_told_once_a_window_that_was_counted(told: Told, here: FakeCloud) -> None:
    here.blobs.put("models", f"{LOOP}/1/profile.json", PROFILE.to_json().encode())
    window = routed(telemetry(rows=WINDOW, sketch=sketch_of(WINDOW)))
    score_drift_on_telemetry([window])
    score_drift_on_telemetry([window])
    assert told.windows("refluent.drift.evidence") == 1


def test_a_gap_is_told_once_with_its_range_in_the_words_that_the_alert_asks_for(
    here: FakeCloud, caplog: pytest.LogCaptureFixture
) -> None:
    here.blobs.put("models", f"{LOOP}/1/profile.json", PROFILE.to_json().encode())
    with caplog.at_level(logging.INFO, "refluent.decisions"):
        for sequence in (0, 1, 5, 6, 5, 7):
            score_drift_on_telemetry([routed(telemetry(sequence))])
    (line,) = [one for one in caplog.records if one.name == "refluent.decisions"]
    missed = "messages 2 to 4 of epoch e1 did not come: lost on the way, or set aside"
    assert line.getMessage() == f"Gap of lga: {missed}"
    assert (vars(line)["refluent.decision"], vars(line)["refluent.subject"]) == ("Gap", "lga")


def test_a_loop_tells_how_long_its_backlog_has_waited(told: Told, here: FakeCloud) -> None:
    land(here, f"{LOOP}/jfk/2013-01-01.parquet")
    retrain_on_timer(None)
    here.clock = lambda: datetime.now(UTC) + timedelta(minutes=10)
    retrain_on_timer(None)
    assert told.number("refluent.backlog.age", loop=LOOP) == pytest.approx(600, abs=60)
    assert told.number("refluent.backlog.files", loop=LOOP) == 1
    assert told.number("refluent.jobs.open", loop=LOOP) == 0
    assert told.number("refluent.budget.held", loop=LOOP) == 0
