"""`python -m bench.kept_versions [--files N] [--json FILE]`: two ways to make a job see exactly the versions it got.

Copies are plain files for a training script; snapshots pin a version too, and only an SDK can read them. Both are made
by eight threads over the real adapters, after as many uploads of the same size; each is of the eTag that was listed.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from azure.core import MatchConditions
from azure.storage.blob import BlobServiceClient

from bench.figures import Figures
from bench.host import services
from functions.cloud.blobs import AccountBlobs
from functions.cloud.identity import credential
from functions.ports import BlobFacts
from laptop.stack import Stack
from laptop.up import claimed_stack

AT_ONCE = 8
SIZE_BYTES = 8_000  # a day of one airport


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="bench.kept_versions", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    figures = Figures(f"Keeping {given.files} uploads of {SIZE_BYTES} bytes")
    with TemporaryDirectory() as home, claimed_stack(Path(home)) as stack, services(stack):
        measure(stack, figures, files=given.files)
    figures.tell(given.json)


def measure(stack: Stack, figures: Figures, *, files: int) -> None:
    """Upload, then keep every version in each way, one way after the other."""
    blobs = AccountBlobs(stack.blob_url, credential(None))
    names = [f"bench/site/{number}.parquet" for number in range(files)]
    content = bytes(SIZE_BYTES)
    upload_s = _timed(lambda name: blobs.put("landing", name, content), names)
    began = time.perf_counter()
    listed = blobs.list("landing", "bench/")
    listing_s = time.perf_counter() - began

    def read_and_write(one: BlobFacts) -> None:
        found = blobs.read_version("landing", one.name, one.etag, offset=0, length=one.size_bytes)
        blobs.create("versions", f"written/{one.name}", found or b"")

    def copy(one: BlobFacts) -> None:
        blobs.copy(("landing", one.name), one.etag, to=("versions", f"copied/{one.name}"))

    service = BlobServiceClient(stack.blob_url, credential=credential(None))

    def snapshot(one: BlobFacts) -> None:
        blob = service.get_blob_client("landing", one.name)
        blob.create_snapshot(etag=f'"{one.etag}"', match_condition=MatchConditions.IfNotModified)

    figures.single("uploads_s", upload_s, of="the uploads themselves")
    figures.single("listing_s", listing_s, of="size and eTag of all, 5,000 a request")
    for name, way, act in (
        ("read_and_write", "read once to be checked, and kept as what was read", read_and_write),
        ("copies", "copied by the store, nothing read", copy),
        ("snapshots", "pinned by a snapshot, nothing copied", snapshot),
    ):
        taken_s = _timed(act, listed)
        figures.single(f"{name}_s", taken_s, of=way)
        figures.single(f"{name}_to_uploads", taken_s / upload_s, of="the same beside the uploads")


def _timed[T](act: Callable[[T], None], many: Sequence[T]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(act, many):
            pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
