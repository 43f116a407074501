"""What the app tells about itself: one trace from an upload to a device, and numbers (docs/operations.md names all).

All of it goes through the OpenTelemetry API, which does nothing until functions/cloud/exporters.py gives it somebody to
tell. A trace crosses functions as a W3C traceparent: in a row, an event, a job, a model, a deployment.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from functions.errors import LoopError
from functions.secrecy import redacted

TRACEPARENT = "traceparent"
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_wire = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("refluent")
_log = logging.getLogger("refluent.decisions")


class _Numbers:
    """Every number that the app tells."""

    def __init__(self, meter: metrics.Meter) -> None:
        self.decisions = meter.create_counter("refluent.decisions", description="decisions that are news")
        self.messages = meter.create_counter("refluent.messages", description="messages, by what became of them")
        self.quarantined = meter.create_counter("refluent.quarantined", description="inputs that can never be used")
        self.evidence = meter.create_histogram("refluent.drift.evidence", description="log evidence of a device")
        self.gauges = {
            "backlog_age": meter.create_gauge("refluent.backlog.age", "s", "how long the oldest upload has waited"),
            "backlog_files": meter.create_gauge("refluent.backlog.files", "{file}", "uploads that no job has taken"),
            "jobs_open": meter.create_gauge("refluent.jobs.open", "{job}", "jobs that were started and have not ended"),
            "budget_held": meter.create_gauge("refluent.budget.held", "{loop}", "1 while the budget forbids a job"),
        }


_numbers = _Numbers(metrics.get_meter("refluent"))


def is_traceparent(text: object) -> bool:
    """Whether somebody else's text may be kept and sent on as a traceparent."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None


def carried() -> Mapping[str, str]:
    """The current trace as what a row, an event or a job carries; empty without one."""
    carrier: dict[str, str] = {}
    _wire.inject(carrier)
    return {name: text for name, text in carrier.items() if name == TRACEPARENT}


@contextmanager
def following(come_from: object, what: str, *, also: Sequence[str] = (), **about: str) -> Iterator[None]:
    """Let the block be one step of a trace.

    Args:
        come_from: The traceparent that led here; anything else leaves the block in the trace it is in.
        what: The step's name; few different ones.
        also: Traceparents of other traces that led here too.
        about: What the step is about.
    """
    links = [trace.Link(one) for one in map(_span, (*also, *carried().values())) if one.is_valid]
    parent = _context(come_from) if is_traceparent(come_from) else None
    attributes = {f"refluent.{name}": value for name, value in about.items()}
    with _tracer.start_as_current_span(
        what,
        parent,
        attributes=attributes,
        links=links if parent else (),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except LoopError as problem:
            span.set_status(trace.StatusCode.ERROR, redacted(str(problem)))
            raise


def decided(*, loop: str, slice: str, decision: str, subject: str, reason: str) -> None:  # noqa: A002  # the journal's word
    """Count a decision, and log it: the line belongs to the trace the decision was taken in."""
    kind = {"loop": loop, "slice": slice, "decision": decision}
    _numbers.decisions.add(1, kind)
    told = {f"refluent.{name}": text for name, text in {**kind, "subject": subject}.items()}
    _log.info("%s of %s: %s", decision, subject, reason, extra=told)


def taken(function: str, outcome: str, several: int = 1) -> None:
    """Count messages: used, ignored or quarantined."""
    _numbers.messages.add(several, {"function": function, "outcome": outcome})


def set_aside(function: str, code: str) -> None:
    """Count an input that can never be used."""
    _numbers.quarantined.add(1, {"function": function, "code": code})


def evidence(loop: str, log_evidence: float) -> None:
    """Note how strongly a device's newest window speaks for drift; what speaks against it counts as nothing."""
    _numbers.evidence.record(max(log_evidence, 0.0), {"loop": loop})  # a histogram takes no negative number


def measured(loop: str, **values: float) -> None:
    """Note where a loop stands, by the names of the gauges."""
    for name, value in values.items():
        _numbers.gauges[name].set(float(value), {"loop": loop})  # a bool passes for a number until it is sent


def _context(traceparent: object) -> Context:
    return _wire.extract({TRACEPARENT: str(traceparent)}, Context())


def _span(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_context(traceparent)).get_span_context()
