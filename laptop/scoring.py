"""Clients at every site: they ask their device for scores, one request after the other, and keep the books."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import httpx


@dataclass
class Books:
    """What came of the requests.

    Args:
        latencies_ms: Of each answered request, milliseconds.
        failed: Requests without a score.
        versions: Model versions that answered.
    """

    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    versions: set[str] = field(default_factory=set)

    def figures(self) -> dict[str, float | int]:
        """Requests, failures and latencies; the longest pause is the longest that anyone waited for an answer."""
        ordered = sorted(self.latencies_ms) or [0.0]
        return {
            "requests": len(self.latencies_ms) + self.failed,
            "failed": self.failed,
            "p50_ms": round(ordered[len(ordered) // 2], 2),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
            "longest_pause_ms": round(ordered[-1], 2),
        }


class Clients:
    """One client a site, each on a thread of its own.

    Args:
        urls: Device -> scoring URL.
        pace_s: Seconds between an answer and the next request.
    """

    def __init__(self, urls: dict[str, str], *, pace_s: float) -> None:
        self._urls, self._pace_s = urls, pace_s
        self._lock = threading.Lock()
        self.books = Books()

    def ask(self, batches: dict[str, Iterable[Sequence[dict[str, object]]]]) -> None:
        """Send every site its batches, all sites at once; return when all have been answered."""
        threads = [threading.Thread(target=self._ask, args=(site, rows)) for site, rows in batches.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask(self, site: str, batches: Iterable[Sequence[dict[str, object]]]) -> None:
        with httpx.Client(base_url=self._urls[site], trust_env=False, timeout=30) as client:
            for rows in batches:
                self._ask_once(client, rows)
                time.sleep(self._pace_s)

    def _ask_once(self, client: httpx.Client, rows: Sequence[dict[str, object]]) -> None:
        began, version = time.perf_counter(), ""
        try:
            answer = client.post("/score", json={"rows": rows})
            if answer.status_code == httpx.codes.OK and len(answer.json()["scores"]) == len(rows):
                version = answer.json()["version"]
        except httpx.TransportError:
            version = ""
        latency_ms = (time.perf_counter() - began) * 1000
        with self._lock:
            if version:
                self.books.latencies_ms.append(latency_ms)
                self.books.versions.add(version)
            else:
                self.books.failed += 1
