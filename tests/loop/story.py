"""`python -m tests.loop.story HOME FILE`: the demo's story, and questions while it is up."""

import json
import os
import sys
from pathlib import Path

import httpx
from rich.console import Console

from functions.wiring import azure
from laptop.cli import stack_environment
from laptop.demo import Plan, go_round
from laptop.stack import ACCOUNT_ID, Stack
from laptop.up import Up, claimed_stack

UPLOAD = "flight-delays/jfk/2013-01-03.parquet"


def questions(stack: Stack) -> dict[str, object]:
    """What an operator asks, and what a broken publisher posts."""
    with httpx.Client(base_url=stack.host_url, trust_env=False, timeout=30) as client:
        why = client.get(f"/api/why/{UPLOAD}").json()
        why_spring = client.get("/api/why/flight-delays~2").json()
        unknown = client.get("/api/why/nobody").status_code
        neighbour = blob_created(stack, "flight-delays/jfk/neighbour.parquet")
        foreign = {**blob_created(stack, "flight-delays/jfk/x.parquet"), "topic": "/subscriptions/somebody-else"}
        hook = "/runtime/webhooks/eventgrid?functionName=count_upload_on_blob_created"
        batch = [foreign, neighbour, {"id": "1"}]
        posted = client.post(hook, json=batch, headers={"aeg-event-type": "Notification"}).status_code
        status = client.get("/api/status").json()
        invocations = client.get("/laptop/invocations").json()
    quarantined = [facts.name for facts in azure().blobs.list("quarantine", "")]
    answers = {
        "why": why,
        "why_spring": why_spring,
        "unknown": unknown,
        "posted": posted,
        "status": status,
        "invocations": invocations,
    }
    return {**answers, "quarantined": quarantined}


def blob_created(stack: Stack, blob: str) -> dict[str, object]:
    data = {"api": "PutBlob", "eTag": "0x1", "contentLength": 5, "blobType": "BlockBlob"}
    return {
        "id": "e-1",
        "topic": ACCOUNT_ID,
        "subject": f"/blobServices/default/containers/landing/blobs/{blob}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-03-01T12:00:00Z",
        "dataVersion": "",
        "data": {**data, "url": f"{stack.blob_url}/landing/{blob}"},
    }


def main() -> None:
    home, file = Path(sys.argv[1]), Path(sys.argv[2])
    with claimed_stack(home) as stack:
        os.environ.update(stack_environment(stack))
        with Up(stack) as up:
            figures = go_round(up, Console(), Plan())
            picture = Path(str(figures["picture"])).read_bytes()[:4].hex()
            told = {**figures, **questions(stack), "picture_bytes": picture}
            file.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
