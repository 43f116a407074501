"""Which days no model is trained on: a frozen part, the same for ever, and the newest days."""

from collections.abc import Sequence
from datetime import date
from hashlib import sha256

FROZEN_SHARE = 0.1  # of all days there ever are
NEWEST_SHARE = 0.15  # of the days of a training set
NEWEST_DAYS = 3  # at least: fewer say nothing about which model is better, however many rows they have
FROZEN, NEWEST = "frozen", "newest"


def is_frozen(loop: str, day: date) -> bool:
    """Say whether a day is held out for ever.

    Nothing but the loop's name and the day decides, so every training set, whoever derives it and whenever, holds out
    the same days: no champion has seen what its challenger is judged on.
    """
    digest = sha256(f"{loop}\n{day.isoformat()}".encode()).digest()
    return int.from_bytes(digest[:8]) < FROZEN_SHARE * 2**64


def held_out(loop: str, days: Sequence[date]) -> dict[str, list[date]]:
    """Give the days of a training set that are held out, by slice; a frozen day among the newest counts as newest.

    Args:
        loop: Whose days.
        days: In order, without repeats.
    """
    newest = max(NEWEST_DAYS, round(NEWEST_SHARE * len(days)))
    earlier = days[:-newest]
    return {FROZEN: [day for day in earlier if is_frozen(loop, day)], NEWEST: list(days[-newest:])}
