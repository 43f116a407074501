"""`python -m bench.host [--json FILE]`: how soon the function app answers its first event, beside what must be there.

The floor is a Python that imports Microsoft's two libraries and does nothing, and a bare web server that says hello.
"""

import argparse
import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient

from bench.app_process import PATIENCE_S, ROOT, AppProcess, app_process, blob_created
from bench.figures import Figures
from bench.posting import FUNCTION, post
from bench.resident import resident_mib
from functions.retraining.ledger import UPLOADS
from laptop.processes import Processes
from laptop.provision import make_containers
from laptop.settings import app_settings
from laptop.stack import ACCOUNT, ACCOUNT_KEY, BLOB_PORT, HOST_PORT, HUB_PORT, IDENTITY_PORT, Stack
from laptop.storage.front import running_azurite
from laptop.tls import write_certificates
from laptop.up import claimed_stack

RUNS = 5
POSTS = 1_000
BATCHES, BATCH = 20, 200
QUIET = {"LOOP_SCHEDULE": "0 0 0 1 1 *", "RECONCILE_SCHEDULE": "0 0 0 1 1 *"}  # no timer trains on what is posted here
IMPORTS = "import azure.functions, azure_functions_runtime"
HELLO = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"))])
uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
"""


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="bench.host", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    figures = Figures("The Functions host with function_app.py")
    with TemporaryDirectory() as home, claimed_stack(Path(home)) as stack, services(stack):
        measure_start(stack, figures)
        measure_events(stack, figures)
    figures.tell(given.json)


@contextmanager
def services(stack: Stack) -> Iterator[None]:
    """What the app talks to: storage, identity, IoT Hub, Event Grid, Azure Machine Learning."""
    write_certificates(stack)
    os.environ.update(stack.sdk_environment())
    processes = Processes(stack)
    with running_azurite(stack), ExitStack() as ending:
        ending.callback(processes.stop)
        place = ["--address", stack.address, "--home", str(stack.home)]
        processes.start("cloud", [sys.executable, "-m", "laptop.cloud", *place])
        for port in (BLOB_PORT, HUB_PORT, IDENTITY_PORT):
            _open_door(stack, port).close()
        make_containers(stack)
        yield


def measure_start(stack: Stack, figures: Figures) -> None:
    """From the start of each process to its first answer, one after the other, so that all see the same machine."""
    imports, hello, first, memory = list[float](), list[float](), list[float](), list[float]()
    with app_process(stack, ROOT, app_settings(stack)) as app:  # so that every file is in the cache, and compiled
        _first_answer(app, 0)
    for number in range(1, RUNS + 1):
        imports.append(_imports_s())
        hello.append(_hello_s(stack))
        with app_process(stack, ROOT, app_settings(stack)) as app:
            first.append(_first_answer(app, number))
            memory.append(resident_mib(app.process.pid))
    figures.spread("floor_import_s", imports, of="python that imports Microsoft's two libraries, start to end")
    figures.spread("floor_hello_s", hello, of="bare uvicorn and Starlette, start to first answer")
    figures.spread("host_first_event_s", first, of="the app, start to first event answered")
    ratio = figures.flat["host_first_event_s_median"] / figures.flat["floor_import_s_median"]
    figures.single("ratio_to_floor", ratio, of="the app's first event / Microsoft's imports")
    figures.spread("host_rss_mib", memory, of="memory after the first event")
    figures.single("modules_imported", len(app.modules), of="modules imported by then")
    figures.single("azure_ai_ml_imported", "azure.ai.ml" in app.modules, of="azure.ai.ml among them")


def measure_events(stack: Stack, figures: Figures) -> None:
    """How many events a second, each counted in Azurite; and what the host itself costs."""
    before = counted_uploads(stack)
    with app_process(stack, ROOT, {**app_settings(stack), **QUIET}) as app:
        _first_answer(app, RUNS + 1)
        bodies = [[blob_created(stack, RUNS + 2 + number)] for number in range(POSTS)]
        figures.single("webhook_posts_per_s", _posts_per_s(stack, FUNCTION, bodies), of="events, each stored")
    stored = counted_uploads(stack) - before
    if stored != POSTS + 1:
        raise RuntimeError(f"{stored} of {POSTS + 1} events were stored: these figures mean nothing")
    with app_process(stack, ROOT / "bench" / "hello", {}) as app:
        bodies = [[blob_created(stack, number)] for number in range(POSTS)]
        app.first_answer_s("ignore", bodies[0][0])
        figures.single("host_posts_per_s", _posts_per_s(stack, "ignore", bodies), of="events that nobody minds")
        batch = [blob_created(stack, number) for number in range(BATCH)]
        batches_per_s = _posts_per_s(stack, "ignore", [batch] * BATCHES)
        figures.single("host_invocation_us", 1e6 / batches_per_s / BATCH, of=f"such an event in a batch of {BATCH}")


def counted_uploads(stack: Stack) -> int:
    """How many uploads the app has stored."""
    key = AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY)
    with TableServiceClient(stack.table_url, credential=key, connection_verify=str(stack.authority)) as service:
        return sum(1 for _ in service.get_table_client(UPLOADS).list_entities(select=["RowKey"]))


def _first_answer(app: AppProcess, number: int) -> float:
    return app.first_answer_s(FUNCTION, blob_created(app.stack, number))


def _imports_s() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - started


def _hello_s(stack: Stack) -> float:
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", HELLO, stack.address, str(HOST_PORT)])
    try:
        door = _open_door(stack, HOST_PORT)
        door.request("GET", "/")
        door.getresponse().read()
        took = time.perf_counter() - started
        door.close()
        return took
    finally:
        process.terminate()
        process.wait()


def _open_door(stack: Stack, port: int) -> http.client.HTTPConnection:
    door, patience = http.client.HTTPConnection(stack.address, port), time.perf_counter() + PATIENCE_S
    while True:
        try:
            door.connect()
        except ConnectionRefusedError:
            if time.perf_counter() > patience:
                raise
            time.sleep(0.001)
        else:
            return door


def _posts_per_s(stack: Stack, function: str, bodies: Sequence[Sequence[Mapping[str, object]]]) -> float:
    posted = [json.dumps(body).encode() for body in bodies]
    started = time.perf_counter()
    asyncio.run(post(stack, posted, function=function))
    return len(posted) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
