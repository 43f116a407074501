"""Real days of flights in the landing container, and their events, delivered when a benchmark wants them."""

import asyncio
import http.client
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import batched, cycle, islice
from time import perf_counter

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient
from pyarrow import parquet as pq

from bench.app_process import ROOT
from bench.posting import CLIENTS, post
from laptop.flights import SITES, day_tables
from laptop.identity import Identity
from laptop.keep_alive import KeepAlive
from laptop.stack import ACCOUNT, ACCOUNT_ID, ACCOUNT_KEY, AZURITE_BLOB_PORT, Stack
from laptop.storage.front import API_VERSION, AUDIENCE
from laptop.tls import client_context

LOOP = "flight-delays"
YEAR = (date(2013, 1, 1), date(2013, 12, 31))
BATCH = 20  # events in a delivery, as laptop/subscriptions.py has them


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A blob that lies in the landing container, and whose event was not delivered yet."""

    name: str
    etag: str
    size_bytes: int


async def upload(stack: Stack, number: int) -> list[Uploaded]:
    """Put files into the landing container, past the front, which would deliver their events at once."""
    contents = [_parquet(table) for _, _, table in day_tables(*YEAR, cache_folder=ROOT / ".refluent")]
    client, uploads = KeepAlive(stack.address, AZURITE_BLOB_PORT, tls=client_context(stack)), list[Uploaded]()
    token, waiting = Identity(stack).token(AUDIENCE), iter(zip(islice(_names(), number), cycle(contents), strict=False))

    async def put_one_by_one() -> None:
        for name, content in waiting:
            headers = [
                (b"host", f"{stack.address}:{AZURITE_BLOB_PORT}".encode()),
                (b"authorization", f"Bearer {token}".encode()),
                (b"x-ms-version", API_VERSION),
                (b"x-ms-blob-type", b"BlockBlob"),
                (b"content-length", str(len(content)).encode()),
            ]
            async with client.request(b"PUT", f"/{ACCOUNT}/landing/{name}".encode(), headers, content) as answer:
                if answer.status != http.client.CREATED:
                    raise RuntimeError(f"Azurite answered {answer.status} to an upload")
                etag = {key.lower(): value for key, value in answer.headers}[b"etag"].decode()
                await answer.read()
            uploads.append(Uploaded(name, etag.strip('"'), len(content)))

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(put_one_by_one())
    client.close()
    return uploads


async def deliver(stack: Stack, uploads: Sequence[Uploaded]) -> None:
    """Post the events of these uploads to the host, in this order, some batches at a time."""
    batches = batched([event(stack, one, number) for number, one in enumerate(uploads)], BATCH, strict=False)
    await post(stack, (json.dumps(batch).encode() for batch in batches))


def event(stack: Stack, one: Uploaded, number: int) -> dict[str, object]:
    """The event of an upload, as Event Grid tells it; every delivery has another id."""
    return {
        "id": f"burst-{number}",
        "topic": ACCOUNT_ID,
        "subject": f"/blobServices/default/containers/landing/blobs/{one.name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-03-01T12:00:00Z",
        "dataVersion": "",
        "data": {
            "api": "PutBlob",
            "eTag": one.etag,
            "contentLength": one.size_bytes,
            "blobType": "BlockBlob",
            "url": f"{azurite_url(stack)}/landing/{one.name}",
        },
    }


def azurite_url(stack: Stack) -> str:
    """Azurite's own blob endpoint, without the front that a laptop needs for events: those are delivered here."""
    return f"https://{stack.address}:{AZURITE_BLOB_PORT}/{ACCOUNT}"


def bare_inserts_s(stack: Stack, number: int) -> float:
    """Seconds for as many inserts into a table of its own, by the SDK, from as many threads as deliveries run."""
    key = AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY)
    with TableServiceClient(stack.table_url, credential=key, connection_verify=str(stack.authority)) as service:
        table = service.create_table("floor")
        rows = (
            {"PartitionKey": "floor", "RowKey": f"{n:08}", "blob": f"{LOOP}/ewr/{n}.parquet"} for n in range(number)
        )
        with ThreadPoolExecutor(CLIENTS) as pool:
            started = perf_counter()
            for _ in pool.map(table.create_entity, rows):
                pass
            return perf_counter() - started


def _names() -> Iterator[str]:
    part = 0
    while True:
        for number in range((YEAR[1] - YEAR[0]).days + 1):
            for site in SITES:
                yield f"{LOOP}/{site}/{part}/{YEAR[0] + timedelta(number)}.parquet"
        part += 1


def _parquet(table: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
