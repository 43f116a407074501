"""The figures under /metrics, in Prometheus' text format."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics(Collector):
    """Counters of the scoring endpoint, and figures read from its parts when somebody asks.

    Counting adds plain numbers on the event loop; what Prometheus wants is made of them when it comes.

    Args:
        read: Gives the figures that live elsewhere.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests = self._rows = 0
        self._failures = Counter[str]()
        self._seconds, self._buckets = 0.0, [0] * (len(SECONDS) + 1)

    def answered(self, rows: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests += 1
        self._rows += rows
        self._seconds += seconds
        self._buckets[bisect_left(SECONDS, seconds)] += 1

    def refused(self, code: str) -> None:
        """Count one refused request."""
        self._requests += 1
        self._failures[code] += 1

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Everything, as prometheus_client takes it."""
        yield counter("requests", "Scoring requests answered.", self._requests)
        failures = CounterMetricFamily("refluent_edge_failures", "Scoring requests refused, by code.", labels=["code"])
        for code, count in self._failures.items():
            failures.add_metric([code], count)
        yield failures
        yield counter("rows", "Rows scored.", self._rows)
        names = [*(str(bound) for bound in SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            "refluent_edge_score_seconds",
            "Time from body to answer, without waiting.",
            buckets=list(zip(names, accumulate(self._buckets), strict=True)),
            sum_value=self._seconds,
        )
        yield from self._read()


def gauge(name: str, help_text: str, value: float, **labels: str) -> Metric:
    """One figure that goes up and down."""
    family = GaugeMetricFamily(f"refluent_edge_{name}", help_text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counter(name: str, help_text: str, value: float) -> Metric:
    """One figure that only grows."""
    return CounterMetricFamily(f"refluent_edge_{name}", help_text, value=value)
