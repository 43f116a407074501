"""Clients at every site: they ask their device for scores, tell it what came of earlier ones, and keep the books."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import batched
from urllib.parse import urlsplit

import msgspec

OUTCOMES = ("joined", "duplicate", "conflicting", "unknown")
MOST_OUTCOMES = 10_000  # of one request


@dataclass(frozen=True, slots=True)
class Day:
    """What one client does in a day.

    Args:
        name: Begins the ids of its rows, the row's number behind it.
        batches: The rows of each request.
        known: The name of an earlier day, and what came of its rows, in order; None where nobody knows.
    """

    name: str
    batches: Sequence[Sequence[dict[str, object]]]
    known: tuple[str, Sequence[bool | None]] = ("", ())


@dataclass
class Books:
    """What came of the requests.

    Args:
        latencies_ms: Of each answered request, milliseconds.
        rows: Rows that were scored.
        failed: Requests without a score.
        versions: Model versions that answered.
        outcomes: What became of outcomes that were told: joined, unknown and so on.
    """

    latencies_ms: list[float] = field(default_factory=list)
    rows: int = 0
    failed: int = 0
    versions: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)

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
            "outcomes": dict(sorted(self.outcomes.items())),
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

    def ask(self, days: dict[str, Day]) -> None:
        """Live a day at every site, all at once; return when all requests have been answered."""
        threads = [threading.Thread(target=self._live, args=(site, day)) for site, day in days.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _live(self, site: str, day: Day) -> None:
        device, asked = HTTPConnection(urlsplit(self._urls[site]).netloc, timeout=30), 0
        try:
            for rows in day.batches:
                ids = _ids(day.name, asked, asked + len(rows))
                self._ask_once(device, msgspec.json.encode({"rows": rows, "ids": ids}), len(rows))
                asked += len(rows)
            self._tell(device, *day.known)
        finally:
            device.close()

    def _tell(self, device: HTTPConnection, name: str, labels: Sequence[bool | None]) -> None:
        ids = _ids(name, 0, len(labels))
        known = [(id_, label) for id_, label in zip(ids, labels, strict=True) if label is not None]
        for some in batched(known, MOST_OUTCOMES, strict=False):
            body = msgspec.json.encode({"ids": [id_ for id_, _ in some], "labels": [label for _, label in some]})
            try:
                device.request("POST", "/outcomes", body, {"content-type": "application/json"})
                answer = device.getresponse()
                said = msgspec.json.decode(answer.read())
                told = {name: said[name] for name in OUTCOMES} if answer.status == HTTPStatus.OK else {"refused": 1}
            except (HTTPException, OSError, msgspec.DecodeError):
                device.close()
                told = {"refused": 1}
            with self._lock:
                self.books.outcomes.update(told)

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
                self.books.rows += rows
                self.books.versions.add(version)
            else:
                self.books.failed += 1


def _ids(name: str, first: int, end: int) -> list[str]:
    return [f"{name}-{number}" for number in range(first, end)]
