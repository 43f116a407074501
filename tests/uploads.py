"""Uploads as they really come: first the blob, then its event."""

from functions.retraining.trigger import count_upload_on_blob_created
from tests.fakes.cloud import FakeCloud
from tests.files import flights
from tests.messages import blob_created


def land(here: FakeCloud, *blobs: str, data: bytes | None = None) -> None:
    """Write blobs into the landing container, sound ones unless told otherwise, and deliver the event of each."""
    for blob in blobs:
        here.blobs.put("landing", blob, flights() if data is None else data)
        deliver(here, blob)


def deliver(here: FakeCloud, *blobs: str) -> None:
    """Deliver the event of what lies there, once more."""
    for blob in blobs:
        facts = here.blobs.facts("landing", blob)
        assert facts is not None
        count_upload_on_blob_created(blob_created(blob, eTag=facts.etag, contentLength=facts.size_bytes))
