"""`python -m edge.ingest [--once] [--json]`: take finished files from the local share to the cloud share."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict

from edge.errors import Misconfigured
from edge.ingest.rounds import Counts, Ingest
from edge.ingest.schema import schema_from
from edge.ingest.settings import settings_from


def main() -> None:
    """Go round until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="edge.ingest", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when every file had the time to settle")
    parser.add_argument(
        "--json", action="store_true", help="print the counts as JSON, one line a round that changed them"
    )
    given = parser.parse_args()
    try:
        settings = settings_from(os.environ)
        ingest = Ingest(settings, schema_from(settings.schema))
    except Misconfigured as problem:
        sys.exit(f"edge.ingest: {problem}")
    stop, told = threading.Event(), None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ending = time.monotonic() + settings.settled_seconds
    while not stop.is_set():
        last = given.once and time.monotonic() >= ending
        counts = ingest.round(time.monotonic())
        if counts != told:
            tell(counts, as_json=given.json)
            told = counts
        if last:
            return
        stop.wait(
            min(settings.every_seconds, max(0.0, ending - time.monotonic())) if given.once else settings.every_seconds
        )


def tell(counts: Counts, *, as_json: bool) -> None:
    """Print how it stands."""
    if as_json:
        line = json.dumps(asdict(counts))
    else:
        line = f"{counts.seen} seen = {counts.taken} taken + {counts.rejected} rejected + {counts.waiting} waiting; "
        line += f"{counts.rows:,} rows, {counts.manifests} manifests"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
