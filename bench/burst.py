"""`python -m bench.burst [--uploads N] [--unread] [--json FILE]`: a burst of uploads, from first delivery to job.

A fifth of the events come twice, all in any order, as Event Grid may deliver them, through the real host into Azurite.
The floor is as many bare inserts into a table, by the same SDK, in the same run. A second, small burst brings events of
the first once more: it must make one job, of its own files alone.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from bench.app_process import ROOT, AppProcess, app_process
from bench.figures import Figures
from bench.host import services
from bench.landing import LOOP, Uploaded, azurite_url, bare_inserts_s, deliver, event, upload
from bench.posting import FUNCTION
from laptop.settings import app_settings
from laptop.stack import ACCOUNT, ACCOUNT_KEY, Stack
from laptop.up import claimed_stack

SECOND = 200  # uploads of the second burst
AGAIN = 0.2  # of the deliveries' events
SEED = 1
PATIENCE_S = 1_800
SCHEDULES = {"LOOP_SCHEDULE": "*/5 * * * * *", "RECONCILE_SCHEDULE": "0 0 0 1 1 *"}  # no event is lost here
CHANGES = {  # the demo's loop, told to take a burst as one window, and to start a job for each
    'quiet_for = "2 s"': 'quiet_for = "3 s"',
    'at_most_wait = "2 min"': 'at_most_wait = "1 day"',
    "at_least_files = 84": "at_least_files = 1",
    'cool_down = "1 day"': 'cool_down = "0 s"',
    "jobs_per_day = 2": "jobs_per_day = 10\njobs_at_once = 10",
}
UNREAD = {"[data.columns]": 'formats = ["any"]\n[data.columns]'}


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="bench.burst", description=__doc__)
    parser.add_argument("--uploads", type=int, default=10_000, help="files of the first burst")
    parser.add_argument("--unread", action="store_true", help="let the loop take every file without a look into it")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    figures = Figures(f"A burst of {given.uploads:,} uploads{', taken unread' * given.unread}")
    with TemporaryDirectory() as home, claimed_stack(Path(home)) as stack, services(stack):
        publish = [sys.executable, "-m", "training.register_components"]
        subprocess.run(publish, check=True, cwd=ROOT, env={**os.environ, **app_settings(stack)}, stdout=sys.stderr)
        uploads = asyncio.run(upload(stack, given.uploads + SECOND))
        places = {"DATA_BLOB_ENDPOINT": azurite_url(stack), "LOOPS_FOLDER": str(loops(Path(home), given.unread))}
        settings = {**app_settings(stack), **SCHEDULES, **places}
        with app_process(stack, ROOT, settings) as app:
            measure(stack, app, figures, uploads[: given.uploads], uploads[given.uploads :])
    figures.tell(given.json)


def measure(
    stack: Stack, app: AppProcess, figures: Figures, first: Sequence[Uploaded], second: Sequence[Uploaded]
) -> None:
    """Deliver both bursts, and count what came of them."""
    dice = random.Random(SEED)  # noqa: S311 # the order of deliveries is no secret
    deliveries = [*first, *dice.sample(first, round(AGAIN * len(first)))]
    dice.shuffle(deliveries)
    floor_s = bare_inserts_s(stack, len(deliveries))
    app.first_answer_s(FUNCTION, {**event(stack, first[0], 0), "eventType": "Microsoft.Storage.BlobRenamed"})
    started = time.perf_counter()
    asyncio.run(deliver(stack, deliveries))
    acknowledged_s = time.perf_counter() - started
    one = wait_for_jobs(stack, 1)
    seconds = time.perf_counter() - started
    handler = app.invocations()[FUNCTION]
    asyncio.run(deliver(stack, [*second, *deliveries[: len(second)]]))
    both = wait_for_jobs(stack, 2)
    check(stack, {number: job for job, number in both.items()}, [first, second])
    for name, value, what in (
        ("uploads", len(first), "uploads"),
        ("deliveries", len(deliveries), "deliveries"),
        ("jobs", len(both), "jobs of both bursts"),
        ("jobs_expected", 2, "jobs expected"),
        ("jobs_of_the_first", len(one), "jobs of the first burst"),
        ("events_per_s", len(deliveries) / acknowledged_s, "events acknowledged"),
        ("acknowledged_s", acknowledged_s, "first delivery to last acknowledgement"),
        ("seconds", seconds, "first delivery to job submitted, seconds"),
        ("bare_inserts_s", floor_s, "as many bare table inserts"),
        ("ratio_to_bare_inserts", seconds / floor_s, "burst / bare inserts"),
        ("handler_p99_ms", handler["p99_ms"], "handler, 99th percentile, ms"),
    ):
        figures.single(name, value, of=what)


def loops(home: Path, unread: bool) -> Path:  # noqa: FBT001 # as it was given
    """A folder with the tests' loop, under the policy of this benchmark."""
    text = (ROOT / "tests" / "loops" / f"{LOOP}.toml").read_text(encoding="utf-8")
    for old, new in (CHANGES | (UNREAD if unread else {})).items():
        if old not in text:
            raise RuntimeError(f"{old!r} is not in tests/loops/{LOOP}.toml any more")
        text = text.replace(old, new)
    folder = home / "loops"
    folder.mkdir()
    (folder / f"{LOOP}.toml").write_text(text, encoding="utf-8")
    return folder


def wait_for_jobs(stack: Stack, number: int) -> Mapping[str, int]:
    """The jobs that were started, once there are so many: name -> generation."""
    key, deadline = AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY), time.monotonic() + PATIENCE_S
    with TableServiceClient(stack.table_url, credential=key, connection_verify=str(stack.authority)) as service:
        jobs, uploads = service.create_table_if_not_exists("jobs"), service.get_table_client("uploads")
        while True:
            found = {str(row["RowKey"]): int(row["generation"]) for row in jobs.list_entities()}
            if len(found) >= number:
                return found
            if time.monotonic() > deadline:
                states = [row["state"] for row in uploads.list_entities(select=["state"])]
                counted = {state: states.count(state) for state in set(states)}
                raise RuntimeError(f"after {PATIENCE_S} s there are {len(found)} of {number} jobs; uploads: {counted}")
            time.sleep(0.1)


def check(stack: Stack, jobs: Mapping[int, str], bursts: Sequence[Sequence[Uploaded]]) -> None:
    """Compare each generation's manifest with its burst: every version of every blob once, and no other."""
    key = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY}
    with BlobServiceClient(stack.blob_url, credential=key, connection_verify=str(stack.authority)) as service:
        for number, burst in enumerate(bursts, 1):
            name = f"{LOOP}/{number}/new.json"
            manifest = json.loads(service.get_blob_client("manifests", name).download_blob().readall())
            took = sorted((blob["name"], blob["etag"]) for blob in manifest["blobs"])
            if number not in jobs or took != sorted((one.name, one.etag) for one in burst):
                raise RuntimeError(f"generation {number} took {len(took)} uploads, and its burst had {len(burst)}")


if __name__ == "__main__":
    main()
