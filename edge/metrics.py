"""The figures under /metrics, in Prometheus' text format."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """Counters of the scoring endpoint, and figures read from its parts when somebody asks.

    Args:
        read: Gives the figures that live elsewhere.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("refluent_edge_requests", "Scoring requests answered.", registry=self._registry)
        self._failures = Counter(
            "refluent_edge_failures", "Scoring requests refused, by code.", ["code"], registry=self._registry
        )
        self._rows = Counter("refluent_edge_rows", "Rows scored.", registry=self._registry)
        self._seconds = Histogram(
            "refluent_edge_score_seconds", "Time from body to answer.", buckets=SECONDS, registry=self._registry
        )
        self._registry.register(_Reading(read))

    def answered(self, rows: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.inc()
        self._rows.inc(rows)
        self._seconds.observe(seconds)

    def refused(self, code: str) -> None:
        """Count one refused request."""
        self._requests.inc()
        self._failures.labels(code).inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


def gauge(name: str, help_text: str, value: float, **labels: str) -> Metric:
    """One figure that goes up and down."""
    family = GaugeMetricFamily(f"refluent_edge_{name}", help_text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counter(name: str, help_text: str, value: float) -> Metric:
    """One figure that only grows."""
    return CounterMetricFamily(f"refluent_edge_{name}", help_text, value=value)


class _Reading(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()
