"""`python -m bench.edge [--json FILE]`: the scoring endpoint beside its floor, beside other servers, and during swaps.

The floor of a request is what cannot be left out: ONNX Runtime on the rows, an empty request to the same server, and
decoding the same body with msgspec and the model's own types. All are measured in turn, on different rows each time,
and compared by the median, and by the tenth that is least: on a busy machine the median tells of the others' work too.
"""

import argparse
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import msgspec
import onnxruntime as ort

from bench import edge_model
from bench.edge_endpoint import ADDRESS, bare_session, endpoint, two_versions, until_it_answers
from bench.edge_load import Client, Load, get, post
from bench.edge_peers import PEERS, installed, serving
from bench.figures import Figures
from tests.addresses import free_port

SIZES = (1, 10, 100, 1_000)
ROUNDS, AIMED_ROWS = 7, 100
BATCHES = 16  # different ones: rows that come again and again would be guessed by the processor
CLIENTS, LOAD_S, LOAD_ROUNDS = 8, 2.0, 3
SWAPS = 6
NAMES = {
    "onnx": "bare ONNX Runtime",
    "empty": "an empty request",
    "decode": "decoding with the model's own types",
    "score": "answered",
}


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="bench.edge", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    figures = Figures("The scoring endpoint, 15 features, one process")
    session = bare_session()
    with TemporaryDirectory() as home:
        models = two_versions(Path(home), session)
        with endpoint(models) as (port, process):
            _measure_floor(port, session, figures)
            _measure_peers(port, models.parent, figures)
            _measure_swaps(port, process, figures)
    figures.tell(given.json)


def _body(rows: int) -> bytes:
    return json.dumps({"rows": edge_model.rows(rows, seed=9)}).encode()


def _measure_floor(port: int, session: ort.InferenceSession, figures: Figures) -> None:
    for rows in SIZES:
        _measure_beside_floor(port, session, figures, rows=rows)
    _measure_beside_floor(port, session, figures, rows=AIMED_ROWS, as_columns=True)


def _measure_beside_floor(
    port: int, session: ort.InferenceSession, figures: Figures, *, rows: int, as_columns: bool = False
) -> None:
    client = Client(ADDRESS, port)
    typed = edge_model.signature()._reader._request.decode  # noqa: SLF001 - the decoder alone, without what follows it
    batches = [edge_model.rows(rows, seed=seed) for seed in range(BATCHES)]
    feeds = [{"features": edge_model.tensor(batch)} for batch in batches]
    bodies = [_asked(batch, as_columns=as_columns) for batch in batches]
    requests = [post("/score", body) for body in bodies]
    for request, feed in zip(requests, feeds, strict=True):
        _check(client.ask(request), session, feed)
    parts: dict[str, Callable[[int], object]] = {
        "onnx": lambda turn: session.run(["probabilities"], feeds[turn]),
        "empty": lambda _: client.ask(get("/health")),
        "decode": lambda turn: typed(bodies[turn]),
        "score": lambda turn: client.ask(requests[turn]),
    }
    rounds = [_taken(parts, rows) for _ in range(ROUNDS)]
    client.close()
    which, what = (f"{rows}_columns", f"{rows} rows as columns") if as_columns else (f"{rows}", f"{rows} rows")
    p50s = [{name: median(each) for name, each in taken.items()} for taken in rounds]
    p10s = [{name: quantiles(each, n=10)[0] for name, each in taken.items()} for taken in rounds]
    for name in parts:
        figures.spread(f"{name}_{which}_us", [each[name] * 1e6 for each in p50s], of=f"{what}, {NAMES[name]}")
    ratios = [_ratio(each) for each in p50s]
    figures.spread(f"ratio_to_floor_{which}", ratios, of=f"{what}, times the floor")
    figures.spread(f"p10_ratio_to_floor_{which}", [_ratio(each) for each in p10s], of=f"{what}, the same by the p10")
    if rows == AIMED_ROWS and not as_columns:
        figures.single("p50_ratio_to_floor", median(ratios), of=f"{what}, p50 over the floor")


def _ratio(taken: Mapping[str, float]) -> float:
    return taken["score"] / (taken["onnx"] + taken["empty"] + taken["decode"])


def _asked(batch: list[edge_model.Row], *, as_columns: bool) -> bytes:
    columns = {name: [row[name] for row in batch] for name in batch[0]}
    return json.dumps({"columns": columns} if as_columns else {"rows": batch}).encode()


def _check(answer: bytes, session: ort.InferenceSession, feed: Mapping[str, object]) -> None:
    """Who is fast must be right first."""
    scores = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["scores"]
    expected = session.run(["probabilities"], feed)[0][:, 1].tolist()
    if scores != expected:
        raise SystemExit("the endpoint does not score as the graph does")


def _taken(parts: Mapping[str, Callable[[int], object]], rows: int) -> dict[str, list[float]]:
    """Seconds of each part, taken in turn: what one leaves in the processor's caches, the next one finds."""
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(max(30, 3_000 // (10 + rows))):
        for name, call in parts.items():
            began = time.perf_counter()
            call(turn % BATCHES)
            taken[name].append(time.perf_counter() - began)
    return taken


def _measure_peers(port: int, home: Path, figures: Figures) -> None:
    ours = post("/score", _body(AIMED_ROWS))
    tensor = edge_model.tensor(edge_model.rows(AIMED_ROWS, seed=9))
    ratios: dict[str, float] = {}
    for peer in PEERS:
        if not installed(peer):
            continue
        other = free_port(ADDRESS)
        theirs = post(peer.path, peer.body(tensor))
        with serving(peer, home / "model.onnx", ADDRESS, other):
            until_it_answers(other, peer.ready)
            until_it_answers(other, peer.ready)
            rates = [_rates(port, ours, other, theirs) for _ in range(LOAD_ROUNDS)]
        figures.spread(
            f"beside_{peer.name}_per_s", [each[0] for each in rates], of=f"ours beside {peer.name}, requests"
        )
        figures.spread(f"{peer.name}_per_s", [each[1] for each in rates], of=peer.name)
        ratios[peer.name] = median(mine / other for mine, other in rates)
    if "mlflow" in ratios:
        figures.single("ratio_mlflow", ratios.pop("mlflow"), of="requests a second, times MLflow's")
    if ratios:
        nearest = min(ratios, key=lambda name: ratios[name])
        figures.single(
            "ratio_other_server", ratios[nearest], of=f"requests a second, times {nearest}'s, the faster one"
        )


def _rates(port: int, ours: bytes, other: int, theirs: bytes) -> tuple[float, float]:
    """Requests a second of both, one after the other."""
    loads = Load(ADDRESS, port, ours), Load(ADDRESS, other, theirs)
    mine, others = (load.for_(LOAD_S, clients=CLIENTS) for load in loads)
    if loads[0].failed or loads[1].failed:
        raise SystemExit(f"{loads[0].failed} and {loads[1].failed} requests failed")
    return mine, others


def _measure_swaps(port: int, process: subprocess.Popen[bytes], figures: Figures) -> None:
    calm = Load(ADDRESS, port, post("/score", _body(AIMED_ROWS)))
    calm.for_(LOAD_S, clients=CLIENTS)
    load = Load(ADDRESS, port, calm.request)
    threads = load.run(CLIENTS)
    for swap in range(SWAPS):
        version = b'"version":"%d"' % (1 + (swap + 1) % 2)
        os.kill(process.pid, signal.SIGUSR1)
        until_it_answers(port, "/ready", holds=lambda answer, version=version: version in answer)  # type: ignore[misc] # binds the loop's value
    load.running = False
    for thread in threads:
        thread.join()
    figures.single("requests", len(load.latencies_s), of=f"answered during {SWAPS} swaps")
    figures.single("swap_failed", load.failed, of="failed during swaps")
    figures.single(
        "swap_longest_pause_ms", max(load.latencies_s) * 1e3, of="longest wait for an answer during swaps, ms"
    )
    figures.single("calm_longest_pause_ms", max(calm.latencies_s) * 1e3, of="longest wait without swaps, ms")


if __name__ == "__main__":
    main()
