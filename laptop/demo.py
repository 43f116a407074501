"""The story of `refluent demo`: the whole loop, twice round, on real flights."""

import io
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import batched, chain, count
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from functions.journal import Entry, entries
from functions.operator.cli import tell as tell_entry
from functions.ports import Rows
from functions.wiring import azure
from laptop.flights import SITES, day_tables, requests
from laptop.provision import DEVICES
from laptop.scoring import Clients
from laptop.stack import Stack
from laptop.tls import client_context
from laptop.up import Up

LOOP = "flight-delays"
BREATH_S = 0.3  # between two days of requests while a job trains on the same two cores
PATIENCE_S = 90
COUNTED = "count-upload-on-blob-created"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which days of 2013 the story is about.

    Args:
        first: First and last day of the burst that starts round one.
        following: First and last day of what is served, and lands week by week, until the inputs have drifted.
        week: Days that land together.
    """

    first: tuple[date, date] = (date(2013, 1, 1), date(2013, 1, 28))
    following: tuple[date, date] = (date(2013, 1, 29), date(2013, 12, 31))
    week: int = 7


class Stuck(Exception):
    """The story does not go on; the message names what was awaited."""


@dataclass
class Round:
    """One turn of the loop."""

    trigger: str = ""
    uploads: int = 0
    deliveries: int = 0
    jobs: int = 0
    model_version: str = ""
    gate: str = ""
    deployment_ids: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Story:
    """Reads the journal as it grows: prints each decision, and lets the demo wait for one."""

    def __init__(self, rows: Rows, console: Console) -> None:
        self._rows, self._console = rows, console
        self._known: dict[str, Entry] = {}

    def read(self) -> None:
        """Print what was decided since the last look."""
        for entry in entries(self._rows, [LOOP, "-"]):
            if entry.key not in self._known:
                self._known[entry.key] = entry
                tell_entry(entry)

    def find(self, decision: str, subject: str = "") -> list[Entry]:
        """Decisions of a kind, oldest first; about one subject, or about any that starts so."""
        found = [e for e in self._known.values() if e.decision == decision and e.subject.startswith(subject)]
        return sorted(found, key=lambda entry: entry.at)

    def wait(self, decision: str, subject: str, check: Callable[[], None]) -> Entry:
        """Read on until a decision is taken.

        Raises:
            Stuck: It is not taken in time.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.read()
            check()
            found = self.find(decision, subject)
            if found:
                return found[-1]
            time.sleep(0.2)
        raise Stuck(f"no {decision} about {subject} within {PATIENCE_S} s")

    def say(self, text: str) -> None:
        """A sentence of the narrator."""
        self._console.print(f"\n[bold cyan]{text}[/]", soft_wrap=True)

    def note(self, text: str) -> None:
        """A remark of the narrator."""
        self._console.print(f"[dim]{text}[/]", soft_wrap=True)


def tell(stack: Stack, console: Console) -> dict[str, object]:
    """Bring a stack up, run the loop twice round, and return the figures."""
    began, plan = time.monotonic(), Plan()
    console.print("[bold]Refluent[/]: data leaves the edge, a better model flows back.")
    note = f"Real SDKs, real protocols, real training, on {stack.address} only. Logs: {stack.home}/logs"
    console.print(f"[dim]{note}[/]\n", soft_wrap=True)
    with ThreadPoolExecutor(1) as early:
        early.submit(requests, SITES[0], plan.first[0])  # reads the year's flights while the stack comes up
        with Up(stack, progress=lambda line: console.print(f"[dim]starting {line}[/]")) as up:
            figures = twice_round(up, console, plan)
            figures["seconds"] = round(time.monotonic() - began, 1)
            _summary(console, figures)
    return figures


def twice_round(up: Up, console: Console, plan: Plan) -> dict[str, object]:
    """Run the story on a stack that is up and has no history; the figures are what `refluent demo --json` writes."""
    return _Demo(up, console, plan).run()


class _Demo:
    def __init__(self, up: Up, console: Console, plan: Plan) -> None:
        self._up, self._stack, self._plan = up, up.stack, plan
        self._story = Story(azure().rows, console)
        urls = {device.id: f"http://{self._stack.address}:{device.port}" for device in DEVICES}
        self._clients = Clients(urls)
        self._relay = httpx.Client(
            base_url=self._stack.event_grid_url, verify=client_context(self._stack), trust_env=False
        )
        self._rounds: list[Round] = []

    def run(self) -> dict[str, object]:
        self._first_round()
        self._second_round()
        held = self._register_by_hand()
        drift = self._story.find("Drifted")[0]
        outside = self._up.processes.outside_log
        return {
            "rounds": [vars(one) for one in self._rounds],
            "scoring": self._clients.books.figures(),
            "drift": {"device": drift.subject, "feature": drift.reason.split(",")[0], "explanation": drift.reason},
            "held_models": held,
            "requests_outside_loopback": len(outside.read_text().splitlines()) if outside.exists() else 0,
        }

    def _first_round(self) -> None:
        began, one = time.monotonic(), Round()
        self._story.say("1. Three airports upload their first weeks, a file a day, in one burst.")
        self._story.note("Event Grid is told to deliver many events twice, and out of order.")
        self._switch(duplicate=0.4, reorder_s=0.5)
        one.uploads = self._upload(*self._plan.first)
        self._finish(one, "1", began)
        self._switch()

    def _second_round(self) -> None:
        began, one = time.monotonic(), Round()
        before = self._delivered()
        self._story.say("2. The devices answer their airports, week after week; at each week's end its flights land.")
        weeks = batched(self._days(), self._plan.week, strict=False)
        for week in weeks:
            for day in week:
                self._serve(day)
                self._story.read()
            self._up.check()
            one.uploads += self._upload(week[0], week[-1])
            if self._story.find("Drifted"):
                break
        stop = threading.Event()
        server = threading.Thread(target=self._keep_serving, args=(chain.from_iterable(weeks), stop))
        server.start()
        try:
            self._finish(one, "2", began)
        finally:
            stop.set()
            server.join()
        one.deliveries -= before

    def _finish(self, one: Round, number: str, began: float) -> None:
        """Follow a round from its job to its model on every device."""
        launch = self._story.wait("Launch", f"{LOOP}#{number}", self._up.check)
        gate = self._story.wait("Register", launch.links[0], self._up.check)
        version = gate.links[0].split(":")[1]
        self._story.wait("Finish", f"{LOOP}:{version}", self._up.check)
        rolled = [*self._story.find("Deploy", f"{LOOP}:{version}"), *self._story.find("Advance", f"{LOOP}:{version}")]
        one.trigger = "drift" if launch.reason.startswith("drift") else "data"
        one.jobs = len({entry.links[0] for entry in self._story.find("Launch", f"{LOOP}#{number}")})
        one.model_version, one.gate = version, gate.reason
        one.deployment_ids = [entry.links[0] for entry in rolled]
        one.deliveries = self._delivered()
        one.seconds = round(time.monotonic() - began, 1)
        self._rounds.append(one)
        self._story.read()

    def _register_by_hand(self) -> int:
        self._story.say("3. Somebody registers a model by hand, without lineage.")
        self._up.run("somebody", "laptop.somebody", LOOP)
        self._story.wait("AwaitApproval", LOOP, self._up.check)
        return len(self._story.find("AwaitApproval", LOOP))

    def _upload(self, first: date, last: date) -> int:
        blobs = azure().blobs
        files = [(f"{LOOP}/{site}/{day}.parquet", _parquet(table)) for site, day, table in day_tables(first, last)]
        random.Random(1).shuffle(files)  # noqa: S311 # an order, not a secret
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(lambda file: blobs.put("landing", *file), files):
                pass
        return len(files)

    def _serve(self, day: date) -> None:
        self._clients.ask({site: iter(requests(site, day)) for site in SITES})

    def _keep_serving(self, days: Iterator[date], stop: threading.Event) -> None:
        for day in days:
            if stop.is_set():
                return
            self._serve(day)
            time.sleep(BREATH_S)

    def _days(self) -> Sequence[date]:
        first, last = self._plan.following
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]

    def _switch(self, **switches: object) -> None:
        self._relay.put("/laptop/switches", json=switches).raise_for_status()

    def _delivered(self) -> int:
        return int(self._relay.get("/laptop/statistics").json()[COUNTED]["delivered"])


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _summary(console: Console, figures: dict[str, Any]) -> None:
    scoring, drift = figures["scoring"], figures["drift"]
    lines = [f"\n[bold]Twice round in {figures['seconds']:.0f} s.[/]"]
    lines += [
        f"  round {number}: {one['uploads']} uploads, {one['deliveries']} deliveries, {one['jobs']} job "
        f"(because of {one['trigger']}), model {one['model_version']}: {one['gate']}"
        for number, one in zip(count(1), figures["rounds"], strict=False)
    ]
    lines += [
        f"  drift: {drift['device']}: {drift['explanation']}",
        (
            f"  {scoring['requests']} scoring requests, {scoring['failed']} failed, median {scoring['p50_ms']} ms, "
            f"longest {scoring['longest_pause_ms']} ms, two model swaps among them"
        ),
        (
            f"  {figures['held_models']} model held for approval; "
            f"{figures['requests_outside_loopback']} requests left this computer"
        ),
        (
            "\nNext: [bold]make up[/] keeps a stack running; then .venv/bin/refluent send, watch, status and why. "
            "Your own loop: docs/loops.md"
        ),
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
