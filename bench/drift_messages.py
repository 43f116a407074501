"""`python -m bench.drift_messages [--azurite] [--json FILE]`: device messages, from bytes to scored windows.

20 numbers and 5 categories, 50 devices, 10,000 messages a batch. The pure path is what the handlers run between the
host and the store: size and identity, decoding, checks, counting, ledgers, windows by event time, scores. The floor is
msgspec alone, decoding the same bytes into a struct of the same members. Both take turns; the best turn of each counts,
in seconds of the core, which other work on the machine does not lengthen much.
"""

import argparse
import base64
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import azure.functions as func
import msgspec
import numpy as np

from bench.figures import Figures
from bench.host import services
from functions.cloud.identity import credential
from functions.cloud.tables import TableRows
from functions.drift.decide import count
from functions.drift.perform import take
from functions.drift.policy import watched
from functions.drift.profiles import Profiles
from functions.drift.runs import Batch
from functions.drift.state import DeviceState
from functions.drift.trigger import score_drift_on_telemetry
from functions.telemetry import Arrived, Telemetry
from functions.wiring import using
from laptop.up import claimed_stack
from sketch.profile import Kind, Profile
from sketch.sketch import Sketch
from tests.fakes.cloud import FakeCloud

DEVICES, MESSAGES, BATCH, TURNS = 50, 20_000, 10_000, 15
ROWS_PER_COLUMNS, ROWS_PER_SKETCH = 100, 1_000
APART_S = 60  # twice the lateness: every message closes the slot of the one before, which fills a window
START = datetime(2026, 3, 1, tzinfo=UTC)
NUMBERS, CATEGORIES = [f"n{n}" for n in range(20)], [f"c{n}" for n in range(5)]
KINDS: Mapping[str, Kind] = {**dict.fromkeys(NUMBERS, "number"), **dict.fromkeys(CATEGORIES, "category")}
WATCHED: Mapping[str, Any] = {
    "features": (),  # all that the model reads
    "scores": True,
    "window_rows": 200,
    "lateness": timedelta(seconds=30),
}
type Body = tuple[bytes, str, str, datetime]  # with device, module and when it was enqueued


def drawn(rng: np.random.Generator, rows: int) -> dict[str, list[object]]:
    """Rows like those of training."""
    numbers = {name: rng.normal(50, 10, rows).round(2).tolist() for name in NUMBERS}
    return {**numbers, **{name: rng.choice(["AA", "B6", "UA", "DL", "WN"], rows).tolist() for name in CATEGORIES}}


@cache
def profile() -> Profile:
    """What the model was trained on."""
    rng = np.random.default_rng(1)
    return Profile.build(drawn(rng, 20_000), kinds=KINDS, scores=rng.random(20_000))


def body(place: int, *, every_s: int, **members: object) -> Body:
    """One message: of device `place` in turn, so many seconds after its one before."""
    device, sequence = place % DEVICES, place // DEVICES
    at = START + timedelta(seconds=sequence * every_s)
    names = {"v": 1, "loop": "flight-delays", "model": "flight-delays", "version": "1", "epoch": f"{device:032x}"}
    message = {**names, "sequence": sequence, "from": at.isoformat(), "to": at.isoformat(), **members}
    data = json.dumps(message, separators=(",", ":")).encode()
    return data, f"device-{device}", "inference", at + timedelta(seconds=1)


def bodies() -> dict[str, list[Body]]:
    """Messages by format."""
    rng = np.random.default_rng(2)
    columns, scores = drawn(rng, MESSAGES), rng.random(MESSAGES).round(4).tolist()
    rows = [{**{name: columns[name][n] for name in KINDS}, "score": scores[n]} for n in range(MESSAGES)]
    many = [slice(n, n + ROWS_PER_COLUMNS) for n in range(0, MESSAGES, ROWS_PER_COLUMNS)] * 5
    packed = [sketched(rng) for _ in range(20)]
    counters = {"rows": ROWS_PER_SKETCH, "requests": 100, "failed": 0, "profile": profile().hash}
    return {
        "row": [body(n, every_s=1, kind="rows", rows=[row]) for n, row in enumerate(rows)],
        "columns": [
            body(n, every_s=30, kind="rows", columns={name: columns[name][some] for name in KINDS}, scores=scores[some])
            for n, some in enumerate(many)
        ],
        "sketch": [body(n, every_s=60, **counters, sketch=packed[n % 20]) for n in range(MESSAGES // 10)],
    }


def sketched(rng: np.random.Generator, rows: int = ROWS_PER_SKETCH) -> str:
    """The sketch of a minute's rows."""
    sketch = Sketch(profile())
    sketch.add(drawn(rng, rows), rng.random(rows))
    return base64.b64encode(sketch.to_bytes()).decode()


def floors() -> dict[str, Callable[[bytes], object]]:
    """Decoding alone: every member that is read later, into a struct, and nothing checked but its type."""
    types = {name: (float | None if kind == "number" else str | None) for name, kind in KINDS.items()}
    row = msgspec.defstruct("Row", [*types.items(), ("score", float | None)], gc=False)
    columns = msgspec.defstruct("Columns", [(name, list[kind]) for name, kind in types.items()], gc=False)  # type: ignore[valid-type] # made here
    names = [(name, str) for name in ("kind", "loop", "model", "version", "epoch")]
    common = [("v", int), ("sequence", int), *names, ("to", datetime)]
    of_row = msgspec.defstruct("OfRow", [*common, ("rows", list[row])], gc=False)  # type: ignore[valid-type] # made here
    of_columns = msgspec.defstruct("OfColumns", [*common, ("columns", columns), ("scores", list[float])], gc=False)
    return {
        "row": msgspec.json.Decoder(of_row).decode,
        "columns": msgspec.json.Decoder(of_columns).decode,
        "sketch": msgspec.json.Decoder(Telemetry).decode,
    }


def counted(messages: Sequence[Body], here: FakeCloud) -> int:
    """The pure path over one batch after another; windows scored."""
    states: dict[str, DeviceState] = {}
    settings = replace(watched(here.settings.loops["flight-delays"]), **WATCHED)
    for first in range(0, len(messages), BATCH):
        profiles, batch = Profiles(here), Batch()
        for data, device, module, enqueued in messages[first : first + BATCH]:
            came = Arrived(data, device, f"{device}/{module}", enqueued)
            if not batch.again(came):
                take(came, profiles, batch)
        for theirs in batch.stints():
            for stint in theirs:
                known = states.get(stint.run.device)
                done = count(known, stint.run, profile=stint.profile, settings=settings)
                states[stint.run.device] = done.state
    return sum(state.evidence.windows for state in states.values())


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="bench.drift_messages", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--azurite", action="store_true", help="the real trigger and its state on Azurite too")
    given = parser.parse_args()
    here = FakeCloud()
    here.blobs.put("models", "flight-delays/1/profile.json", profile().to_json().encode())
    figures = Figures(f"Messages of {DEVICES} devices, from bytes to windows")
    for name, messages in bodies().items():
        _measure(figures, name, messages, here)
    figures.flat |= {"messages_per_second": figures.flat["row_per_s"], "ratio_to_decode": figures.flat["row_ratio"]}
    if given.azurite:
        through_the_trigger(figures)
    figures.tell(given.json)


def through_the_trigger(figures: Figures) -> None:
    """The real trigger's decode and state on Azurite: batches of 100 sketches from 1, 10 and 100 devices."""
    rng, took, busy = np.random.default_rng(5), dict[int, float](), dict[int, float]()
    packed, fake = sketched(rng), FakeCloud()
    counters = {"rows": ROWS_PER_SKETCH, "requests": 100, "failed": 0, "profile": profile().hash, "sketch": packed}
    fake.blobs.put("models", "flight-delays/1/profile.json", profile().to_json().encode())
    with TemporaryDirectory() as home, claimed_stack(Path(home)) as stack, services(stack):
        fake.settings = fake.settings.model_copy(update={"loops_folder": _loops(Path(home)), "requests_at_once": 8})
        os.environ.update(stack.sdk_environment())
        fake.rows = TableRows(stack.table_url, credential(None))  # type: ignore[assignment] # the real one
        for distinct in (1, 10, 100):
            times = list[tuple[float, float]]()
            for turn in range(6):
                batch = [_next(n, turn, distinct, counters) for n in range(100)]
                began, own = time.perf_counter(), time.process_time()
                with using(fake):
                    score_drift_on_telemetry(batch)
                times.append((time.perf_counter() - began, time.process_time() - own))
            took[distinct], busy[distinct] = (min(some) for some in zip(*times[1:], strict=True))
            figures.single(
                f"azurite_{distinct}_ms", 1e3 * took[distinct], of=f"100 sketches of {distinct} devices (ms)"
            )
    for name, spent, of in (("device", took, "a distinct device"), ("device_core", busy, "of the app's own core")):
        figures.single(f"azurite_{name}_ms", 1e3 * (spent[100] - spent[1]) / 99, of=f"of that, {of} (ms)")


def _loops(home: Path) -> Path:
    """A folder with the tests' loop, which watches what the messages bring as the pure path does."""
    folder, loop = home / "loops", Path("tests/loops/flight-delays.toml").read_text(encoding="utf-8")
    seconds = int(WATCHED["lateness"].total_seconds())
    watch = f'features = []\nscores = true\nwindow_rows = {WATCHED["window_rows"]}\nlateness = "{seconds} s"\n'
    folder.mkdir()
    (folder / "flight-delays.toml").write_text(f"{loop.partition('[drift]')[0]}[drift]\n{watch}", encoding="utf-8")
    return folder


def _next(place: int, turn: int, distinct: int, counters: Mapping[str, object]) -> func.EventHubEvent:
    """A message of one of some devices, each of which counts its own."""
    sequence = turn * (100 // distinct) + place // distinct
    data, _, module, _ = body(place % distinct % DEVICES + DEVICES * sequence, every_s=APART_S, **counters)
    sender = {"connection-device-id": f"{distinct}-{place % distinct}", "connection-module-id": module}
    return func.EventHubEvent(body=data, iothub_metadata=sender)


def _measure(figures: Figures, name: str, messages: Sequence[Body], here: FakeCloud) -> None:
    decode = floors()[name]
    ours, floor, windows = list[float](), list[float](), 0
    alone = [data for data, *_ in messages]
    for _ in range(TURNS):
        began = time.process_time()
        for data in alone:
            decode(data)
        between = time.process_time()
        windows = counted(messages, here)
        ended = time.process_time()
        floor.append(between - began)
        ours.append(ended - between)
    several = len(messages)
    size = sum(len(data) for data, *_ in messages) / several
    figures.single(f"{name}_per_s", several / min(ours), of=f"{name}: messages of {size:,.0f} bytes, {windows} windows")
    figures.single(f"{name}_us", 1e6 * min(ours) / several, of=f"{name}: a message")
    figures.single(f"{name}_floor_us", 1e6 * min(floor) / several, of=f"{name}: decoding alone")
    figures.single(f"{name}_ratio", min(ours) / min(floor), of=f"{name}: times the floor")


if __name__ == "__main__":
    main()
