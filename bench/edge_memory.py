"""`python -m bench.edge_memory [--minutes N] [--json FILE]`: the memory that the endpoint holds, minute by minute.

Four clients ask for all sorts of things, and each minute the other version takes over. Ids, and some categories, are
such that never came before: whatever kept them would grow without end.
"""

import argparse
import json
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from threading import Thread

from rich.progress import track

from bench import edge_model
from bench.edge_endpoint import ADDRESS, bare_session, endpoint, two_versions
from bench.edge_load import OK, Client, get, post
from bench.figures import Figures
from bench.resident import resident_mib

CLIENTS, PAUSE_S = 4, 0.01
ROWS, MANY_ROWS, BATCHES = 100, 10_000, 8
SHARES = {"rows": 80.0, "columns": 10.0, "bad": 7.0, "metrics": 1.5, "cut": 1.0, "many": 0.5}
TOLD = 0.3  # of the requests with ids; half of the outcomes of each
CALM_S, QUARTERS = 10.0, 4


@dataclass
class Clients:
    """Several that ask one after the other, until told to stop.

    Args:
        port: Of the server.
    """

    port: int
    counted: Counter[str] = field(default_factory=Counter)
    running: bool = True

    def start(self) -> list[Thread]:
        """Start asking."""
        threads = [Thread(target=self._ask, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _ask(self, seed: int) -> None:
        client = Client(ADDRESS, self.port)
        for request, begins in _requests(seed):
            if not self.running:
                break
            try:
                self.counted[self._came_of(client, request, begins)] += 1
            except OSError:
                self.counted["failed"] += 1
                client = Client(ADDRESS, self.port)
            time.sleep(PAUSE_S)
        client.close()

    def _came_of(self, client: Client, request: bytes, begins: bytes) -> str:
        if not begins:
            with socket.create_connection((ADDRESS, self.port)) as line:
                line.sendall(request)
            return "cut"
        if client.ask(request).startswith(begins):
            return "good" if begins == OK else "bad"
        return "failed"


def main() -> None:
    """Ask, and tell."""
    parser = argparse.ArgumentParser(prog="bench.edge_memory", description=__doc__)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    if given.minutes < QUARTERS:
        parser.error(f"{given.minutes} minutes have no quarters; take {QUARTERS} or more")
    figures = Figures("The endpoint's memory under mixed load, one process")
    with TemporaryDirectory() as home, endpoint(two_versions(Path(home), bare_session())) as (port, process):
        figures.single("start_mib", resident_mib(process.pid), of="before the first request")
        clients = Clients(port)
        threads = clients.start()
        taken = [_after_a_minute(process.pid) for _ in track(range(given.minutes), "asking", transient=True)]
        clients.running = False
        for thread in threads:
            thread.join()
        time.sleep(CALM_S)
        _tell(figures, taken, clients.counted)
        figures.single("calm_mib", resident_mib(process.pid), of="when nobody asks any more")
    figures.tell(given.json)


def _after_a_minute(pid: int) -> float:
    time.sleep(60)
    os.kill(pid, signal.SIGUSR1)
    return resident_mib(pid)


def _tell(figures: Figures, taken: list[float], counted: Counter[str]) -> None:
    for name, what in (("good", "answered"), ("bad", "refused, being bad"), ("cut", "cut off"), ("failed", "failed")):
        figures.single(name, counted[name], of=f"requests {what}")
    for minute, mib in enumerate(taken, start=1):
        figures.single(f"minute_{minute}_mib", mib, of=f"after {minute} min")
    quarter = len(taken) // QUARTERS
    grown = mean(taken[-quarter:]) - mean(taken[-2 * quarter : -quarter])
    figures.single("grown_mib", grown, of="the last quarter's mean less that of the one before")


def _requests(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Requests without end, each with how its answer must begin: empty, if it is cut off."""
    dice = random.Random(seed)  # noqa: S311 - a seeded draw for a benchmark
    batches = [edge_model.rows(ROWS, seed=seed * BATCHES + n) for n in range(BATCHES)]
    many = post("/score", json.dumps({"rows": edge_model.rows(MANY_ROWS, seed=seed)}).encode())
    for turn in count():
        batch = dice.choice(batches)
        match dice.choices(list(SHARES), list(SHARES.values()))[0]:
            case "rows":
                ids = [f"{seed}-{turn}-{n}" for n in range(ROWS)]
                yield _post("/score", {"rows": batch, "ids": ids}), OK
                if dice.random() < TOLD:
                    yield _post("/outcomes", {"ids": ids[::2], "labels": [dice.randint(0, 1) for _ in ids[::2]]}), OK
            case "columns":
                columns = {name: [row[name] for row in batch] for name in batch[0]}
                yield _post("/score", {"columns": columns | {"category_1": [str(dice.random()) for _ in batch]}}), OK
            case "bad":
                yield _post("/score", dice.choice([[1], {"rows": [batch[0] | {"number_1": "x"}]}])), b"HTTP/1.1 400"
            case "metrics":
                yield get("/metrics"), OK
            case "cut":
                yield _post("/score", {"rows": batch})[:5_000], b""
            case _:
                yield many, OK


def _post(path: str, document: object) -> bytes:
    return post(path, json.dumps(document).encode())


if __name__ == "__main__":
    main()
