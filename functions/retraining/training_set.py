"""Which uploads a generation trains on, derived from what was taken up to it. No clock, no network, no SDK."""

import re
from collections.abc import Container, Sequence
from datetime import date, timedelta
from pathlib import PurePosixPath

from functions.retraining.ledger import Upload


def select(uploads: Sequence[Upload], *, new: Container[str], train_on: str) -> list[Upload]:
    """The same uploads give the same training set, whenever it is derived.

    Args:
        uploads: Everything taken up to the generation.
        new: Ledger keys of what the generation itself took.
        train_on: "new", "all", or "last 90 days": days of the data, up to its newest day.

    Returns:
        Ordered by name; of each name only the version that was counted last.
    """
    wanted = [upload for upload in uploads if upload.key in new] if train_on == "new" else uploads
    latest = {upload.blob: upload for upload in sorted(wanted, key=lambda upload: (upload.at, upload.etag))}
    chosen = [latest[name] for name in sorted(latest)]
    days = re.fullmatch(r"last (\d+) days?", train_on)
    if not days or not chosen:
        return chosen
    first = max(day(upload) for upload in chosen) - timedelta(days=int(days[1]) - 1)
    return [upload for upload in chosen if day(upload) >= first]


def day(upload: Upload) -> date:
    """The day in a file's name, such as 2013-02-18.parquet; else the day it was counted."""
    try:
        return date.fromisoformat(PurePosixPath(upload.blob).stem)
    except ValueError:
        return upload.at.date()
