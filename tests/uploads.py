"""Uploads as they really come: first the blob, then its event."""

from functions.loops import Loop
from functions.retraining.trigger import count_upload_on_blob_created
from functions.settings import Settings
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


def declare(here: FakeCloud, loop: str = "flight-delays", **data: object) -> None:
    """Change what a loop's file says under [data]."""
    old = here.settings.loops[loop]
    new = old.model_copy(update={"data": old.data.model_copy(update=data)})
    here.settings = _Settings(here.settings, new)  # type: ignore[assignment] # it has every setting


def retrains(here: FakeCloud, loop: str = "flight-delays", **retrain: object) -> None:
    """Change what a loop's file says under [retrain]."""
    says(here, "retrain", loop, **retrain)


def says(here: FakeCloud, section: str, loop: str = "flight-delays", **changes: object) -> None:
    """Change what a loop's file says under a section."""
    old = here.settings.loops[loop]
    new = old.model_copy(update={section: getattr(old, section).model_copy(update=changes)})
    here.settings = _Settings(here.settings, new)  # type: ignore[assignment] # likewise


class _Settings:
    """The settings of the fake app, with one loop file that differs."""

    def __init__(self, settings: Settings, loop: Loop) -> None:
        self._settings, self.loops = settings, {**settings.loops, loop.name: loop}

    def __getattr__(self, name: str) -> object:
        return getattr(self._settings, name)
