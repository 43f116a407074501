"""A function app in a Functions host of its own, watched from outside."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laptop.stack import ACCOUNT_ID, HOST_PORT, Stack

ROOT = Path(__file__).parents[1]
PATIENCE_S = 30.0
HOST = """
import json, sys
from laptop.host.serve import main
status = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(status)
"""


@dataclass(slots=True)
class AppProcess:
    """One run of the host; `modules` is filled when it has ended.

    Args:
        stack: Where it runs.
        process: The host.
        started: time.perf_counter() when it was started.
        modules: Everything it imported.
    """

    stack: Stack
    process: subprocess.Popen[str]
    started: float
    modules: frozenset[str] = frozenset()

    def first_answer_s(self, function: str, event: Mapping[str, object]) -> float:
        """Seconds from the start of the process to the answer to its first event.

        Raises:
            RuntimeError: It ended, or refused the event, or did not answer in time.
        """
        body, headers = json.dumps([event]), {"aeg-event-type": "Notification"}
        while True:
            door = http.client.HTTPConnection(self.stack.address, HOST_PORT, timeout=PATIENCE_S)
            try:
                door.request("POST", f"/runtime/webhooks/eventgrid?functionName={function}", body, headers)
                status = door.getresponse().status
            except ConnectionRefusedError:  # the host has not opened its door yet
                if self.process.poll() is not None or time.perf_counter() - self.started > PATIENCE_S:
                    raise RuntimeError(f"the host did not start:\n{self.process.communicate()[1]}") from None
                time.sleep(0.001)
            else:
                if status != http.client.ACCEPTED:
                    raise RuntimeError(f"the host answered {status} to its first event")
                return time.perf_counter() - self.started
            finally:
                door.close()

    def invocations(self) -> dict[str, Any]:
        """What the host has counted, by function."""
        door = http.client.HTTPConnection(self.stack.address, HOST_PORT, timeout=PATIENCE_S)
        door.request("GET", "/laptop/invocations")
        with door.getresponse() as answer:
            counted: dict[str, Any] = json.load(answer)
        door.close()
        return counted


@contextmanager
def app_process(stack: Stack, app: Path, settings: Mapping[str, str]) -> Iterator[AppProcess]:
    """Start an app in the host, and end it with the block."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    place = ["--app", str(app), "--address", stack.address, "--home", str(stack.home)]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, *place],
        cwd=ROOT,
        env={**environment, **stack.sdk_environment(), **settings, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = AppProcess(stack, process, started)
    try:
        yield run
    finally:
        process.terminate()
        out, problem = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        raise RuntimeError(f"the host ended with status {process.returncode}:\n{problem}")
    run.modules = frozenset(json.loads(out.splitlines()[-1]))


def blob_created(stack: Stack, number: int) -> dict[str, object]:
    """One upload of the loop's, as Event Grid tells it; every number is another blob."""
    name = f"flight-delays/ewr/{2013 + number // 300}-{number % 300 // 28 + 1:02}-{number % 28 + 1:02}.parquet"
    return {
        "id": f"bench-{number}",
        "topic": ACCOUNT_ID,
        "subject": f"/blobServices/default/containers/landing/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-03-01T12:00:00Z",
        "dataVersion": "",
        "data": {
            "api": "PutBlob",
            "eTag": f"0x{number:X}",
            "contentLength": 5,
            "blobType": "BlockBlob",
            "url": f"{stack.blob_url}/landing/{name}",
        },
    }
