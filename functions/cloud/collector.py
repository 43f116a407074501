"""Any OpenTelemetry collector, by OTLP over HTTP. Imported only if one is to be told."""

import logging

from azure.core.settings import settings as sdks
from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def tell_collector(*, logger: str) -> None:
    """Send traces, metrics and logs to where OTEL_EXPORTER_OTLP_ENDPOINT says, with the OTEL_* options it documents.

    Args:
        logger: Whose records are sent.
    """
    spans, records = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    records.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(spans)
    _logs.set_logger_provider(records)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
    logging.getLogger(logger).addHandler(LoggingHandler(logger_provider=records))
    sdks.tracing_implementation = "opentelemetry"  # a span for each request of the Azure SDKs too
