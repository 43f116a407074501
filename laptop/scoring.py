"""Clients at every site: they ask their device for scores, one request after the other, and keep the books."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import msgspec


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

    def figures(self) -> dict[str, object]:
        """Requests, failures and latencies; the longest pause is the longest that anyone waited for an answer."""
        ordered = sorted(self.latencies_ms) or [0.0]
        return {
            "requests": len(self.latencies_ms) + self.failed,
            "failed": self.failed,
            "p50_ms": round(ordered[len(ordered) // 2], 2),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
            "longest_pause_ms": round(ordered[-1], 2),
            "versions": sorted(self.versions),
        }


class Clients:
    """One client a site, each on a thread of its own.

    Args:
        urls: Device -> scoring URL.
    """

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls
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
        device = HTTPConnection(urlsplit(self._urls[site]).netloc, timeout=30)
        try:
            for rows in batches:
                self._ask_once(device, msgspec.json.encode({"rows": rows}), len(rows))
        finally:
            device.close()

    def _ask_once(self, device: HTTPConnection, body: bytes, rows: int) -> None:
        began, version = time.perf_counter(), ""
        try:
            device.request("POST", "/score", body, {"content-type": "application/json"})
            answer = device.getresponse()
            said = msgspec.json.decode(answer.read())
            if answer.status == HTTPStatus.OK and len(said["scores"]) == rows:
                version = said["version"]
        except (HTTPException, OSError, msgspec.DecodeError):
            device.close()  # the next request opens another connection
        latency_ms = (time.perf_counter() - began) * 1000
        with self._lock:
            if version:
                self.books.latencies_ms.append(latency_ms)
                self.books.versions.add(version)
            else:
                self.books.failed += 1
