"""The story of `refluent demo`: the whole loop on real flights, with what it turns down on the way."""

import io
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import batched, count, cycle, islice
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console

from functions.errors import LoopError
from functions.field import COLUMN
from functions.field import DEVICES as DEVICE_ROWS
from functions.field import from_bytes as uses
from functions.journal import Entry, entries
from functions.operator.cli import tell as tell_entry
from functions.operator.picture import picture
from functions.operator.plan import plan
from functions.ports import Rows
from functions.wiring import azure
from functions.wishes import order
from laptop.flights import LABEL, SITES, day_tables, outcomes, requests
from laptop.provision import DEVICES
from laptop.scoring import Clients, Day
from laptop.stack import Stack
from laptop.tls import client_context
from laptop.up import Up

LOOP = "flight-delays"
TOLD_AT_ONCE = 400  # rows of one message of a device: so many may not have been told of yet
SLOW_WEEK_S = 2.5  # while a drift is open
BREATH_S = 0.1  # between two days of requests, so that a canary's rows take seconds to come together
LONG_BREATH_S = 1.0  # while a job trains on the same two cores
PATIENCE_S = 90
COUNTED = "count-upload-on-blob-created"
BROKEN = b"<!DOCTYPE html><title>502 Bad Gateway</title>\n"  # what a proxy left where a file should be


@dataclass(frozen=True, slots=True)
class Plan:
    """Which days of 2013 the story is about.

    Args:
        first: First and last day of the burst that starts round one.
        following: First and last day of each stretch of what is served, and lands week by week, until a drift does
            harm.
        week: Days that land together.
        harmful_by: The last day that is served before the harm of spring's drift is told, or a job answers it untold.
        celsius: The airport whose thermometer tells degrees Celsius, and the first and last day on which it does.
    """

    first: tuple[date, date] = (date(2013, 1, 1), date(2013, 1, 28))
    following: tuple[tuple[date, date], ...] = (
        (date(2013, 1, 29), date(2013, 3, 18)),
        (date(2013, 4, 9), date(2013, 12, 30)),  # it is spring, and storms delay flights
    )
    week: int = 7
    harmful_by: date = date(2013, 5, 6)
    celsius: tuple[str, date, date] = ("lga", date(2013, 2, 5), date(2013, 2, 18))


class Stuck(LoopError):
    """The story does not go on."""


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
            Stuck: Nothing is decided any more, and it is not.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            known = len(self._known)
            self.read()
            check()
            found = self.find(decision, subject)
            if found:
                return found[-1]
            if len(self._known) > known:
                deadline = time.monotonic() + PATIENCE_S
            time.sleep(0.2)
        last = max(self._known.values(), key=lambda entry: entry.at, default=None)
        why = f"the last decision was {last.decision} about {last.subject}" if last else "nothing was decided at all"
        what = f"no {decision} about {subject}, and nothing else, for {PATIENCE_S} s"
        raise Stuck(what, why=why, fix="read the logs named above")

    def say(self, text: str) -> None:
        """A sentence of the narrator."""
        self._console.print(f"\n[bold cyan]{text}[/]", soft_wrap=True)

    def note(self, text: str) -> None:
        """A remark of the narrator."""
        self._console.print(f"[dim]{text}[/]", soft_wrap=True)


def tell(stack: Stack, console: Console) -> dict[str, object]:
    """Bring a stack up, tell the story, and return the figures."""
    began, plan = time.monotonic(), Plan()
    console.print("[bold]Refluent[/]: data leaves the edge, a better model flows back.")
    note = f"Real SDKs, real protocols, real training, on {stack.address} only. Logs: {stack.home}/logs"
    console.print(f"[dim]{note}[/]\n", soft_wrap=True)
    with ThreadPoolExecutor(1) as early:
        early.submit(requests, SITES[0], plan.first[0])  # reads the year's flights while the stack comes up
        with Up(stack, progress=lambda line: console.print(f"[dim]starting {line}[/]")) as up:
            figures = go_round(up, console, plan)
            figures["seconds"] = round(time.monotonic() - began, 1)
            _summary(console, figures)
    return figures


def go_round(up: Up, console: Console, plan: Plan) -> dict[str, object]:
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
        days = [day for stretch in plan.following for day in _days(*stretch)]
        self._weeks = [week for week in batched(days, plan.week, strict=True) if week[-1] <= plan.harmful_by]
        self._served = cycle(days)  # on a slow machine the year may not be enough
        self._turns = count(1)
        self._before: tuple[str, date | None] = ("", None)
        self._landed: list[Sequence[date]] = []
        self._rounds: list[Round] = []

    def run(self) -> dict[str, object]:
        self._first_round()
        self._second_round()
        rejected = self._ask_for_no_reason()
        rolled_back = self._learn_it_the_wrong_way_round()
        held = self._register_by_hand()
        outside = self._up.processes.outside_log
        return {
            "rounds": [vars(one) for one in self._rounds],
            "scoring": self._clients.books.figures(),
            "drift": self._drift(),
            "picture": str(self._stack.home / "drift.png"),
            "set_aside": [entry.reason for entry in self._story.find("Quarantine", f"{LOOP}/")],
            "rejected": rejected.reason,
            "rolled_back": rolled_back,
            "held_models": held,
            "requests_outside_loopback": len(outside.read_text().splitlines()) if outside.exists() else 0,
        }

    def _first_round(self) -> None:
        began, one = time.monotonic(), Round()
        self._story.say("1. Three airports upload their first weeks, a file a day, in one burst.")
        self._story.note("Event Grid delivers many events twice, and out of order; one file is no flights at all.")
        self._switch(duplicate=0.4, reorder_s=0.5)
        _, last = self._plan.first
        broken = f"{LOOP}/ewr/{last + timedelta(days=1)}.parquet"
        azure().blobs.put("landing", broken, BROKEN)
        one.uploads = self._upload(*self._plan.first)
        self._finish(one, "1", began)
        self._story.wait("Quarantine", broken, self._up.check)
        self._switch()

    def _second_round(self) -> None:
        began, one = time.monotonic(), Round()
        before = self._delivered()
        self._story.say("2. The devices answer their airports, week after week; at each week's end its flights land.")
        site, broken, mended = self._plan.celsius
        self._story.note(
            f"The day after, each device is told which flights were late. From {broken:%d %B} to {mended:%d %B} the "
            f"thermometer of {site} tells degrees Celsius."
        )
        for week in self._weeks:
            for day in islice(self._served, len(week)):
                self._serve(day)
                self._story.read()
            self._up.check()
            one.uploads += self._upload(week[0], week[-1])
            self._landed.append(week)
            self._let_the_cloud_follow()
            if self._drift_goes_on():
                self._look_on(SLOW_WEEK_S)
            if self._drift_was_answered():
                break
        else:
            self._look_on(PATIENCE_S)
        self._story.note("What moved where, as refluent picture draws it:")
        picture(LOOP, to=self._stack.home / "drift.png")
        self._finish(one, "2", began)
        one.deliveries -= before

    def _ask_for_no_reason(self) -> Entry:
        """A challenger that is no better."""
        self._story.say("3. Somebody would like a fresh model, though little is new.")
        self._order("it feels like time for a fresh model")
        with self._serving(LONG_BREATH_S):
            launch = self._story.wait("Launch", f"{LOOP}#3", self._up.check)
            return self._story.wait("Reject", launch.links[0], self._up.check)

    def _learn_it_the_wrong_way_round(self) -> dict[str, object]:
        """A model that passes the gate, and does harm in the field."""
        self._story.say(
            "4. Headquarters sends every file again, corrected; now `late` says which flights were on time."
        )
        self._story.note("Each file is sound, and a model of them is right about every held-out day of them.")
        with self._serving(LONG_BREATH_S):
            self._upload(*self._plan.first, inverted=True)
            for week in self._landed:
                self._upload(week[0], week[-1], inverted=True)
            self._order("the files are corrected")
            hold = self._story.wait("HoldForBudget", f"{LOOP}#4", self._up.check)
            self._story.note("The day's jobs are spent. Nothing is lost; a person may say: anyway.")
            self._order("the files are corrected, and we cannot wait", anyway=True)
            gate = self._judged("4")
        version = gate.links[0].split(":")[1]
        with self._serving():
            back = self._story.wait("RollBack", f"{LOOP}:{version}", self._up.check)
        rings = ["canary", *(["everywhere"] if self._story.find("Advance", f"{LOOP}:{version}") else [])]
        reasons = {"held": hold.reason, "gate": gate.reason, "because": back.reason}
        return {"version": version, "rings": rings, **reasons}

    def _finish(self, one: Round, number: str, began: float) -> None:
        """Follow a round from its job to its model on every device."""
        with self._serving(LONG_BREATH_S):
            gate = self._judged(number)
        launch, version = self._story.find("Launch", f"{LOOP}#{number}")[-1], gate.links[0].split(":")[1]
        self._foretell(version)
        with self._serving():
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

    def _judged(self, number: str) -> Entry:
        """The gate's word on a generation's model, once it passed."""
        launch = self._story.wait("Launch", f"{LOOP}#{number}", self._up.check)
        return self._story.wait("Register", launch.links[0], self._up.check)

    def _register_by_hand(self) -> int:
        self._story.say("5. Somebody registers a model by hand, without lineage.")
        self._up.run("somebody", "laptop.somebody", LOOP)
        self._story.wait("AwaitApproval", LOOP, self._up.check)
        return len(self._story.find("AwaitApproval", LOOP))

    def _foretell(self, version: str) -> None:
        """What `refluent plan` says."""
        self._story.note(f"What model {version} would change, as refluent plan says:")
        with suppress(typer.Exit):  # it is risky, and said why
            plan([LOOP], to=version)

    def _order(self, because: str, *, anyway: bool = False) -> None:
        """What `refluent train --because` does."""
        here = azure()
        order(here.rows, here.settings.loops[LOOP], because, anyway=anyway)

    def _upload(self, first: date, last: date, *, inverted: bool = False) -> int:
        blobs = azure().blobs
        tables = day_tables(first, last)
        files = [(f"{LOOP}/{site}/{day}.parquet", _parquet(table, inverted=inverted)) for site, day, table in tables]
        random.Random(1).shuffle(files)  # noqa: S311 # an order, not a secret
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(lambda file: blobs.put("landing", *file), files):
                pass
        return len(files)

    def _serve(self, day: date) -> None:
        """Ask for a day's flights, and tell what came of those of the day before."""
        name, (known, earlier) = f"{next(self._turns)}-{day}", self._before
        self._clients.ask(
            {
                site: Day(name, self._asked(site, day), (known, outcomes(site, earlier)) if earlier else ("", ()))
                for site in SITES
            }
        )
        self._before = name, day

    def _asked(self, site: str, day: date) -> list[list[dict[str, object]]]:
        """What an airport asks its model on one day, as its instruments say it."""
        batches = requests(site, day)
        broken_at, broken, mended = self._plan.celsius
        if site != broken_at or not broken <= day <= mended or len(self._rounds) > 1:
            return batches
        return [[{**row, "temp": _in_celsius(row["temp"])} for row in batch] for batch in batches]

    def _let_the_cloud_follow(self) -> None:
        """A week of theirs takes a second of ours: what they told of it is counted before the next one begins."""
        deadline = time.monotonic() + PATIENCE_S
        while self._rows_counted() < self._clients.books.rows - len(SITES) * TOLD_AT_ONCE:
            if time.monotonic() > deadline:
                raise Stuck(
                    "the cloud does not follow", why="telemetry is not counted", fix="read the logs named above"
                )
            self._up.check()
            time.sleep(0.05)
        self._story.read()

    def _rows_counted(self) -> int:
        rows = azure().rows.columns(DEVICE_ROWS, LOOP, COLUMN)
        return sum(use.rows for one in rows for use in uses(one.row.get(COLUMN)).values())

    def _drift_goes_on(self) -> bool:
        """Whether an episode is open, or will be: a device drifts before there is one."""
        begun = self._story.find("Open", f"{LOOP}~") or self._story.find("Drifted")[:1]
        return len(self._story.find("Resolve", f"{LOOP}~")) < len(begun)

    def _look_on(self, seconds: float) -> None:
        """While a drift is judged, a week takes longer: else the season is over before it is told."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._drift_was_answered():
            time.sleep(0.1)
            self._story.read()

    def _drift_was_answered(self) -> bool:
        """Whether its harm was told, for which a job is about to start, or one started because nobody could tell."""
        told = [*self._story.find("Tell", f"{LOOP}~"), *self._story.find("Judge", f"{LOOP}~")]
        return any("harmful: " in entry.reason for entry in told) or bool(self._story.find("Launch", f"{LOOP}#2"))

    def _drift(self) -> list[dict[str, object]]:
        """The episodes of drift that were told of."""
        let_be = {link for entry in self._story.find("LetBe") for link in entry.links}
        seen = [*self._story.find("Open", f"{LOOP}~"), *self._story.find("Widen", f"{LOOP}~")]
        reached = {entry.subject: entry.reason for entry in sorted(seen, key=lambda entry: entry.at)}
        return [
            {
                "episode": one.subject,
                "scope": reached[one.subject].partition(":")[0],
                "reached": reached[one.subject],
                "told": one.reason,
                "let_be": one.subject in let_be,
            }
            for one in self._story.find("Tell", f"{LOOP}~")
        ]

    @contextmanager
    def _serving(self, breath_s: float = BREATH_S) -> Iterator[None]:
        """The devices that have a model go on answering, day after day, while something else happens."""
        stop = threading.Event()
        server = threading.Thread(target=self._keep_serving, args=(stop, breath_s))
        server.start()
        try:
            yield
        finally:
            stop.set()
            server.join()

    def _keep_serving(self, stop: threading.Event, breath_s: float) -> None:
        while self._rounds and not stop.wait(breath_s):
            self._serve(next(self._served))

    def _switch(self, **switches: object) -> None:
        self._relay.put("/laptop/switches", json=switches).raise_for_status()

    def _delivered(self) -> int:
        return int(self._relay.get("/laptop/statistics").json()[COUNTED]["delivered"])


def _days(first: date, last: date) -> Sequence[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _in_celsius(fahrenheit: object) -> float | None:
    return round((fahrenheit - 32) / 1.8, 1) if isinstance(fahrenheit, float) else None


def _parquet(table: pa.Table, *, inverted: bool) -> bytes:
    if inverted:
        table = table.set_column(table.column_names.index(LABEL), LABEL, pc.invert(table[LABEL]))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _summary(console: Console, figures: dict[str, Any]) -> None:
    scoring, drift, back = figures["scoring"], figures["drift"], figures["rolled_back"]
    lines = [f"\n[bold]Twice round, and two models turned down, in {figures['seconds']:.0f} s.[/]"]
    lines += [
        f"  round {number}: {one['uploads']} uploads, {one['deliveries']} deliveries, {one['jobs']} job "
        f"(because of {one['trigger']}), model {one['model_version']}: {one['gate']}"
        for number, one in zip(count(1), figures["rounds"], strict=False)
    ]
    lines += [
        *(f"  quarantined: {reason}" for reason in figures["set_aside"]),
        *(f"  drift {one['episode']} told: {one['told']}" for one in drift),
        f"  rejected: {figures['rejected']}",
        f"  held: {back['held']}",
        f"  model {back['version']} passed: {back['gate']}",
        f"  model {back['version']} was rolled back: {back['because']}",
        (
            f"  {scoring['requests']} scoring requests, {scoring['failed']} failed, median {scoring['p50_ms']} ms, "
            f"longest {scoring['longest_pause_ms']} ms, through every swap"
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
